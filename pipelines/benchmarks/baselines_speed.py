"""Speed of simple recommenders: python -m pipelines.benchmarks.baselines_speed.

Fits EASE, item-kNN and recent popularity on synthetic logs of the sizes that the README
names, each in a process of its own, and measures seconds and peak memory.
"""

import dataclasses
import os
from collections.abc import Callable

import numpy as np
import pandas as pd
import tyro

import tfrs_models as tm
from pipelines.benchmarks import results
from pipelines.benchmarks.memory import peak_memory
from pipelines.benchmarks.timing import spread, stopwatch
from pipelines.parts.command import command
from pipelines.parts.flags import Seed

_DAY = 86_400 * 10**6


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    ease_items: int = 9066
    """Number of items of EASE."""
    knn_items: int = 15_000
    """Number of items of item-kNN."""
    users: int = 20_000
    """Number of users of EASE and item-kNN."""
    rows: int = 1_000_000
    """Number of rows of EASE and item-kNN."""
    recent_items: int = 15_000
    """Number of items of recent popularity."""
    recent_rows: int = 10_000_000
    """Number of rows of recent popularity, over two years."""
    queries: int = 3000
    """Number of rows at whose times recent popularity is computed for all items."""
    repeats: int = 3
    """Number of turns."""
    seed: Seed = 0
    """Seed of the data."""
    memory: bool = True
    """Whether to measure memory, in processes of their own."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    ease_items=20,
    knn_items=30,
    users=15,
    rows=400,
    recent_items=25,
    recent_rows=500,
    queries=20,
    repeats=1,
    memory=False,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Measures each case in turns and writes the section `baselines_speed`."""
    figures, rows = {}, []
    flags = dataclasses.asdict(config)
    for name, (size, case) in CASES.items():
        run = case(config)
        seconds = spread([stopwatch(run) for _ in range(config.repeats)])
        del run
        figures[f"{name}: seconds"] = seconds.median
        rows.append([name, size(config), f"{seconds:.2f}", "not measured"])
        if config.memory:
            target = f"pipelines.benchmarks.baselines_speed:{case.__name__}"
            megabytes = peak_memory(target, flags, runs=1)
            figures[f"{name}: MB"] = megabytes
            rows[-1][-1] = f"{megabytes:,.0f}"
    if config.write:
        results.write_section("baselines_speed", _report(rows))
    return figures


def ease_case(config: Config) -> Callable[[], None]:
    """Returns the fit of EASE.

    Args:
      config: flags.
    """
    data = log(config, config.ease_items, config.rows)
    baseline = tm.baselines.EASE(regularization=300.0)
    return lambda: baseline.fit(data)


def knn_case(config: Config) -> Callable[[], None]:
    """Returns the fit of item-kNN.

    Args:
      config: flags.
    """
    data = log(config, config.knn_items, config.rows)
    return lambda: tm.baselines.ItemKNN().fit(data)


def recent_case(config: Config) -> Callable[[], None]:
    """Returns the fit of recent popularity and its scores at the queries' times.

    Args:
      config: flags.
    """
    data = log(config, config.recent_items, config.recent_rows)
    test = data.splits["test"]
    rows = {name: column[: config.queries] for name, column in test.items()}
    baseline = tm.baselines.RecentPopularity(half_life_days=2.0)

    def run() -> None:
        tm.metrics.rank_scores(baseline.fit(data).score, rows)

    return run


CASES = {
    "EASE, fit": (lambda c: f"{c.ease_items:,} items, {c.rows:,} rows", ease_case),
    "item-kNN, fit": (lambda c: f"{c.knn_items:,} items, {c.rows:,} rows", knn_case),
    "recent popularity, fit and ranks of the queries": (
        lambda c: (
            f"{c.recent_rows:,} rows, {c.recent_items:,} items, {c.queries:,} queries"
        ),
        recent_case,
    ),
}


def log(config: Config, num_items: int, num_rows: int) -> tm.data.Interactions:
    """Makes rows at random times of two years; items follow Zipf.

    Args:
      config: flags.
      num_items: number of items.
      num_rows: number of rows, a tenth of them in test.
    """
    rng = np.random.default_rng(config.seed)
    chances = 1 / np.arange(1, num_items + 1)
    chances /= chances.sum()
    columns = {
        "user_id": rng.integers(1, config.users + 1, size=num_rows),
        "item_id": 1 + rng.choice(num_items, size=num_rows, p=chances),
        "timestamp_us": 1_600_000_000 * 10**6 + rng.integers(730 * _DAY, size=num_rows),
    }
    cut = num_rows - num_rows // 10
    splits = {
        "train": {name: column[:cut] for name, column in columns.items()},
        "validation": {name: column[:0] for name, column in columns.items()},
        "test": {name: column[cut:] for name, column in columns.items()},
    }
    tiny = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2]})
    return dataclasses.replace(
        tm.data.from_frame(tiny, split="random", test_fraction=0.5),
        vocabularies={
            "user_id": np.arange(config.users).astype(str),
            "item_id": np.arange(num_items).astype(str),
        },
        splits=splits,
    )


def _report(rows: list[list[str]]) -> str:
    header = ["case", "size", "seconds", "peak memory, MB"]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"""\
Synthetic logs: items follow Zipf, users and times are uniform. Memory is the peak of a
process of its own, with the log and without the imports. The load average at the
end was {load:.1f} on {os.cpu_count()} cores: above that, other processes took
a part of the seconds.

{results.table(header, rows)}

Command: `python -m pipelines.benchmarks.baselines_speed`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
