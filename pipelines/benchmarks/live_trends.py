"""Time of `Recommender.update_trends` by the size of the catalogue.

python -m pipelines.benchmarks.live_trends
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines.benchmarks import results
from pipelines.parts.command import command
from pipelines.parts.flags import Count

HALF_LIVES_DAYS = (0.25, 1.0, 4.0, 16.0, 64.0)
HOUR = 3_600


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    num_items: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Sizes of the catalogue."""
    events: Count = 100_000
    """Number of new events of an update."""
    repeats: Count = 5
    """Number of updates, of whose times the median is reported."""
    embedding_dim: Count = 64
    """Number of dimensions of an item without its trends."""
    write: bool = True
    """Write the section to RESULTS.md."""


SMOKE = Config(num_items=(50,), events=20, repeats=1, embedding_dim=3, write=False)


@command
def main(config: Config) -> dict[int, list[float]]:
    """Updates trends and writes the section `live_trends`.

    Args:
      config: flags of the benchmark.

    Returns:
      Number of items -> seconds of each update.
    """
    found = {number: seconds(config, number) for number in config.num_items}
    text = section(config, found)
    print(text)
    if config.write:
        results.write_section("live_trends", text)
    return found


def seconds(config: Config, num_items: int) -> list[float]:
    """Measures updates of the trends of a catalogue.

    Args:
      config: flags of the benchmark.
      num_items: number of items.
    """
    rng = np.random.default_rng(0)
    start = 10**9
    trends = tm.serving.LiveTrends(
        rng.gamma(0.1, size=(num_items + 1, len(HALF_LIVES_DAYS))),
        np.full(num_items + 1, start - HOUR),
        time=start,
        half_lives_days=HALF_LIVES_DAYS,
    )
    width = config.embedding_dim + trends.num_trends
    embeddings = rng.normal(size=(num_items, width)).astype("float32")
    index = tm.layers.BruteForce().index(embeddings, np.arange(1, num_items + 1))
    ids = [f"item {number}" for number in range(num_items)]
    recommender = tm.serving.Recommender(
        tf.keras.layers.Lambda(lambda user: user["query"]),
        index,
        user_ids=["user"],
        user_features={"query": np.zeros((2, width), "float32")},
        item_ids=ids,
        titles=["", *ids],
        known_items=tf.ragged.constant([[], []], dtype=tf.int64),
        candidate_probabilities=np.zeros(num_items + 1),
        trends=trends,
    )
    found = []
    for update in range(1, config.repeats + 2):  # the first one is not counted
        now = start + update * HOUR
        events = [ids[row] for row in rng.integers(num_items, size=config.events)]
        times = rng.integers(now - HOUR, now, config.events)
        begun = time.perf_counter()
        recommender.update_trends(events, now, event_times=times)
        found.append(time.perf_counter() - begun)
    return found[1:]


def section(config: Config, found: Mapping[int, Sequence[float]]) -> str:
    """Formats the section of RESULTS.md.

    Args:
      config: flags of the benchmark.
      found: number of items -> seconds of each update.
    """
    rows = [
        [
            f"{number:,}",
            f"{np.median(times):.3f} s ({min(times):.3f}..{max(times):.3f})",
        ]
        for number, times in found.items()
    ]
    width = f"{config.embedding_dim} + {len(HALF_LIVES_DAYS) + 2}"
    return f"""\
`Recommender.update_trends` with {config.events:,} new events on an exact index of width
{width}: median (lowest..highest) of {config.repeats} updates after a first one.

{results.table(["items", "time of an update"], rows)}
"""


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
