"""Trains, evaluates and exports a multi-task ranker: tfrs-models ranking.

On MovieLens it predicts whether a user rates an item at all, likes it (4 stars) and
loves it (5); `--user-tower all` compares the user towers. `--dataset synthetic-clicks`
trains on clicks that depend on the position. `--model deep-fm|dcn` predicts one label,
the rating or the like, from the fields of user and item. Writes report.html,
metrics.json and export/1 to `artifacts/ranking`.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Literal

import tensorflow as tf
import tyro

import tfrs_models as tm

from .parts import field_ranking
from .parts.artifacts import (
    export_ranker,
    prepare_folder,
    print_paths,
    write_json,
)
from .parts.checkpoints import Checkpoints, Origin, fingerprint
from .parts.command import command, start
from .parts.data import DataConfig, load_data
from .parts.flags import (
    CountOrNone,
    Rate,
    Seed,
    ShareBelowOne,
    Weight,
    Width,
)
from .parts.ranking_data import POSITION, RankingData, load_ranking_data
from .parts.resuming import (
    MAY_DIFFER,
    ResumeConfig,
    of_several,
    resumable_fit,
)
from .parts.tracking import TrackingConfig, tracked
from .parts.user_towers import (
    NAMES,
    UserTower,
    build_user_tower,
    without_some_ids,
)
from .reporting import field_ranking as field_report
from .reporting.ranking import (
    Run,
    evaluate,
    print_runs,
    task_tables,
    write_report,
)

MONITOR = "val_loss_per_example"
# Each training is resumed by itself: there may be more of them, or fewer.
_MAY_DIFFER = MAY_DIFFER | {"seeds", "user_tower"}


@dataclasses.dataclass(frozen=True)
class Config(TrackingConfig, ResumeConfig):
    """Flags of the ranking pipeline."""

    data: tyro.conf.OmitArgPrefixes[DataConfig] = dataclasses.field(
        default_factory=lambda: DataConfig(split="per_user_time")
    )
    model: Literal["multi-task"] | field_ranking.FieldModel = "multi-task"
    """The multi-task ranker, or a factorisation machine or cross network for one label.
    The latter two read the flags `label`, `embedding_dim`, `hidden_units`,
    `batch_size`, `learning_rate`, `epochs`, `patience`, `seeds`, `seed` and those of
    the data."""
    label: field_ranking.Label = "rating"
    """Label that `deep-fm` and `dcn` predict."""
    user_tower: UserTower | Literal["all"] = "mixture"
    """Representation of a user: the id, a deep hash of the id, cohorts found from the
    user's features, a mixture of id and cohorts, or all four side by side."""
    position_bias: bool = True
    """Whether to model the effect of an item's position on clicks; with
    `synthetic-clicks` the report also shows the same model without it."""
    embedding_dim: Width = 32
    """Number of dimensions of the user's and the item's embedding."""
    num_cohorts: Width = 32
    """Number of cohorts of the cohort tower."""
    top_k: Width | None = None
    """Number of cohorts of a user; by default a softmax over all of them."""
    mixture_dropout: ShareBelowOne = 0.0
    """Dropout of the mixture's gate; with the original's 0.8 the gate keeps nearly even
    weights on MovieLens."""
    num_hashes: Width = 256
    """Number of hashes of the deep hash."""
    id_dropout: ShareBelowOne = 0.1
    """Share of the training rows whose user is replaced by the unknown one, so that it
    gets a useful embedding."""
    hidden_units: tuple[Width, ...] = (64,)
    """Widths of the layers before the logits; the original has none."""
    task_weights: Literal["equal", "uncertainty"] = "equal"
    """Weights of the tasks in the loss; with uncertainty they are learned."""
    user_value_weights: tuple[Weight, ...] = ()
    """Weight of each action in the score, in the order of the tasks; by default 1."""
    num_unseen: Width = 1
    """Number of items that the user never had, drawn for each row."""
    cold_users: ShareBelowOne = 0.1
    """Share of the users that training never sees: the cold users of the report."""
    batch_size: int = 1024
    """Examples per batch."""
    learning_rate: Rate = 0.001
    """Learning rate of Adam."""
    epochs: int = 40
    """Largest number of epochs: the validation loss stops the training earlier."""
    patience: CountOrNone = 2
    """Epochs without a better validation loss after which training stops."""
    seeds: int | None = None
    """Number of trainings of each tower; by default 1, 5 with `--user-tower all`."""
    seed: Seed = 42
    """Seed of the split, the weights and the order of the rows."""
    output: Path = Path("artifacts/ranking")
    """Folder of the report, the metrics and the export."""


