"""Trains a finished retrieval model on, with new rows: tfrs-models update.

tfrs-models update --model artifacts/retrieval --dataset new.parquet

The model keeps what it has learned and gets rows for new users and items. It is trained
on the rows that it has not seen and on some old ones, and compared with the version
before on the newest day, which neither was trained on. If it is not worse, it becomes
the next version in the folder of the run; else nothing changes, and the rows wait for
the next update. Exit codes: 0 for a new version or no new rows, 1 to refuse.
"""

import dataclasses
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.files import is_table, read_rows
from tfrs_models.data.table_files import read_table
from tfrs_models.data.times import SECOND, row_times
from tfrs_models.serving.comparison import Change

from . import retrieval
from .parts import query_towers
from .parts.artifacts import (
    new_run,
    prepare_folder,
    read_metrics,
    written_whole,
)
from .parts.checkpoints import Checkpoint, Checkpoints, Origin, finished
from .parts.command import command, ending, start
from .parts.data import DataConfig, load_data, table_options
from .parts.flags import Count, CountOrNone, Positive, Weight
from .parts.progress import step
from .parts.rank_files import NAME as RANKS
from .parts.rank_files import row_keys, write_ranks
from .parts.training import create_weights
from .parts.updating import LearningConfig, grown, known_rows, learn, rows_to_learn
from .reporting.evaluation import MODEL, evaluate
from .reporting.served import served_ranks

METRICS = ("ndcg_at_10", "hit_rate_at_10")
ROWS = "rows"  # folder of the rows that came after those of --dataset
WAITING = "waiting.parquet"  # those of refused updates
_CANDIDATES = ".unfinished-candidates.parquet"
_KEPT = 2  # files of rows, as checkpoints


@dataclasses.dataclass(frozen=True)
class Config(LearningConfig):
    """Flags of an update."""

    dataset: str = ""
    """File with the new rows, or with all rows so far, in the form of the first
    --dataset of the run; rows that the run has are left out."""
    model: Path = Path("artifacts/retrieval")
    """Output folder of the run of retrieval that goes on; it gets the new version."""
    test_days: Positive = 1.0
    """Days at the end of the rows on which both versions are compared; the next update
    trains on them."""
    maximum_fall: Weight = 0.01
    """Largest fall of NDCG@10 and hit rate at 10: the lower end of the interval of the
    difference, paired by user, must be above its negative."""
    minimum_users: Count = 30
    """Number of users of the newest days below which nothing is published."""
    keep: CountOrNone = 3
    """Number of exported versions to keep, including the new one; 0 for all."""

    def kept(self) -> str:
        """Message on what a stopped update leaves."""
        return (
            f"{self.model} has the version before or the whole new one, and the new "
            "rows that were read: the same command goes on."
        )


SMOKE = Config(minimum_users=1, maximum_fall=1.0)


