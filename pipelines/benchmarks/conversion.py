"""Memory and time of converting KuaiSAR: python -m pipelines.benchmarks.conversion.

Writes a synthetic raw log in the proportions of KuaiSAR (three of four rows from the
recommender, ten rows per search, items by Zipf's law), converts it in a process of its
own, and reports the peak of memory and the time.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from pipelines.benchmarks import results
from pipelines.benchmarks.memory import peak_memory
from pipelines.parts.command import command
from pipelines.parts.flags import Seed, Text
from tfrs_models.data.kuaisar.convert import convert

_START = 1_684_713_600_000  # 22 May 2023 in Beijing
_DAYS = 9
_PER_SEARCH = 10


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    rows: tuple[int, ...] = (1_000_000, 5_000_000)
    """Numbers of rows of both logs together."""
    users: int = 20_000
    """Number of users of the log."""
    items: int = 500_000
    """Number of items of the log; their frequencies follow Zipf."""
    words: int = 100_000
    """Number of words of captions and queries."""
    chunk_rows: int = 250_000
    """Rows in memory at a time."""
    directory: Text = ""
    """Directory of an existing log; the benchmark sets it for its own processes."""
    seed: Seed = 0
    """Seed of the log."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    rows=(16_000,), users=90, items=600, words=50, chunk_rows=3000, write=False
)


@command
def main(config: Config) -> dict[str, float]:
    """Converts logs of every size and writes the section `conversion`."""
    figures, table = {}, []
    for rows in config.rows:
        with tempfile.TemporaryDirectory() as directory:
            write_log(config, rows, directory)
            started = time.perf_counter()
            data = convert(directory, chunk_rows=config.chunk_rows)
            seconds = time.perf_counter() - started
            flags = {"directory": directory, "chunk_rows": config.chunk_rows}
            peak = peak_memory(
                "pipelines.benchmarks.conversion:conversion_of",
                flags,
                runs=1,
                imports=True,
            )
        samples = sum(
            sum(splits.values()) for splits in data.manifest["samples"].values()
        )
        table.append(
            [
                f"{rows:,}",
                f"{data.num_users:,}",
                f"{data.num_items:,}",
                f"{samples:,}",
                f"{peak / 1000:.2f}",
                f"{seconds:.0f}",
            ]
        )
        figures |= {f"{rows}: peak, GB": peak / 1000, f"{rows}: seconds": seconds}
    if config.write:
        results.write_section("conversion", _report(config, table))
    return figures


def conversion_of(config: Config) -> Callable[[], None]:
    """Returns a function that converts the log in the directory."""
    return lambda: convert(config.directory, chunk_rows=config.chunk_rows)


def write_log(config: Config, rows: int, directory: str | Path) -> None:
    """Writes the four files that a conversion reads."""
    rng, directory = np.random.default_rng(config.seed), Path(directory)
    chances = 1 / (np.arange(1, config.items + 1) + 20)
    thresholds = np.cumsum(chances / chances.sum())

    def items(size: int) -> np.ndarray:
        drawn = np.searchsorted(thresholds, rng.random(size))
        return np.minimum(drawn, config.items - 1)

    def clicks(size: int) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "user_id": rng.integers(config.users, size=size),
                "item_id": items(size),
                "timestamp": _moments(rng, size),
                "click": rng.integers(2, size=size),
            }
        )

    num_sessions = 0

    def searches(size: int) -> pd.DataFrame:
        nonlocal num_sessions
        session = num_sessions + np.arange(size) // _PER_SEARCH
        num_sessions = int(session[-1]) + 1
        count = int(session[-1] - session[0]) + 1
        place = session - session[0]
        keyword = np.array(_lists(rng, config.words, count, 6), dtype=object)
        return pd.DataFrame(
            {
                "user_id": rng.integers(config.users, size=count)[place],
                "search_session_id": session,
                "search_session_timestamp": _moments(rng, count)[place],
                "keyword": keyword[place],
                "item_id": items(size),
                "click_cnt": (rng.random(size) < 0.1).astype(int),
            }
        )

    def captions(size: int) -> pd.DataFrame:
        return pd.DataFrame({"caption": _lists(rng, config.words, size, 20)})

    _append(directory / "rec_inter.csv", clicks, rows * 3 // 4)
    _append(directory / "src_inter.csv", searches, rows // 4)
    _append(directory / "captions.csv", captions, config.items)
    features = pd.read_csv(directory / "captions.csv")
    features["item_id"] = np.arange(config.items)
    features["first_level_category_id"] = features["item_id"] % 37 + 1
    features["second_level_category_id"] = features["item_id"] % 296 + 1
    features.to_csv(directory / "item_features.csv", index=False)
    users = pd.DataFrame({"user_id": np.arange(config.users)})
    names = ("onehot_feat1", "onehot_feat2", "search_active_level", "rec_active_level")
    users.assign(**dict.fromkeys(names, 1)).to_csv(
        directory / "user_features.csv", index=False
    )


def _append(path: Path, make: Callable[[int], pd.DataFrame], rows: int) -> None:
    for size in _parts(rows):
        make(size).to_csv(path, mode="a", header=not path.exists(), index=False)


def _parts(rows: int, size: int = 500_000) -> Iterator[int]:
    return (min(size, rows - start) for start in range(0, rows, size))


def _moments(rng: np.random.Generator, size: int) -> np.ndarray:
    day = 24 * 60 * 60 * 1000
    return (_START + rng.integers(_DAYS * day, size=size)).astype(float)


def _lists(rng: np.random.Generator, num_words: int, size: int, most: int) -> list[str]:
    lengths = rng.integers(1, most + 1, size=size)
    words = rng.integers(1, num_words, size=lengths.sum()).tolist()
    ends = np.cumsum(lengths).tolist()
    return [str(words[end - n : end]) for n, end in zip(lengths, ends, strict=True)]


def _report(config: Config, rows: list[list[str]]) -> str:
    header = [
        "rows read",
        "users kept",
        "items kept",
        "samples",
        "peak, GB",
        "seconds",
    ]
    return f"""\
An invented raw log: {config.users:,} users, {config.items:,} items (Zipf),
{config.words:,} words, captions of up to 20 words; read {config.chunk_rows:,} rows at a
time. The default `Options`: 5-core, four negatives of a training sample, 99 of a
validation or test sample. The peak is the whole process's, imports included; one run.

{results.table(header, rows)}

Command: `python -m pipelines.benchmarks.conversion`
"""


if __name__ == "__main__":
    main(tyro.cli(Config))