SMOKE = Config(
    embedding_dim=4, num_cohorts=4, num_hashes=8, hidden_units=(), epochs=1, seeds=1
)


@command
def main(config: Config) -> dict:
    """Runs the pipeline and returns the content of metrics.json."""
    output = prepare_folder(config.output)
    config, run_id = of_several(config, may_differ=_MAY_DIFFER)
    if config.model != "multi-task":
        return rank_by_fields(config, output, run_id)
    data = load_ranking_data(
        config.data,
        batch_size=config.batch_size,
        num_unseen=config.num_unseen,
        cold_users=config.cold_users,
        seed=config.seed,
    )
    print(data.summary, "\n")
    origin = Origin(run_id, config, data.fingerprint, data.vocabularies)
    runs = [
        run(
            config,
            data,
            tower,
            position_bias=position_bias,
            seed=config.seed + turn,
            origin=origin,
        )
        for tower in (NAMES if config.user_tower == "all" else (config.user_tower,))
        for position_bias in _position_biases(config, data)
        for turn in range(config.seeds or (5 if config.user_tower == "all" else 1))
    ]
    tables = task_tables(runs, data)
    print_runs(runs, data, tables["all"])
    best = min(runs, key=lambda run: (not run.position_bias, run.validation_loss))
    exported = export_ranker(
        best.model,
        data.serving_features(),
        output / "export",
        run=origin.run,
        vocabularies=data.vocabularies,
    )
    chosen = {"tower": best.tower, "position_bias": best.position_bias}
    kept = Checkpoints(output / "checkpoint").save(best.model, origin, best=chosen)
    metrics = {
        "run": origin.run,
        "checkpoint": kept.id,
        "export": exported.name,
        "config": dataclasses.asdict(config),
        "exported": best.label,
        "best": chosen,
        "runs": [run.figures() for run in runs],
    }
    write_report(
        output / "report.html",
        run=origin.run,
        config=config,
        data=data,
        runs=runs,
        best=best,
        tables=tables,
    )
    write_json(output / "metrics.json", metrics)
    print_paths(output, exported)
    ask(exported, data)
    return metrics


def rank_by_fields(config: Config, output: Path, run_id: str) -> dict:
    """Trains DeepFM or DCN over seeds, compares, exports and reports it.

    Args:
      config: flags, whose `model` is "deep-fm" or "dcn".
      output: folder that can be written to.
      run_id: identity of the run.

    Returns:
      The content of metrics.json.
    """
    data = load_data(config.data, seed=config.seed)
    if "rating" not in data.splits["train"]:
        raise SystemExit(
            f"`--model {config.model}` predicts ratings, and the data has none: name "
            "their column with --rating-column."
        )
    print(data.summary, "\n")
    setting = field_ranking.Setting(
        embedding_dim=config.embedding_dim,
        hidden_units=config.hidden_units,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        epochs=config.epochs,
        patience=config.patience,
    )
    origin = Origin(run_id, config, fingerprint(data), data.vocabularies)
    seeds = range(config.seed, config.seed + (config.seeds or 1))
    label = config.label

    def trained(seed: int) -> field_ranking.Scored:
        name = f"{config.model}, seed {seed}"
        with tracked(config, "ranking", name) as trackers:
            found = field_ranking.train(
                data,
                config.model,
                label,
                setting,
                seed=seed,
                callbacks=trackers.callbacks,
                fit=functools.partial(
                    resumable_fit,
                    config,
                    origin=origin,
                    name=name,
                    may_differ=_MAY_DIFFER,
                ),
            )
            trackers.log(found.figures)
        return found

    runs = {
        config.model: [trained(seed) for seed in seeds],
        field_ranking.TUTORIAL: [
            field_ranking.train_tutorial(data, label, seed=seed) for seed in seeds
        ],
        field_ranking.MEAN: [field_ranking.mean_rating(data, label)],
    }
    field_report.print_runs(runs)
    model = runs[config.model][0].model
    batch = next(iter(field_ranking.batches(data, "test", 1)))
    exported = export_ranker(
        model,
        {field.name: batch[field.name] for field in model.fields},
        output / "export",
        run=origin.run,
        vocabularies={name: data.vocabularies[name] for name in ("user_id", "item_id")},
    )
    metrics = {
        "run": origin.run,
        "export": exported.name,
        "config": dataclasses.asdict(config),
        "test": {name: [run.figures for run in same] for name, same in runs.items()},
    }
    field_report.write_report(
        output / "report.html", run=metrics["run"], config=config, data=data, runs=runs
    )
    write_json(output / "metrics.json", metrics)
    print_paths(output, exported)
    return metrics


