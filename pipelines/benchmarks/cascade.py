"""A cascade with a ranker of lists beside its retrieval model alone.

MovieLens latest-small comes with a Python package; MovieTweetings is a file of a public
repository, which is not ours to ship: `RodolfoViana/MovieTweetings`,
snapshots/100K/ratings.dat.

python -m pipelines.benchmarks.cascade --movietweetings ratings.dat
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

import tfrs_models as tm
from pipelines import retrieval
from pipelines.benchmarks import results
from pipelines.parts import list_ranking, query_towers
from pipelines.parts.artifacts import prepare_folder, write_json
from pipelines.parts.command import command
from pipelines.parts.data import DataConfig
from pipelines.parts.flags import Count, Seed
from pipelines.reporting.list_ranking import (
    DIFFERENCE,
    ORDERS,
    intervals,
    liked_rows,
    values_of,
    verdict,
)

METRICS = {"ndcg_at_10": "NDCG@10", "hit_rate_at_10": "hit rate at 10"}


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    movietweetings: str | None = None
    """Path of ratings.dat of MovieTweetings; by default latest-small alone."""
    data: tuple[str, ...] = ()
    """Names of the data to measure: latest-small, movietweetings; by default all."""
    seeds: tuple[Seed, ...] = (42, 43, 44, 45, 46)
    """Seeds of the order of equal times, the weights and the order of the rows."""
    trends: Literal["auto", "yes", "no"] = "auto"
    """Whether trends enter the score of retrieval, as in the retrieval pipeline; the
    ranker reads them in any case."""
    num_retrieved: Count = 100
    """Number of candidates that the ranker orders."""
    ranker: list_ranking.ListRankerConfig = dataclasses.field(
        default_factory=list_ranking.ListRankerConfig
    )
    """Flags of the ranker."""
    reuse: bool = False
    """Read the rows of seeds that were measured before from the output folder."""
    write: bool = True
    """Write the section to RESULTS.md."""
    output: Path = Path("artifacts/cascade")
    """Folder of the runs."""


@command
def main(config: Config) -> dict:
    """Trains both models with each seed, and writes the section `cascade`.

    Returns:
      Name of the data -> metrics with intervals.
    """
    data = {"latest-small": DataConfig()}
    if config.movietweetings is not None:
        data["movietweetings"] = DataConfig(dataset=config.movietweetings)
    unknown = set(config.data) - set(data)
    if unknown:
        raise SystemExit(
            f"`--data` must be among {', '.join(data)}. Got {', '.join(unknown)}: name "
            "the file with --movietweetings."
        )
    found = {}
    for name in config.data or data:
        rows = [measured(config, name, data[name], seed) for seed in config.seeds]
        found[name] = summary(rows)
        print(f"\n{name}: {found[name]['verdict']}\n")
        if config.write:
            heading = name
            if config.trends == "no":
                heading += ", over retrieval without trends"
            body = part(found[name], config)
            results.write_part("cascade", introduction(config), heading, body)
    write_json(prepare_folder(config.output) / "metrics.json", found)
    return found


def measured(config: Config, name: str, data: DataConfig, seed: int) -> dict:
    """Measures one seed, or reads what was measured.

    Returns:
      Arrays of the test rows: users, whether they are liked, metrics of both orders;
      and the NDCG@10 of both orders on the validation rows.
    """
    folder = prepare_folder(config.output / f"{name}-{seed}")
    written = folder / "rows.npz"
    if config.reuse and written.exists():
        return results.read_rows(written)
    flags = query_towers.resolved(
        retrieval.Config(
            data=data,
            seed=seed,
            baselines="none",
            trends=config.trends,
            output=folder,
        )
    )
    trained = retrieval.run(flags)
    found = list_ranking.train(
        config.ranker,
        flags,
        trained.data,
        trained.model,
        num_retrieved=config.num_retrieved,
        seed=seed,
    )
    rows = test_rows(config, trained.data, trained.model, found)
    results.write_rows(written, rows)
    return rows


def test_rows(
    config: Config,
    data: tm.data.Interactions,
    model: tm.models.TwoTower,
    found: list_ranking.Trained,
) -> dict[str, np.ndarray]:
    """Measures the test rows in the order of retrieval and of the ranker."""
    lists = list_ranking.lists_of(
        model, data, "test", num_retrieved=config.num_retrieved
    )
    order = list_ranking.reordered(
        found.ranker,
        list_ranking.list_batches(lists, model, data, "test", config.ranker.attended),
    )
    values = values_of(lists.labels > 0, order)
    liked = liked_rows(data, "test")
    rows = {
        "users": data.splits["test"]["user_id"][lists.rows],
        "liked": np.ones(len(lists.rows), bool) if liked is None else liked[lists.rows],
        "validation": np.array([found.validation[order] for order in ORDERS]),
        "is_better": np.array(found.is_better),
        "commit": np.array(results.commit()),
    }
    for order in (*ORDERS, DIFFERENCE):
        rows |= {f"{order}/{name}": v for name, v in values[order].items()}
    return rows


def summary(seeds: Sequence[dict]) -> dict:
    """Averages over seeds and computes intervals over users.

    A user's rows of all seeds are drawn together.

    Args:
      seeds: rows of each seed, from `measured`.
    """
    users = np.concatenate([rows["users"] for rows in seeds])
    liked = np.concatenate([rows["liked"] for rows in seeds])
    values = {
        order: {
            name: np.concatenate([rows[f"{order}/{name}"] for rows in seeds])
            for name in METRICS
        }
        for order in (*ORDERS, DIFFERENCE)
    }
    test = intervals(values, users, liked)
    by_seed = [rows[f"{DIFFERENCE}/ndcg_at_10"].mean() for rows in seeds]
    return {
        "test": test,
        "validation": np.mean([rows["validation"] for rows in seeds], axis=0).tolist(),
        "gain_by_seed": [float(gain) for gain in by_seed],
        "num_users": len(np.unique(users)),
        "commits": sorted({str(rows["commit"]) for rows in seeds}),
        "verdict": verdict(
            test, is_better=any(bool(rows["is_better"]) for rows in seeds)
        ),
    }


def introduction(config: Config) -> str:
    """Formats what comes before the parts of the section of RESULTS.md.

    Args:
      config: flags of the benchmark.
    """
    return f"""\
