"""Compares finished runs: tfrs-models compare artifacts/one artifacts/two.

Prints the flags that differ and the metrics side by side. Runs that rank test rows keep
their ranks (ranks.parquet): their differences have intervals, paired by user, over the
rows that both ranked.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import tyro

import tfrs_models as tm

from .parts.artifacts import check_hashes, finite, read_json
from .parts.command import command, start
from .parts.endings import ending
from .parts.flags import Range
from .parts.rank_files import COUNTS, KEYS, NAME, RankFile, read_ranks
from .parts.tracking import flat
from .reporting.tables import print_table

_MODEL = "model"
_ABOUT = (
    *("config", "data", "run", "checkpoint", "export", "files", "summary", "verdict"),
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the comparison."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Output folders of two or more runs; differences are to the first."""
    metrics: tuple[str, ...] = (
        "ndcg_at_10",
        "hit_rate_at_10",
        "hit_rate_at_100",
        "mrr",
    )
    """Metrics of the ranks: any `ndcg_at_K`, `hit_rate_at_K`, `mrr` or `auc`."""
    recommender: str = _MODEL
    """Whose ranks are compared: `model`, or the name of a simple recommender, such as
    `popularity`."""
    confidence: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = 0.95
    """Share of the resampled differences inside of an interval."""
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print one JSON object instead of tables."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
      folder: its output folder.
      content: content of its metrics.json.
      ranks: ranks of its test rows; None if its pipeline keeps none.
    """

    folder: Path
    content: dict
    ranks: RankFile | None


@command
def main(config: Config) -> dict:
    """Prints the comparison and returns it."""
    if len(config.runs) < 2:
        raise ending(
            "`runs` must be two or more output folders. Got "
            f"{len(config.runs)}: tfrs-models compare artifacts/one artifacts/two.",
            2,
        )
    runs = [read_run(folder) for folder in config.runs]
    found = {
        "confidence": config.confidence,
        "runs": [{"folder": str(r.folder), "run": r.content.get("run")} for r in runs],
        "flags": other_flags(runs),
    }
    if all(run.ranks is not None for run in runs):
        found["ranks"] = [
            compared_ranks(
                runs[0],
                run,
                config.metrics,
                recommender=config.recommender,
                confidence=config.confidence,
            )
            for run in runs[1:]
        ]
    else:
        found["figures"] = shared_figures(runs)
    if config.as_json:
        print(json.dumps(finite(found)))
    else:
        _print(found)
    return found


def read_run(folder: Path) -> Run:
    """Reads metrics.json and ranks.parquet of a run.

    Raises:
      SystemExit: the folder holds no finished run, a file is damaged, or the two files
        are of different runs.
    """
    path = folder / "metrics.json"
    if not path.exists():
        raise SystemExit(
            f"There is no finished run in {folder}: it has no metrics.json. Give the "
            "`--output` of a pipeline that has ended."
        )
    content = read_json(path, ("config",), "Run its pipeline again")
    if not (folder / NAME).exists():
        return Run(folder, content, None)
    ranks = read_ranks(folder / NAME)
    if ranks.run != content.get("run"):
        raise SystemExit(
            f"{folder / NAME} is of the run {ranks.run}, and metrics.json beside it of "
            f"{content.get('run')}: a later run was stopped. Run its pipeline again."
        )
    check_hashes(folder, content)
    return Run(folder, content, ranks)


def other_flags(runs: Sequence[Run]) -> dict[str, list]:
    """Returns name of a flag -> its value in each run, of flags that differ."""
    flags = [flat(run.content["config"]) for run in runs]
    names = dict.fromkeys(name for one in flags for name in one)
    names.pop("output", None)
    values = {name: [one.get(name) for one in flags] for name in names}
    return {
        name: each
        for name, each in values.items()
        if any(value != each[0] for value in each[1:])
    }


def compared_ranks(
    first: Run,
    other: Run,
    metrics: Sequence[str],
    *,
    recommender: str = _MODEL,
    confidence: float = 0.95,
) -> dict:
    """Compares the ranks of the test rows that two runs share.

    Args:
      first: run that is the reference.
      other: run to compare with it.
      metrics: names of metrics of ranks.
      recommender: name of the recommender of both.
      confidence: share of the resampled differences inside of an interval.

    Returns:
      Number of shared `rows` and of their `users`, `rows_of_each` run, whether both
      have the `same_candidates`, and `metrics`: name -> mean of each run and the
      difference (other minus first) with its interval.

    Raises:
      SystemExit: a run has no ranks of this recommender, a metric is unknown, or no row
        is shared.
    """
    one, two = (_rows_of(run, recommender) for run in (first, other))
    both = one.merge(two, on=[*KEYS, "turn"], suffixes=("_one", "_two"))
    if both.empty:
        raise SystemExit(
            f"{first.folder} and {other.folder} share no test row: they are of other "
            "data or another split. Compare runs with the same data and --split."
        )
    groups = user_groups(both)
    values, found = {}, {}
    for name in metrics:
        try:
            values[name] = [_table(both, side).values(name) for side in ("one", "two")]
        except ValueError as error:
            raise ending(f"`--metrics` cannot be computed: {error}", 2) from error
    gains = {name: after - before for name, (before, after) in values.items()}
    intervals = tm.metrics.bootstrap_intervals(gains, groups, confidence=confidence)
    for name, sides in values.items():
        means = [float(side.mean()) for side in sides]
        found[name] = {"means": means, "difference": intervals[name]._asdict()}
    return {
        "rows": len(both),
        "users": len(np.unique(groups)),
        "rows_of_each": [len(one), len(two)],
        "same_candidates": bool(
            (both["num_candidates_one"] == both["num_candidates_two"]).all()
        ),
        "metrics": found,
    }


def shared_figures(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Returns path of a figure -> its value in each run, of figures that all have."""
    figures = [
        {
            name: value
            for name, value in flat(_without_lists(run.content)).items()
            if name.split("/")[0] not in _ABOUT and type(value) in (int, float)
        }
        for run in runs
    ]
    names = functools.reduce(lambda a, b: [n for n in a if n in b], figures)
    return {name: [one[name] for one in figures] for name in names}


