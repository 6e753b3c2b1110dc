"""Trains, evaluates, exports and asks a two-tower model: python -m pipelines.retrieval.

Writes to `artifacts/retrieval`: report.html, metrics.json, the TensorBoard logs, the
checkpoint, and export/1, a SavedModel that answers `python -m pipelines.recommend`.
"""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines.parts import query_towers
from pipelines.parts.artifacts import (
    new_run,
    prepare_folder,
    print_places,
    read_config,
    write_json,
)
from pipelines.parts.checkpoints import (
    Checkpoint,
    Checkpoints,
    KeepBest,
    Origin,
    fingerprint,
    finished,
)
from pipelines.parts.command import command, ending
from pipelines.parts.data import DataConfig, load_data
from pipelines.parts.flags import (
    CountOrNone,
    Rate,
    Seed,
    ShareBelowOne,
    Temperature,
    Width,
)
from pipelines.parts.indexes import build_indexes
from pipelines.parts.user_towers import UserTower, without_some_ids
from pipelines.recommend import print_answers
from pipelines.reporting.retrieval import (
    evaluate,
    example_users,
    index_recall,
    print_metrics,
    write_report,
)

MONITOR = "val_factorized_top_k/ndcg_at_10"


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the retrieval pipeline."""

    data: tyro.conf.OmitArgPrefixes[DataConfig] = dataclasses.field(
        default_factory=DataConfig
    )
    query_tower: query_towers.QueryTower | None = None
    """What stands for a user: the items they had, pooled by recency and by the time
    between them (history, what is taken where nothing is given), read by a GRU or by a
    causal transformer; or the user's id and features."""
    user_tower: UserTower | None = None
    """With `--query-tower id`, which it implies, another tower in its place: a table of
    ids, a deep hash of the id, cohorts that the model finds in what users did so far,
    or a mixture of id and cohort."""
    features: Literal["id", "all"] = "all"
    """What the towers read: ids only, or every feature too."""
    embedding_dim: Width = 64
    """Width of both towers' output."""
    history_length: Width = 50
    """Items of a history; the newest stay."""
    temperature: Temperature | None = None
    """Of the softmax over unit-length embeddings; 0.1, 0.2 with `--query-tower id`
    alone."""
    negatives: query_towers.Negatives = "batch"
    """What a positive is told from: the other positives of its batch, corrected for
    their popularity, or, with histories, every item (the full softmax)."""
    id_dropout: ShareBelowOne | None = None
    """Share of ids replaced by the unknown in training, so that cold ids mean
    something; 0, with a user tower 0.1."""
    batch_size: int | None = None
    """Windows of a batch with histories (16), rows with ids (1,024); the positives of a
    batch are each other's negatives."""
    learning_rate: Rate | None = None
    """Of Adam; with histories 0.005 (sasrec and autocorrelation 0.002) at its highest,
    warmed up and brought to 0 along a cosine, with ids 0.001, with the user towers
    deep-hash, cohort and mixture 0.003."""
    epochs: CountOrNone | None = None
    """At most, validation NDCG@10 stops the training earlier; 5 with histories (sasrec
    and autocorrelation 10), 30 with ids."""
    patience: CountOrNone = 4
    """Epochs without a better validation NDCG@10 before training stops."""
    seed: Seed = 42
    """Of the split, the weights and the order of the rows."""
    resume: bool = False
    """Start from the checkpoint of an earlier run with the same data and flags (with
    `--epochs 0`: only evaluate and export it). Its weights are what is kept, until an
    epoch is better; how training goes, such as `--learning-rate`, may be another."""
    output: Path = Path("artifacts/retrieval")
    """Folder of the report, the metrics, the checkpoint and the export."""


SMOKE = Config(embedding_dim=4, epochs=1)


def resolved(config: Config) -> Config:
    """The flags with the query tower's own values where none are given."""
    query_tower = config.query_tower or ("id" if config.user_tower else "history")
    if config.user_tower and query_tower != "id":
        raise SystemExit(
            f"`--user-tower {config.user_tower}` takes the place of a tower over "
            f"histories: leave one of the two out. Got `--query-tower {query_tower}`."
        )
    if query_tower == "id" and config.negatives != "batch":
        raise SystemExit(
            f"`--negatives {config.negatives}` needs a query tower over histories. Got "
            "`--query-tower id`."
        )
    own = query_towers.DEFAULTS[query_tower]
    if config.user_tower:
        own = query_towers.USER_DEFAULTS[config.user_tower]
    given = {name: getattr(config, name) for name in own}
    filled = {name: own[name] if v is None else v for name, v in given.items()}
    return dataclasses.replace(config, query_tower=query_tower, **filled)