The held-out last item of each user among {config.num_retrieved} candidates of
`python -m pipelines.retrieval` with its defaults, in its own order and in that of a
`models.ListRanker`, which learns from the lists of training rows that are held back
from a first retrieval model. Known items are excluded; seeds also draw the order of
equal times. Epochs are chosen on validation rows. Means over seeds, [95% bootstrap
interval over users], a user's rows of all seeds in one draw; a row is liked with four
fifths of the largest rating. Each table is measured and replaced by itself.

Command: `python -m pipelines.benchmarks.cascade --movietweetings PATH` (`--trends no`
for retrieval without trends).
"""


def part(values: dict, config: Config) -> str:
    """Formats the table of one data set.

    Args:
      values: what `summary` returns.
      config: flags of the benchmark.
    """
    rows = [
        [f"{order.replace('_', ' ')}, {rows} rows", *map(_interval, _of(metrics))]
        for rows, orders in values["test"].items()
        for order, metrics in orders.items()
    ]
    before, after = values["validation"]
    gains = ", ".join(f"{gain:+.4f}" for gain in values["gain_by_seed"])
    commits = ", ".join(f"`{commit}`" for commit in values["commits"])
    return f"""\
{results.table(["", *METRICS.values()], rows)}

{values["num_users"]:,} users. NDCG@10 on the validation rows {before:.4f} before and
{after:.4f} after; gains on the test rows by seed: {gains}. {values["verdict"]}
Seeds {", ".join(map(str, config.seeds))}; commit {commits}."""


def _of(metrics: dict) -> list[dict]:
    return [metrics[name] for name in METRICS]


def _interval(value: dict) -> str:
    return f"{value['mean']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