def _without_lists(value: object) -> object:
    """Turns lists into mappings from position to element."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        return {name: _without_lists(entry) for name, entry in value.items()}
    return value


def _rows_of(run: Run, recommender: str) -> pd.DataFrame:
    frame = run.ranks.frame
    rows = frame[frame["recommender"] == recommender]
    if rows.empty:
        known = sorted(map(str, frame["recommender"].unique()))
        raise ending(
            f"`--recommender` must be of {known} in {run.folder}. Got {recommender!r}.",
            2,
        )
    # Rows that agree in all keys differ by their turn.
    return rows.assign(turn=rows.groupby(list(KEYS)).cumcount())


def user_groups(rows: pd.DataFrame) -> np.ndarray:
    """Numbers users; a row of an unknown user is a group of its own."""
    names = rows["user_id"].to_numpy(object)
    own = np.arange(len(rows)).astype(str).astype(object)
    return np.unique(np.where(names == "", "\0" + own, names), return_inverse=True)[1]


def _table(rows: pd.DataFrame, side: str) -> tm.metrics.RankTable:
    return tm.metrics.RankTable(*(rows[f"{c}_{side}"].to_numpy() for c in COUNTS))


def _print(found: Mapping) -> None:
    letters = [chr(ord("A") + i) for i in range(len(found["runs"]))]
    for letter, run in zip(letters, found["runs"], strict=True):
        print(f"{letter}  {run['folder']} (run {run['run']})")
    if found["flags"]:
        print("\nFlags that differ")
        rows = [
            [f"--{name.replace('_', '-')}", *map(str, values)]
            for name, values in found["flags"].items()
        ]
        print_table(["", *letters], rows)
    for letter, compared in zip(letters[1:], found.get("ranks", ()), strict=False):
        print(
            f"\nA and {letter}: {compared['rows']:,} test rows of "
            f"{compared['users']:,} users that both ranked (of "
            f"{compared['rows_of_each'][0]:,} and {compared['rows_of_each'][1]:,})"
        )
        if not compared["same_candidates"]:
            print("Their numbers of candidates differ: a smaller catalogue is easier.")
        rows = []
        for name, one in compared["metrics"].items():
            gain = one["difference"]
            interval = f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
            rows.append([name, *(f"{mean:.4f}" for mean in one["means"]), interval])
        print_table(
            [
                "",
                "A",
                letter,
                f"{letter} - A [{found['confidence']:.0%}, paired by user]",
            ],
            rows,
        )
    if "figures" in found:
        print("\nFigures of all runs, without intervals: they keep no ranks")
        rows = [
            [name, *(f"{value:.4f}" for value in values)]
            for name, values in found["figures"].items()
        ]
        print_table(["", *letters], rows)


if __name__ == "__main__":
    start(main, Config, __doc__)