@command
def main(config: Config) -> dict:
    """Runs the pipeline and returns what it writes to metrics.json."""
    config = resolved(config)
    if not config.epochs and not config.resume:
        raise ending(
            "`--epochs 0` must come with --resume: there is nothing to evaluate and "
            "export but an untrained model. Got no --resume.",
            2,
        )
    output = prepare_folder(config.output)
    start = to_resume(output) if config.resume else None
    if start is not None:
        start.check_flags(config)
    tf.keras.utils.set_random_seed(config.seed)
    data, origin = load(config, run=new_run())
    if start is not None:
        start.check_data(origin.data)
    print(data.summary, "\n")

    model = build_model(config, data)
    history, kept = train(config, data, model, origin, start=start)

    evaluation = evaluate(model, data)
    print_metrics(evaluation)
    exact, approximate = build_indexes(model, data)
    recall = index_recall(exact, approximate, model, data)
    if recall is not None:
        print(f"ScaNN finds {recall:.1%} of the exact top 100 on the test queries.")

    exported = export_recommender(config, data, model, exact, output / "export")
    metrics = {
        "run": origin.run,
        "checkpoint": kept.id,
        "export": exported.name,
        "config": dataclasses.asdict(config),
        "data": dataclasses.asdict(data.summary),
        **evaluation.metrics,
        "scann_recall_at_100": recall,
    }
    users = example_users(
        model, exact, data, user_features(config, data, "test"), seed=config.seed
    )
    write_report(
        output / "report.html",
        run=origin.run,
        config=config,
        data=data,
        history=history,
        evaluation=evaluation,
        users=users,
        recall=recall,
        monitor=MONITOR,
    )
    write_json(output / "metrics.json", metrics)
    print_places(output, exported)
    asked = [users[0].user_id]
    print(f"\nAsking the exported model for user {asked[0]}:")
    print_answers(exported, asked, k=5, exclude_seen=True)
    return metrics


def restore(folder: Path) -> tuple[Config, tm.data.Interactions, tm.models.TwoTower]:
    """Flags, data and trained model of an earlier run; only `output` may be another.

    Raises:
      SystemExit: the run did not finish, its files are damaged or of two runs, or the
        data are no longer those that it was trained on.
    """
    checkpoint = finished(folder, Config)
    config = resolved(dataclasses.replace(read_config(folder, Config), output=folder))
    tf.keras.utils.set_random_seed(config.seed)
    data, origin = load(config, run=checkpoint.about["run"])
    checkpoint.check_data(origin.data)
    model = build_model(config, data)
    fill(model, data, checkpoint)
    return config, data, model


def load(config: Config, *, run: str) -> tuple[tm.data.Interactions, Origin]:
    """The data with what the query tower reads, and what a model of it is of."""
    data = load_data(config.data, seed=config.seed)
    origin = Origin(run, config, fingerprint(data), data.vocabularies)
    return with_user_features(config, data), origin


def to_resume(output: Path) -> Checkpoint:
    """The checkpoint that training goes on from; the end of the program without."""
    checkpoint = Checkpoints(output / "checkpoint").newest()
    if checkpoint is None:
        raise SystemExit(
            f"There is no checkpoint to --resume from in {output / 'checkpoint'}: run "
            "without it, or give that run's --output."
        )
    return checkpoint


def fill(
    model: tm.models.TwoTower, data: tm.data.Interactions, checkpoint: Checkpoint
) -> None:
    """Makes all weights of a model and takes their values from a checkpoint."""
    model(next(iter(data.batches("test", 1))))
    checkpoint.load(model)


def export_recommender(
    config: Config,
    data: tm.data.Interactions,
    model: tm.models.TwoTower,
    exact: tm.layers.BruteForce,
    directory: Path,
) -> Path:
    """Writes the SavedModel that `pipelines.recommend` and `pipelines.gate` ask."""
    recommender = tm.serving.Recommender(
        model.query_model,
        exact,
        user_ids=data.vocabularies["user_id"],
        user_features=user_features(config, data, "serving"),
        item_ids=data.vocabularies["item_id"],
        titles=data.titles,
        known_items=data.known_items("serving"),
        candidate_probabilities=data.candidate_probabilities,
    )
    return tm.serving.export(recommender, directory)


