"""Predicts the rating, or whether it is a like, from the fields of user and item.

`python -m pipelines.ranking --model deep-fm|dcn` runs this, beside the model of
TensorFlow Recommenders' ranking tutorial and the training's mean rating.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from pipelines.benchmarks.baselines import tutorial_ranking
from pipelines.parts.artifacts import export_ranker, new_run, print_places, write_json
from pipelines.parts.data import load_data
from pipelines.parts.flags import Rate, ShareBelowOne
from pipelines.reporting import plots
from pipelines.reporting.page import render
from pipelines.reporting.tables import over_seeds, print_table

FieldModel = Literal["deep-fm", "dcn"]
Label = Literal["rating", "like"]
LIKE = 4.0
TUTORIAL, MEAN = "tutorial of TensorFlow Recommenders", "mean rating"


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a model over fields is made and trained."""

    embedding_dim: int = 32
    """Width of a field's vector."""
    hidden_units: tuple[int, ...] = (64, 64)
    """Widths of the deep part."""
    dropout: ShareBelowOne = 0.2
    """Of the deep part."""
    batch_size: int = 1024
    """Rows of a batch."""
    learning_rate: Rate = 0.001
    """Of Adam."""
    epochs: int = 20
    """At most, where there is a validation part."""
    patience: int = 2
    """Epochs without a better validation loss before training stops."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """A model's answers for the test rows.

    Args:
      figures: RMSE of a rating, log loss of a like, AUC of the likes.
      history: Keras's; empty of what is not trained.
      model: The model, where there is one.
    """

    figures: dict[str, float]
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    model: tm.Model | None = None


def main(config: object, output: Path) -> dict:
    """Trains, compares, exports and reports; returns what metrics.json says.

    Args:
      config: The flags of `pipelines.ranking`.
      output: Folder that can be written to.
    """
    data = load_data(config.data, seed=config.seed)
    if "rating" not in data.splits["train"]:
        raise SystemExit(
            f"`--model {config.model}` predicts ratings, and the data has none: name "
            "their column with --rating-column."
        )
    print(data.summary, "\n")
    setting = Setting(
        embedding_dim=config.embedding_dim,
        hidden_units=config.hidden_units,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        epochs=config.epochs,
        patience=config.patience,
    )
    seeds = range(config.seed, config.seed + (config.seeds or 1))
    turns = {
        config.model: [
            train(data, config.model, config.label, setting, seed=seed)
            for seed in seeds
        ],
        TUTORIAL: [train_tutorial(data, config.label, seed=seed) for seed in seeds],
        MEAN: [mean_rating(data, config.label)],
    }
    header, rows = table(turns)
    print_table(header, rows)
    first = turns[config.model][0]
    batch = next(iter(batches(data, "test", 1)))
    exported = export_ranker(
        first.model,
        {field.name: batch[field.name] for field in first.model.fields},
        output / "export",
        vocabularies={name: data.vocabularies[name] for name in ("user_id", "item_id")},
    )
    metrics = {
        "run": new_run(),
        "export": exported.name,
        "config": dataclasses.asdict(config),
        "test": {name: [turn.figures for turn in of] for name, of in turns.items()},
    }
    render(
        "field_ranking.html",
        output / "report.html",
        run=metrics["run"],
        config=dataclasses.asdict(config),
        data=data,
        header=header,
        rows=rows,
        num_seeds=len(seeds),
        curves=plots.losses(first.history),
    )
    write_json(output / "metrics.json", metrics)
    print_places(output, exported)
    return metrics


def table(turns: dict[str, Sequence[Scored]]) -> tuple[list[str], list[list[str]]]:
    """Header and a row for each model, over its seeds."""
    figures = list(next(iter(turns.values()))[0].figures)
    rows = [
        [
            name,
            *(over_seeds([turn.figures[figure] for turn in of]) for figure in figures),
        ]
        for name, of in turns.items()
    ]
    return ["", *figures], rows


def batches(
    data: tm.data.Interactions, split: str, batch_size: int, *, seed: int | None = None
) -> tf.data.Dataset:
    """Rows of a split with `rating` and `like`."""
    rows = data.batches(
        split, batch_size, shuffle=seed is not None, seed=seed, known_items=False
    )
    return rows.map(
        lambda row: row | {"like": tf.cast(row["rating"] >= LIKE, tf.float32)}
    )


def train(
    data: tm.data.Interactions,
    model_name: FieldModel,
    label: Label,
    setting: Setting,
    *,
    seed: int,
) -> Scored:
    """Trains one model and scores the test rows."""
    tf.keras.utils.set_random_seed(seed)
    model = build_model(data, model_name, label, setting)
    model.compile(tf.keras.optimizers.Adam(setting.learning_rate))
    has_validation = len(data.splits["validation"]["user_id"]) > 0
    options = {}
    if has_validation:
        stop = tf.keras.callbacks.EarlyStopping(
            "val_loss_per_example", patience=setting.patience, restore_best_weights=True
        )
        options = {
            "validation_data": batches(data, "validation", setting.batch_size),
            "callbacks": [stop],
        }
    fitted = model.fit(
        batches(data, "train", setting.batch_size, seed=seed),
        epochs=setting.epochs,
        verbose=0,
        **options,
    )
    answers = [model.rank(batch) for batch in batches(data, "test", setting.batch_size)]
    predicted, score = (
        np.concatenate([answer[name] for answer in answers])
        for name in (label, "score")
    )
    return Scored(score_rows(data, label, predicted, score), fitted.history, model)


def build_model(
    data: tm.data.Interactions, model_name: FieldModel, label: Label, setting: Setting
) -> tm.Model:
    """DeepFM or DCN over all fields of user and item."""
    task = None
    if label == "rating":
        mean = float(data.splits["train"]["rating"].mean())
        task = tm.tasks.Regression(label, mean=mean)
    make = {"deep-fm": tm.models.DeepFM, "dcn": tm.models.DCN}[model_name]
    return make(
        (*data.user_features, *data.item_features),
        setting.embedding_dim,
        label=label,
        hidden_units=setting.hidden_units,
        dropout=setting.dropout,
        task=task,
    )


def train_tutorial(data: tm.data.Interactions, label: Label, *, seed: int) -> Scored:
    """The tutorial's model, whose predicted rating also orders the likes."""
    tf.keras.utils.set_random_seed(seed)
    model = tutorial_ranking.TutorialRanking(data.num_users, data.num_items)
    model.compile(tf.keras.optimizers.Adagrad(tutorial_ranking.LEARNING_RATE))
    size = tutorial_ranking.BATCH_SIZE
    model.fit(
        batches(data, "train", size, seed=seed),
        epochs=tutorial_ranking.EPOCHS,
        verbose=0,
    )
    predicted = np.concatenate([model(b)[:, 0] for b in batches(data, "test", size)])
    return Scored(score_rows(data, label, predicted, predicted, is_rating=True))


