"""Cost of consistent reads of an index: python -m pipelines.benchmarks.live_index.

A graph that queries `BruteForce` or `IVF` reads a snapshot, so that it sees updates by
other threads completely or not at all. It is compared with a graph that reads each
variable by itself, which would be wrong.
"""

import dataclasses
from collections.abc import Callable
from unittest import mock

import numpy as np
import tensorflow as tf
import tyro

from pipelines.benchmarks import results
from pipelines.benchmarks.timing import interleave, ratio, spread
from pipelines.parts.command import command
from tfrs_models import layers
from tfrs_models.layers.index import live


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    candidates: tuple[int, ...] = (20_000, 100_000)
    """Numbers of candidates."""
    embedding_dim: int = 64
    """Number of dimensions of candidates and queries."""
    calls: int = 20
    """Calls of a turn."""
    repeats: int = 21
    """Number of turns."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(candidates=(256,), embedding_dim=4, calls=1, repeats=1, write=False)


@command
def main(config: Config) -> dict[str, float]:
    """Times all cases in turns and writes the section `live_index`."""
    rows, ratios = [], {}
    for kind in ("BruteForce", "IVF"):
        for size in config.candidates:
            for batch in (1, 16):
                whole, bare = _graphs(kind, size, batch, config)
                seconds = interleave(
                    {"whole": whole, "bare": bare}, repeats=config.repeats
                )
                slower = ratio(seconds["whole"], seconds["bare"])
                per_call = spread([1000 * s / config.calls for s in seconds["whole"]])
                name = f"{kind}, {size:,} candidates, batch {batch}"
                rows.append([name, f"{per_call:.2f}", f"{slower:.3f}"])
                ratios[name] = slower.median
    if config.write:
        header = ["case", "ms of a call", "whole over bare"]
        results.write_section(
            "live_index",
            f"{(__doc__ or '').partition(chr(10))[2].strip()}\n\n"
            f"{results.table(header, rows)}\n\n"
            "Command: `python -m pipelines.benchmarks.live_index`",
        )
    return ratios


def _graphs(
    kind: str, size: int, batch: int, config: Config
) -> list[Callable[[], None]]:
    """Returns calls of the same index through a snapshot and through its variables."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(size, config.embedding_dim)).astype("float32")
    queries = tf.constant(
        rng.normal(size=(batch, config.embedding_dim)).astype("float32")
    )
    index = getattr(layers, kind)(k=10).index(rows)

    def calls(graph: Callable) -> Callable[[], None]:
        def run() -> None:
            for _ in range(config.calls):
                graph(queries)

        return run

    spec = tf.TensorSpec(queries.shape, tf.float32)
    whole = tf.function(lambda q: index(q)).get_concrete_function(spec)
    with mock.patch.object(live.Turns, "read_whole", _read_bare):
        bare = tf.function(lambda q: index(q)).get_concrete_function(spec)
    return [calls(whole), calls(bare)]


def _read_bare(
    _: live.Turns, variables: list[tf.Variable], *__: tf.Variable
) -> list[tf.Tensor]:
    return [variable.value() for variable in variables]


if __name__ == "__main__":
    main(tyro.cli(Config))