def build_model(config: Config, data: tm.data.Interactions) -> tm.models.TwoTower:
    """The towers, and exact corpus metrics over the whole catalogue."""
    model = query_towers.build_model(
        data,
        config.query_tower,
        features=config.features,
        embedding_dim=config.embedding_dim,
        temperature=config.temperature,
        id_dropout=config.id_dropout,
        history_length=config.history_length,
        negatives=config.negatives,
        user_tower=config.user_tower,
    )
    model.task.factorized_metrics = tm.metrics.FactorizedTopK(
        model.embed_candidates(data.candidate_batches()),
        ks=(10, 100),
        metrics=("ndcg_at_10",),
        duplicates="error",
    )
    return model


def train(
    config: Config,
    data: tm.data.Interactions,
    model: tm.Model,
    origin: Origin,
    *,
    start: Checkpoint | None,
) -> tuple[dict, Checkpoint]:
    """Fits the model; its weights are then those of the best epoch.

    Args:
      config: the flags.
      data: what to train on.
      model: the model.
      origin: what the weights are of.
      start: the checkpoint to go on from, which stays where no epoch is better.

    Returns:
      Keras's history, empty of no epochs, and the checkpoint of the best epoch.
    """
    if start is not None:
        model.compile(tf.keras.optimizers.Adam())  # takes the rate of the checkpoint
        fill(model, data, start)
    if not config.epochs:
        return {}, start
    try:
        batches = training_batches(config, data)
    except ValueError as error:
        raise SystemExit(
            f"Cannot train on the data: {error} Or do without histories: --query-tower "
            "id."
        ) from error
    rate = query_towers.learning_rate(
        config.query_tower,
        config.learning_rate,
        num_steps=len(batches) * config.epochs,
    )
    model.compile(tf.keras.optimizers.Adam(rate))
    checkpoints = Checkpoints(config.output / "checkpoint")
    keep = KeepBest(checkpoints, origin, MONITOR, kept=start)
    callbacks = [
        tf.keras.callbacks.EarlyStopping(
            MONITOR, mode="max", patience=config.patience, baseline=keep.best
        ),
        keep,
        tf.keras.callbacks.TensorBoard(config.output / "logs"),
        tm.training.LearningAlarms(
            training_batches(config, data, drop_ids=False),
            id_features=query_towers.ID_FEATURES[config.query_tower],
        ),
    ]
    fitted = model.fit(
        batches,
        validation_data=data.batches("validation", 4096),
        epochs=config.epochs,
        callbacks=callbacks,
    )
    if keep.kept is None:
        raise SystemExit(
            "No epoch had a finite validation NDCG@10, so none was kept: lower "
            "--learning-rate."
        )
    if keep.kept is start:
        print(f"No epoch is better than {start.folder}, which is kept.")
    keep.kept.load(model)
    return fitted.history, keep.kept


def training_batches(
    config: Config, data: tm.data.Interactions, *, drop_ids: bool = True
) -> tf.data.Dataset:
    """Of rows or windows; with a user tower some rows are by the unknown user."""
    batches = query_towers.training_batches(
        data,
        config.query_tower,
        batch_size=config.batch_size,
        history_length=config.history_length,
        seed=config.seed,
    )
    if not (drop_ids and config.user_tower and config.id_dropout):
        return batches
    return without_some_ids(batches, config.id_dropout, seed=config.seed)


def with_user_features(
    config: Config, data: tm.data.Interactions
) -> tm.data.Interactions:
    """The data with what the query tower reads; a mistake ends the program."""
    try:
        return query_towers.with_user_features(
            data,
            config.query_tower,
            user_tower=config.user_tower,
            history_length=config.history_length,
        )
    except ValueError as error:
        what = "activity" if config.user_tower else "histories"
        raise SystemExit(
            f"Cannot make {what}: {error} Or do without: --query-tower id."
        ) from error


def user_features(
    config: Config, data: tm.data.Interactions, split: str
) -> dict[str, np.ndarray]:
    """What the query tower reads of every user before a split."""
    return query_towers.user_features(
        data,
        config.query_tower,
        split,
        history_length=config.history_length,
        user_tower=config.user_tower,
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