def run(
    config: Config,
    data: RankingData,
    tower: UserTower,
    *,
    position_bias: bool,
    seed: int,
    origin: Origin,
) -> Run:
    """Trains one ranker, or goes on with it, and evaluates it on the test rows."""
    bias = "with" if position_bias else "without"
    print(f"Training {tower}, {bias} position bias, seed {seed}", flush=True)
    tf.keras.utils.set_random_seed(seed)
    model = build_model(config, data, tower, position_bias=position_bias)
    model.compile(tf.keras.optimizers.Adam(config.learning_rate))
    training = f"{tower}, {bias} position bias, seed {seed}"
    with tracked(config, "ranking", training) as trackers:
        history = resumable_fit(
            config,
            model,
            without_some_ids(data.train(seed), config.id_dropout, seed=seed),
            origin=origin,
            name=training,
            may_differ=_MAY_DIFFER,
            validation_data=data.validation,
            epochs=config.epochs,
            callbacks=[
                *trackers.callbacks,
                tm.training.StopOnMetric(MONITOR, patience=config.patience),
                tf.keras.callbacks.LambdaCallback(on_epoch_end=_print_epoch),
            ],
        )
        found = evaluate(
            model, data, tower, position_bias=position_bias, seed=seed, history=history
        )
        trackers.log(found.slices)
    return found


def build_model(
    config: Config, data: RankingData, tower: UserTower, *, position_bias: bool
) -> tm.models.MultiTaskRanker:
    """Builds the ranker over one of the user towers."""
    num_tasks = len(data.task_names)
    values = config.user_value_weights or (1.0,) * num_tasks
    position = None
    if position_bias:
        name, context = POSITION
        position = tm.towers.PositionBias(
            data.num_positions, num_tasks, feature=name, context_feature=context
        )
    try:
        return tm.models.MultiTaskRanker(
            build_user_tower(
                tower,
                config.embedding_dim,
                data.num_users,
                num_hashes=config.num_hashes,
                num_cohorts=config.num_cohorts,
                top_k=config.top_k,
                mixture_dropout=config.mixture_dropout,
            ),
            num_tasks=num_tasks,
            item_id_hash_size=data.num_items + 1,
            item_id_embedding_dim=config.embedding_dim,
            user_value_weights=values,
            hidden_units=config.hidden_units,
            position_bias=position,
            task=tm.tasks.MultiTask(
                data.task_names,
                task_weights=None if config.task_weights == "equal" else "uncertainty",
            ),
        )
    except ValueError as error:
        raise SystemExit(f"Cannot make the model: {error}") from error


def ask(exported: Path, data: RankingData, *, rows: int = 3) -> None:
    """Prints the exported model's predictions for the first test rows."""
    rank = tf.saved_model.load(str(exported)).signatures["serving_default"]
    features = {k: v[:rows] for k, v in data.serving_features().items()}
    for name, vocabulary in data.vocabularies.items():
        names = tf.constant(["", *map(str, vocabulary)])
        features[name] = tf.gather(names, features[name])
    print("\nAsking the exported model:")
    answer = {name: values.numpy() for name, values in rank(**features).items()}
    for row in range(len(answer["score"])):
        ids = (features[name][row].numpy() for name in ("user_id", "item_id"))
        user, item = (i.decode() if isinstance(i, bytes) else i for i in ids)
        figures = ", ".join(f"{name} {answer[name][row]:.3f}" for name in answer)
        print(f"  user {user or 'unknown'}, item {item}: {figures}")


def _print_epoch(epoch: int, logs: dict[str, float]) -> None:
    aucs = (
        f"{name[4:-4]} AUC {value:.3f}"
        for name, value in logs.items()
        if name.startswith("val_") and name.endswith("/auc")
    )
    loss = f"loss {logs['loss_per_example']:.4f}, validation {logs[MONITOR]:.4f}"
    print(f"  epoch {epoch + 1:>2}: {loss}, {', '.join(aucs)}", flush=True)


def _position_biases(config: Config, data: RankingData) -> tuple[bool, ...]:
    """Whether to train with position bias, without, or once with each."""
    if not data.num_positions:
        return (False,)
    return (True, False) if config.position_bias else (False,)


if __name__ == "__main__":
    start(main, Config, __doc__)
