"""Trains, evaluates and exports a two-tower model: tfrs-models retrieval.

Writes to `artifacts/retrieval`: report.html, metrics.json, the TensorBoard logs, the
checkpoint, and export/1, a SavedModel for `tfrs-models recommend`.
"""

import dataclasses
import functools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm

from .parts import query_towers
from .parts.artifacts import (
    hashes_of,
    prepare_folder,
    print_paths,
    read_config,
    write_json,
)
from .parts.baselines import BaselineConfig, choose, described_choices
from .parts.checkpoints import (
    Checkpoint,
    Checkpoints,
    KeepBest,
    Origin,
    fingerprint,
    finished,
)
from .parts.command import STATES, command, ending, start
from .parts.data import DataConfig, load_data, moved
from .parts.flags import Count, CountOrNone, Seed
from .parts.indexes import (
    attribute_values,
    build_indexes,
    index_items,
    item_attributes,
    live_trends,
)
from .parts.progress import EpochLines, step
from .parts.query_towers import QueryTowerConfig
from .parts.rank_files import LISTS, row_keys, texts_of, write_lists, write_ranks
from .parts.rank_files import NAME as RANKS
from .parts.resuming import (
    MAY_DIFFER,
    ResumeConfig,
    resumable_fit,
    run_of,
    to_go_on_with,
)
from .parts.retrieval_trials import TrialsConfig, tuned
from .parts.top_k_lists import baseline_lists, first_rows, user_groups
from .parts.tracking import TrackingConfig, tracked
from .parts.training import (
    MONITOR,
    add_corpus_metrics,
    batches_of,
    create_weights,
    fit,
)
from .parts.trials import Study
from .recommend import print_answers
from .reporting.beyond_accuracy import (
    BeyondAccuracy,
    by_group,
    measure_lists,
    print_measures,
)
from .reporting.evaluation import MODEL, Evaluation, evaluate, title, verdict
from .reporting.folds import fold_verdict, over_folds
from .reporting.retrieval import (
    answered,
    example_users,
    index_recall,
    print_folds,
    print_metrics,
    question,
    write_report,
)
from .reporting.served import served_lists

GROUP_METRIC = "hit_rate_at_10"


@dataclasses.dataclass(frozen=True)
class Config(
    ResumeConfig, TrackingConfig, TrialsConfig, BaselineConfig, QueryTowerConfig
):
    """Flags of the retrieval pipeline."""

    evaluates_checkpoints: ClassVar[bool] = True
    data: tyro.conf.OmitArgPrefixes[DataConfig] = dataclasses.field(
        default_factory=DataConfig
    )
    folds: Count = 1
    """Number of cut points of `--split global_time`: a model is trained before each of
    the newest test windows, and metrics are means over them. The newest is exported."""
    group_column: str | None = None
    """Column of the user table by whose groups the hit rate at 10 is shown: one of
    --user-category-columns or --user-number-columns."""
    patience: CountOrNone = 4
    """Epochs without a better validation NDCG@10 after which training stops."""
    seed: Seed = 42
    """Seed of the split, the weights and the order of the rows."""
    keep_lists: CountOrNone = 0
    """Number of items of each test row's list to keep in lists.parquet, which `ranx`
    reads, with taken.parquet as the relevant items; 0 for none."""
    explain: bool = False
    """Export the reasons of answers too, for `tfrs-models recommend --why`."""
    output: Path = Path("artifacts/retrieval")
    """Folder of the report, the metrics, the checkpoint and the export."""


SMOKE = Config(embedding_dim=4, epochs=1)
# Flags that leave the training as it is.
FREE = MAY_DIFFER | {
    *("trials", "budget", "tune_query_tower", "folds", "group_column"),
    *("serve_best", "keep_lists"),
}