@dataclasses.dataclass(frozen=True)
class Update:
    """Outcome of an update.

    Args:
      published: exported version, None if nothing was published.
      changes: metric -> both versions on the newest days, with the interval of the
        difference; empty without new rows.
      reasons: reasons not to publish.
    """

    published: Path | None
    changes: dict[str, Change]
    reasons: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Exit code of the program."""
        return 1 if self.reasons else 0


@command
def main(config: Config) -> Update:
    """Runs the update and returns its outcome."""
    if not config.dataset:
        raise ending("`--dataset` must be the file with the new rows. Got none.", 2)
    folder = config.model
    published = _go_on(folder, keep=config.keep or None)
    if published is not None:
        print(f"An update that was stopped is finished: {published}")
    kept = finished(folder, retrieval.Config)
    flags = retrieval.config_of(folder)
    exported = read_metrics(folder, retrieval.Config).get("exported")
    if exported != MODEL:
        raise SystemExit(
            f"{folder} must export its model to be updated. It exports {exported}: "
            "train it without --serve-best."
        )
    prepare_folder(folder / ROWS, "--model")
    tf.keras.utils.set_random_seed(flags.seed)
    with step("Loading the data"):
        then, _ = retrieval.load(flags, run=kept.about["run"])
        _check_rows(kept, then)
        rows = _with_new_rows(config.dataset, flags, folder)
        everything = _loaded_with(rows, flags, folder / ROWS / _CANDIDATES)
    cut = _cut(everything, then, days=config.test_days)
    if cut is None:
        print(f"No new rows in {config.dataset}: nothing to do.")
        return Update(published, {}, ())
    path = folder / ROWS / WAITING
    _write_rows(rows, path)
    later = dataclasses.replace(flags.data, later=str(path))
    flags = dataclasses.replace(flags, data=_split(later, everything, then, cut))
    with step("Loading the new data"):
        data, origin = retrieval.load(flags, run=new_run())
        is_new = ~known_rows(data, then, ["train"])["train"]
    _print_rows(data, then, is_new)
    with step("Growing the model") as growing:
        model, changes = grown(
            flags,
            data,
            kept.weights,
            kept.vocabularies,
            learning_rate=config.learning_rate,
        )
        growing.note = "; ".join(
            f"{name}: {c.kept:,} rows kept, {c.added:,} added"
            for name, c in changes.items()
        )
    before = served_ranks(model, data, "test")
    with step("Training") as training:
        learned = rows_to_learn(
            flags, data, is_new, replay=config.replay, seed=flags.seed
        )
        if len(learned):
            learn(flags, data, model, learned, passes=config.passes, seed=flags.seed)
        training.note = f"{is_new.sum():,} new rows"
    after = served_ranks(model, data, "test")
    found, num_users = _compared(before, after, data)
    reasons = _reasons(config, found, num_users)
    _print_changes(found, num_users)
    if reasons:
        print("REFUSE", *(f"- {reason}" for reason in reasons), sep="\n")
        print(f"The new rows wait in {path} for the next update.")
        return Update(None, found, reasons)
    print("PUBLISH")
    number = 1 + max([0, *_numbers(folder)])
    _write_rows(rows, folder / ROWS / f"{number}.parquet")
    data_flags = dataclasses.replace(
        flags.data, later=str(folder / ROWS / f"{number}.parquet")
    )
    flags = dataclasses.replace(flags, data=data_flags, folds=1)
    origin = dataclasses.replace(origin, config=flags)
    update = {
        "of": kept.id,
        "rows": number,
        "split": {name: getattr(data_flags, name) for name in _SPLIT_FLAGS},
        "newest_export": max(tm.serving.list_versions(folder / "export"), default=0),
        "new_rows": int(is_new.sum()),
        "changes": {name: _plain(change) for name, change in found.items()},
    }
    Checkpoints(folder / "checkpoint").save(model, origin, update=update)
    published = _go_on(folder, keep=config.keep or None, loaded=(flags, data, model))
    return Update(published, found, ())


_SPLIT_FLAGS = ("split", "test_fraction", "validation_fraction", "repeats")


def _go_on(
    folder: Path, *, keep: int | None, loaded: tuple | None = None
) -> Path | None:
    """Publishes the newest checkpoint if it is of an update that was not published.

    Args:
      folder: output folder of the run.
      keep: number of versions to keep, None for all.
      loaded: flags, data and model of the checkpoint; None to load them.

    Returns:
      The new version, None if nothing was left to do.
    """
    checkpoint = Checkpoints(folder / "checkpoint").newest()
    if checkpoint is None or "update" not in checkpoint.about:
        return None
    if read_metrics(folder, retrieval.Config).get("checkpoint") == checkpoint.id:
        return None
    update = checkpoint.about["update"]
    if loaded is None:
        flags = retrieval.config_of(folder)
        later = str(folder / ROWS / f"{update['rows']}.parquet")
        data_flags = dataclasses.replace(flags.data, later=later, **update["split"])
        flags = dataclasses.replace(flags, data=data_flags, folds=1)
        tf.keras.utils.set_random_seed(flags.seed)
        data, origin = retrieval.load(flags, run=checkpoint.about["run"])
        checkpoint.check_data(origin.data)
        model = query_towers.build_model(flags, data)
        create_weights(model, data)
        checkpoint.load(model)
    else:
        flags, data, model = loaded
    evaluation = evaluate(model, data)
    run = checkpoint.about["run"]
    write_ranks(
        folder / RANKS, evaluation.tables, row_keys(data, evaluation.rows), run=run
    )
    trained = retrieval.Trained(
        data,
        Origin(run, flags, checkpoint.about["data"], data.vocabularies),
        model,
        query_towers.description(flags, data, model),
        [],
        {},
        checkpoint,
        evaluation,
    )
    versions = tm.serving.list_versions(folder / "export")
    there = [number for number in versions if number > update["newest_export"]]
    metrics = retrieval.finish(
        flags,
        trained,
        [evaluation],
        exported=folder / "export" / str(there[0]) if there else None,
        keep=keep,
        update=update,
    )
    (folder / ROWS / WAITING).unlink(missing_ok=True)
    for number in _numbers(folder)[:-_KEPT]:
        (folder / ROWS / f"{number}.parquet").unlink(missing_ok=True)
    return folder / "export" / metrics["export"]


def _numbers(folder: Path) -> list[int]:
    files = (folder / ROWS).glob("*.parquet")
    return sorted(int(file.stem) for file in files if file.stem.isdecimal())


def _check_rows(kept: Checkpoint, then: tm.data.Interactions) -> None:
    """Ends the program if the training rows of a run are not there any more.

    Tables of users and items may have grown meanwhile.
    """
    count = kept.about["data"]["train rows"]["size"]
    found = len(then.splits["train"]["user_id"])
    if found != count:
        raise SystemExit(
            f"{kept.folder} was trained on {count:,} rows. Its data have "
            f"{found:,} now: give it back its files, or train it again."
        )
    if "timestamp" not in then.splits["train"]:
        raise SystemExit(
            "An update needs times: what is new is a matter of time. Train on a table "
            "with times, which --timestamp-column names."
        )


def _with_new_rows(dataset: str, flags: retrieval.Config, folder: Path) -> pd.DataFrame:
    """Returns all rows that came after those of the first data set of a run."""
    parts = []
    for path in (flags.data.later, folder / ROWS / WAITING):
        if path is not None and Path(path).exists():
            parts.append(read_table(path, argument="later"))
    try:
        if not is_table(dataset):
            raise ValueError(f"there is no file {dataset!r}.")
        parts.append(read_rows(dataset, **table_options(flags.data)))
    except (ValueError, OSError) as error:
        raise SystemExit(
            f"`--dataset` must be a file with the columns of the run's data: {error}"
        ) from error
    rows = pd.concat(parts, ignore_index=True)
    texts = rows.astype(str)
    return rows[~texts.duplicated().to_numpy()].reset_index(drop=True)


def _loaded_with(
    rows: pd.DataFrame, flags: retrieval.Config, path: Path
) -> tm.data.Interactions:
    """Loads the data of a run with later rows, which may be no good.

    Args:
      rows: all rows that came after those of the first data set.
      flags: flags of the run.
      path: path of a temporary file.

    Raises:
      SystemExit: the rows cannot be used.
    """
    try:
        _write_rows(rows, path)
        config = dataclasses.replace(flags.data, later=str(path))
        return load_data(config, seed=flags.seed)
    except SystemExit as error:
        text = str(error).replace("`later`", "`--dataset`")
        raise SystemExit(text) from error
    finally:
        path.unlink(missing_ok=True)


def _write_rows(rows: pd.DataFrame, path: Path) -> None:
    mixed = [
        name
        for name in rows
        if rows[name].dtype == object and rows[name].map(type).nunique() > 1
    ]
    rows = rows.astype(dict.fromkeys(mixed, "string"))
    with written_whole(path) as unfinished:
        rows.to_parquet(unfinished)


def _cut(
    data: tm.data.Interactions, then: tm.data.Interactions, *, days: float
) -> int | None:
    """Returns the time after which rows are test rows, in microseconds.

    No training may have had a row after it. None if there is no new row.
    """
    known = known_rows(data, then, [*then.splits])
    times = {split: row_times(data.splits[split]) for split in data.splits}
    new = np.concatenate([times[split][~known[split]] for split in times])
    if not len(new):
        return None
    trained = row_times(then.splits["train"]).max()
    cut = int(max(new.max() - days * 86_400 * SECOND, trained))
    last = max(
        int(row_times(columns).max(initial=0)) for columns in then.splits.values()
    )
    late = int((new <= last).sum())
    if late:
        print(f"{late:,} of {len(new):,} new rows are older than the newest known row.")
    if new.max() <= cut:
        raise SystemExit(
            "`--dataset` must have a row after the newest one that the model was "
            f"trained on. Its {len(new):,} new rows are all older: nothing can compare "
            "the versions. Train the model from the beginning."
        )
    return cut


def _split(
    flags: DataConfig,
    data: tm.data.Interactions,
    then: tm.data.Interactions,
    cut: int,
) -> DataConfig:
    """Returns the flags of data whose test rows are those after a time."""
    times = np.concatenate([row_times(columns) for columns in data.splits.values()])
    return dataclasses.replace(
        flags,
        split="global_time",
        test_fraction=float((times > cut).sum() / len(times)),
        validation_fraction=0.0,
        repeats=then.repeats,
    )


def _print_rows(
    data: tm.data.Interactions, then: tm.data.Interactions, is_new: np.ndarray
) -> None:
    counts = {name: len(columns["user_id"]) for name, columns in data.splits.items()}
    users, items = (
        len({*data.vocabularies[name]} - {*then.vocabularies[name]})
        for name in ("user_id", "item_id")
    )
    print(
        f"\n{is_new.sum():,} of {counts['train']:,} rows are new to the model; "
        f"{counts['test']:,} rows of the newest days are for the comparison. "
        f"{users:,} users and {items:,} items are new.\n"
    )


def _compared(
    before: tm.metrics.RankTable,
    after: tm.metrics.RankTable,
    data: tm.data.Interactions,
) -> tuple[dict[str, Change], int]:
    """Compares both versions on the test rows; returns metrics and number of users."""
    shown = ~before.hidden
    groups = tm.data.ranking_groups(data, "test")[shown]
    found = {}
    for name in METRICS:
        old, new = (ranks.values(name)[shown] for ranks in (before, after))
        difference = tm.metrics.bootstrap_interval(new - old, groups)
        found[name] = Change(float(old.mean()), float(new.mean()), difference)
    return found, len(np.unique(groups))


def _reasons(
    config: Config, found: dict[str, Change], num_users: int
) -> tuple[str, ...]:
    """Returns the reasons not to publish."""
    if num_users < config.minimum_users:
        return (
            f"the rows of the newest days are of {num_users} user(s), which is too "
            f"few for a comparison: at least {config.minimum_users} (--minimum-users)",
        )
    return tuple(
        f"{name} may have fallen by {-change.difference.low:.4f}: at most "
        f"{config.maximum_fall:g} (--maximum-fall; the lower end of the interval "
        "counts)"
        for name, change in found.items()
        if not change.difference.low >= -config.maximum_fall
    )


def _print_changes(found: dict[str, Change], num_users: int) -> None:
    lines = [
        f"{name}: {change.old:.4f} before, {change.new:.4f} now, "
        f"{change.difference.mean:+.4f} [{change.difference.low:+.4f}, "
        f"{change.difference.high:+.4f}]"
        for name, change in found.items()
    ]
    print(f"\nOn the newest days of {num_users:,} users:", *lines, sep="\n  ")
    print(textwrap.fill("Intervals of 95%, paired by user.", 88))


def _plain(change: Change) -> dict:
    return {**change._asdict(), "difference": change.difference._asdict()}


if __name__ == "__main__":
    start(main, Config, __doc__)