def mean_rating(data: tm.data.Interactions, label: Label) -> Scored:
    """The training's mean, the same for every row."""
    ratings = data.splits["train"]["rating"]
    known = ratings if label == "rating" else ratings >= LIKE
    constant = np.full(len(data.splits["test"]["rating"]), known.mean())
    return Scored(score_rows(data, label, constant, constant))


def score_rows(
    data: tm.data.Interactions,
    label: Label,
    predicted: np.ndarray,
    score: np.ndarray,
    *,
    is_rating: bool = False,
) -> dict[str, float]:
    """RMSE or log loss of the predictions, and how the score orders the likes.

    A rating has no log loss: `is_rating` leaves that of a like out.
    """
    rating = data.splits["test"]["rating"]
    like = (rating >= LIKE).astype(np.float32)
    everybody = np.zeros(len(like), np.int64)
    _, (auc,) = tm.metrics.grouped_auc(like, score, everybody)
    figures = {"AUC of likes": float(auc)}
    if label == "rating":
        metric = tf.keras.metrics.RootMeanSquaredError()
        metric.update_state(rating, predicted)
        return {"RMSE": float(metric.result()), **figures}
    if is_rating:
        return {"log loss": float("nan"), **figures}
    metric = tf.keras.metrics.BinaryCrossentropy()
    metric.update_state(like[:, None], predicted[:, None])
    return {"log loss": float(metric.result()), **figures}