@command
def main(config: Config) -> dict:
    """Runs the pipeline and returns the content of metrics.json."""
    config = query_towers.resolved(config)
    if not config.epochs and not config.resume:
        raise ending(
            "`--epochs 0` must come with --resume: there is nothing to evaluate and "
            "export but an untrained model. Got no --resume.",
            2,
        )
    if config.folds > 1 and config.data.split != "global_time":
        raise ending(
            "`--folds` must come with --split global_time: folds are cuts at several "
            f"times. Got --folds {config.folds} with --split {config.data.split}.",
            2,
        )
    output = prepare_folder(config.output)
    config, study = tuned(config)
    if config.folds > 1 and config.resume and any(output.rglob(f"{STATES}/*")):
        # Each fold goes on where it was; those that were not begun begin.
        config = dataclasses.replace(config, resume="auto")
    evaluations = []
    for fold in range(1, config.folds):
        print(f"\nFold {fold} of {config.folds}, before its test window")
        folder = prepare_folder(output / "folds" / str(fold))
        earlier = dataclasses.replace(config, output=folder)
        found = run(earlier, windows_back=config.folds - fold).evaluation
        # Fitted recommenders are large, and those of the newest fold are served.
        evaluations.append(dataclasses.replace(found, baselines={}))
    if evaluations:
        print(f"\nFold {config.folds} of {config.folds}, the newest, which is exported")
    trained = run(config)
    evaluations.append(trained.evaluation)
    return finish(config, trained, evaluations, study)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A trained and evaluated model.

    Args:
      data: interactions with what the query tower reads.
      origin: run, flags and data of the weights.
      model: trained model.
      description: sentence about the model.
      choices: simple recommenders beside it.
      history: Keras's history, empty without an epoch.
      kept: checkpoint of the best epoch.
      evaluation: ranks and metrics of the test rows.
    """

    data: tm.data.Interactions
    origin: Origin
    model: tm.models.TwoTower
    description: str
    choices: list[tm.baselines.Choice]
    history: dict
    kept: Checkpoint
    evaluation: Evaluation


def run(config: Config, *, windows_back: int = 0) -> Trained:
    """Loads the data, and trains and evaluates a model beside simple recommenders.

    Args:
      config: flags, resolved; their output folder exists.
      windows_back: number of newest test windows that have not happened yet.
    """
    state = kept = None
    if config.epochs:
        state = to_go_on_with(config, may_differ=FREE)
    else:
        kept = to_resume(config.output, fall_back=config.fall_back)
        kept.check_flags(config)
    tf.keras.utils.set_random_seed(config.seed)
    with step("Loading the data"):
        run = run_of(state) if kept is None else kept.about["run"]
        data, origin = load(config, run=run, windows_back=windows_back)
    if kept is not None:
        kept.check_data(origin.data)
    print(f"\n{data.summary}\n")
    if config.group_column is not None:
        user_groups(data, config.group_column)  # before any work, as it may be wrong
    choices = choose(config, data, seed=config.seed)
    with step("Building the model"):
        model = query_towers.build_model(config, data)
        create_weights(model, data)
        add_corpus_metrics(model, data)
    description = query_towers.description(config, data, model)
    print(f"\n{textwrap.fill(description, 88)}\n")
    with tracked(config, "retrieval") as trackers:
        history = {}
        if kept is None:
            history, kept = train(
                config, data, model, origin, callbacks=trackers.callbacks
            )
        kept.load(model)
        with step("Evaluation") as evaluating:
            evaluation = evaluate(model, data, choices)
            evaluating.note = f"{len(data.splits['test']['user_id']):,} test rows"
        trackers.log(evaluation.means(MODEL))
    write_ranks(
        config.output / RANKS,
        evaluation.tables,
        row_keys(data, evaluation.rows),
        run=origin.run,
    )
    print_metrics(evaluation)
    return Trained(data, origin, model, description, choices, history, kept, evaluation)


def finish(
    config: Config,
    trained: Trained,
    evaluations: Sequence[Evaluation],
    study: Study | None = None,
    *,
    exported: Path | None = None,
    keep: int | None = None,
    **more: object,
) -> dict:
    """Compares, exports and reports; returns the content of metrics.json.

    Args:
      config: flags, resolved.
      trained: model to export.
      evaluations: evaluation of each fold, the one of this model last.
      study: trials that chose the flags.
      exported: version of this model that is published already; None to publish one.
      keep: number of versions to keep, None for all.
      **more: additional content of metrics.json.
    """
    data, model, evaluation = trained.data, trained.model, trained.evaluation
    output = config.output
    exports = evaluation.winner if config.serve_best else MODEL
    said = verdict(
        evaluation.metrics, evaluation.labels[evaluation.best], exports=exports
    )
    if len(evaluations) > 1:
        print_folds(evaluations)
        said = f"{fold_verdict(evaluations)} Newest fold: {said}"
    print(f"\n{textwrap.fill(said, 88)}\n")
    with step("Index") as indexing:
        exact, approximate = build_indexes(model, data)
        recall = index_recall(exact, approximate, model, data)
        if recall is not None:
            indexing.note = f"ScaNN finds {recall:.1%} of the exact top 100"
    with step("Lists beyond accuracy"):
        beyond = beyond_accuracy(trained, exact)
    print_measures(beyond)
    print()
    if config.keep_lists:
        rows = evaluation.rows
        write_lists(
            output,
            served_lists(model, exact, data, rows, k=config.keep_lists),
            row_keys(data, rows),
            texts_of(data.vocabularies["item_id"]),
            run=trained.origin.run,
        )
    groups = groups_of(config.group_column, trained)
    with step("Export and its verification") as exporting:
        if exported is not None:
            exporting.note = f"{exported} is there already"
        elif exports == MODEL:
            exported = export_recommender(
                config,
                data,
                model,
                exact,
                output / "export",
                run=trained.origin.run,
                keep=keep,
            )
        else:
            baseline = evaluation.baselines[exports]
            exporting.note = f"of {evaluation.labels[exports]}, in place of the model"
            exported = export_baseline(
                baseline, data, output / "export", run=trained.origin.run
            )
    metrics = {
        "run": trained.origin.run,
        "checkpoint": trained.kept.id,
        "export": exported.name,
        "files": hashes_of(output, RANKS, *(LISTS if config.keep_lists else ())),
        "config": dataclasses.asdict(config),
        "data": dataclasses.asdict(data.summary),
        "exported": exports,
        "baselines": described_choices(trained.choices),
        **evaluation.metrics,
        "verdict": said,
        "scann_recall_at_100": recall,
        **more,
    }
    metrics["beyond_accuracy"] = beyond.measures
    if len(evaluations) > 1:
        metrics["folds"] = over_folds(evaluations)
    if study is not None:
        metrics["trials"] = study.described()
    if groups is not None:
        metrics["groups"] = {config.group_column: groups}
    users = example_users(
        model,
        exact,
        data,
        query_towers.user_features(config, data, "test"),
        seed=config.seed,
    )
    asked = question(data, users[0])
    print(f"\nWhat {exported} answers to a user of a wide taste and to a new one:")
    answer = print_answers(
        exported,
        list(asked),
        k=min(10, data.num_items),
        about={u: f"had last: {'; '.join(had)}" for u, had in asked.items() if had},
    )
    write_report(
        output / "report.html",
        run=trained.origin.run,
        config=config,
        data=data,
        history=trained.history,
        evaluations=evaluations,
        said=said,
        beyond=beyond,
        groups=groups,
        model=trained.description,
        users=users,
        asked=answered(asked, answer),
        recall=recall,
        study=study,
        monitor=MONITOR,
    )
    write_json(output / "metrics.json", metrics)
    print_paths(output, exported)
    return metrics


def beyond_accuracy(trained: Trained, index: tm.layers.BruteForce) -> BeyondAccuracy:
    """Measures the lists of the model and of the best simple recommender.

    Args:
      trained: trained and evaluated model.
      index: exact index of all items.
    """
    data, evaluation = trained.data, trained.evaluation
    rows, best = first_rows(data), evaluation.best
    simple = evaluation.baselines[best]
    lists = {
        MODEL: served_lists(trained.model, index, data, rows),
        title(best): baseline_lists(
            simple, data, rows, exclude=data.repeats != "allow"
        ),
    }
    _, embeddings = index.contents()
    width = embeddings.shape[1] - trained.model.num_trends
    embeddings = embeddings[:, :width]
    embeddings = np.concatenate([np.zeros_like(embeddings[:1]), embeddings])
    return measure_lists(data, rows, lists, embeddings=embeddings)


def groups_of(column: str | None, trained: Trained) -> dict | None:
    """Averages the hit rate at 10 by group of users; None without a column.

    Args:
      column: column of the user table.
      trained: trained and evaluated model.
    """
    if column is None:
        return None
    data, evaluation = trained.data, trained.evaluation
    values = {
        title(name): evaluation.tables[name].values(GROUP_METRIC)
        for name in (MODEL, evaluation.best)
    }
    rows = evaluation.rows
    users = tm.data.ranking_groups(data, "test")[rows]
    return by_group(values, user_groups(data, column)[rows], users)


def restore(
    folder: Path, *, fall_back: bool = False
) -> tuple[Config, tm.data.Interactions, tm.models.TwoTower]:
    """Loads flags, data and trained model of an earlier run; its folder may have moved.

    Args:
      folder: output folder of the run.
      fall_back: whether to take an older checkpoint of the run, with a line, if the
        newest one is damaged.

    Raises:
      SystemExit: the run did not finish, its files are damaged or belong to two runs,
        or the data has changed since.
    """
    checkpoint = finished(folder, Config, fall_back=fall_back)
    config = config_of(folder)
    tf.keras.utils.set_random_seed(config.seed)
    data, origin = load(config, run=checkpoint.about["run"])
    checkpoint.check_data(origin.data)
    model = query_towers.build_model(config, data)
    create_weights(model, data)
    checkpoint.load(model)
    return config, data, model


def config_of(folder: Path) -> Config:
    """Reads the flags of a finished run, whose folder may have moved.

    Raises:
      SystemExit: there is no run, or its metrics.json is damaged.
    """
    then = read_config(folder, Config)
    data = moved(then.data, then.output, folder)
    return query_towers.resolved(dataclasses.replace(then, output=folder, data=data))


def load(
    config: Config, *, run: str, windows_back: int = 0
) -> tuple[tm.data.Interactions, Origin]:
    """Loads the data, with the input of the query tower, and the origin of its models.

    Args:
      config: flags, resolved.
      run: identity of the run.
      windows_back: number of newest test windows that have not happened yet.

    Raises:
      SystemExit: the data cannot be loaded, or has no times and the tower needs them.
    """
    data = load_data(config.data, seed=config.seed, windows_back=windows_back)
    origin = Origin(run, config, fingerprint(data), data.vocabularies)
    try:
        return query_towers.with_user_features(config, data), origin
    except ValueError as error:
        what = "activity" if config.user_tower else "histories"
        raise SystemExit(
            f"Cannot make {what}: {error} Or do without: --query-tower id."
        ) from error


def to_resume(output: Path, *, fall_back: bool = False) -> Checkpoint:
    """Returns the newest checkpoint of a run.

    Args:
      output: output folder of the run.
      fall_back: whether to take an older one, with a line, if it is damaged.

    Raises:
      SystemExit: there is none.
    """
    checkpoint = Checkpoints(output / "checkpoint").newest(fall_back=fall_back)
    if checkpoint is None:
        raise SystemExit(
            f"There is no checkpoint to --resume from in {output / 'checkpoint'}: run "
            "without it, or give that run's --output."
        )
    return checkpoint


def build_recommender(
    config: Config,
    data: tm.data.Interactions,
    model: tm.models.TwoTower,
    index: tm.layers.BruteForce,
) -> tm.serving.Recommender:
    """Builds what is exported: all users, the index, trends, the tower of new items."""
    return tm.serving.Recommender(
        model.query_tower,
        index,
        **query_towers.served_users(config, data, "serving"),
        item_ids=data.vocabularies["item_id"],
        titles=data.titles,
        exclude_seen=data.repeats != "allow",
        item_tower=query_towers.new_item_tower(model),
        trends=live_trends(model, data),
        explain=config.explain,
        attribute_values=attribute_values(data),
    )


def restore_recommender(
    folder: Path, *, num_new_items: int = 0
) -> tm.serving.Recommender:
    """Builds the recommender of an earlier run again, to change it without training.

    `upsert_items`, `remove_items` and `update_trends` change it, and
    `tm.serving.export` writes the next version.

    Args:
      folder: output folder of the run.
      num_new_items: number of items that there is room for beside those of the run.

    Raises:
      SystemExit: the run did not finish, or the data has changed since.
    """
    config, data, model = restore(folder)
    index = tm.layers.BruteForce(
        k=min(100, data.num_items), capacity=data.num_items + num_new_items
    )
    return build_recommender(config, data, model, index_items(index, model, data))


def export_recommender(
    config: Config,
    data: tm.data.Interactions,
    model: tm.models.TwoTower,
    exact: tm.layers.BruteForce,
    directory: Path,
    *,
    run: str,
    keep: int | None = None,
) -> Path:
    """Writes the SavedModel for `tfrs-models recommend` and `tfrs-models gate`."""
    recommender = build_recommender(config, data, model, exact)
    return tm.serving.export(recommender, directory, keep=keep, about={"run": run})


def export_baseline(
    baseline: tm.baselines.Baseline,
    data: tm.data.Interactions,
    directory: Path,
    *,
    run: str,
) -> Path:
    """Writes a simple recommender, fitted on all rows, as a SavedModel."""
    recommender = tm.serving.baseline_recommender(
        baseline, data, attributes=item_attributes(data)
    )
    return tm.serving.export(recommender, directory, about={"run": run})


def train(
    config: Config,
    data: tm.data.Interactions,
    model: tm.Model,
    origin: Origin,
    *,
    callbacks: Sequence[tf.keras.callbacks.Callback] = (),
) -> tuple[dict, Checkpoint]:
    """Fits the model, or goes on with a training that was stopped.

    Args:
      config: flags, resolved.
      data: interactions with the input of the query tower.
      model: model to train.
      origin: run, flags and data of the weights, for the checkpoints.
      callbacks: additional callbacks, those of the trackers.

    Returns:
      Keras's history and the checkpoint of the best epoch.

    Raises:
      SystemExit: no user has a history to learn from, or no epoch had a finite metric.
    """
    keep = KeepBest(Checkpoints(config.output / "checkpoint"), origin, MONITOR)
    callbacks = [
        tm.training.StopOnMetric(
            MONITOR,
            patience=config.patience,
            restore_best_weights=False,  # `keep` has them
        ),
        keep,
        *callbacks,
        tm.training.LearningAlarms(
            batches_of(config, data, seed=config.seed, drop_ids=False),
            id_features=query_towers.ID_FEATURES[config.query_tower],
        ),
        EpochLines(
            {
                "loss per example": "loss_per_example",
                "validation NDCG@10": MONITOR,
                "hit rate at 10": "val_factorized_top_k/top_10_categorical_accuracy",
            }
        ),
    ]
    run = functools.partial(resumable_fit, config, origin=origin, may_differ=FREE)
    history = fit(config, data, model, callbacks, seed=config.seed, run=run)
    if keep.kept is None:
        raise SystemExit(
            "No epoch had a finite validation NDCG@10, so none was kept: lower "
            "--learning-rate."
        )
    return history, keep.kept


if __name__ == "__main__":
    start(main, Config, __doc__)
