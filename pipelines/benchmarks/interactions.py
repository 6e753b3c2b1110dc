"""Growth of factorisation machines: python -m pipelines.benchmarks.interactions.

Times forward pass and gradients of `layers.FactorizationMachine` over a growing number
of fields, beside the sum over all pairs of its definition.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tyro
from matplotlib.figure import Figure

import tfrs_models as tm
from pipelines.benchmarks import results
from pipelines.benchmarks.timing import interleave, ratio, spread
from pipelines.parts.command import command

OURS, PAIRS = "ours", "all pairs"


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    batch: int = 10_000
    """Rows per batch."""
    fields: tuple[int, ...] = (10, 20, 40, 80)
    """Numbers of fields, each an id."""
    values: int = 1000
    """Number of values of each field."""
    embedding_dim: int = 16
    """Number of dimensions of a value's embedding."""
    repeats: int = 9
    """Number of turns."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    batch=8, fields=(2, 4), values=5, embedding_dim=2, repeats=1, write=False
)


@command
def main(config: Config) -> dict[str, float]:
    """Times both over all numbers of fields and writes the section `interactions`."""
    cases = {
        f"{name}, {count}": make(config, count)
        for count in config.fields
        for name, make in ((OURS, run_ours), (PAIRS, run_pairs))
    }
    seconds = interleave(cases, repeats=config.repeats)
    if config.write:
        results.write_section("interactions", _report(config, seconds))
    first, last = config.fields[0], config.fields[-1]
    return {
        f"{name}: {last} fields / {first} fields": ratio(
            seconds[f"{name}, {last}"], seconds[f"{name}, {first}"]
        ).median
        for name in (OURS, PAIRS)
    }


def run_ours(config: Config, count: int) -> Callable[[], None]:
    """Returns a step of the layer over declared fields."""
    features = _features(config, count)
    fields = [tm.data.Feature(name, "id", config.values) for name in features]
    layer = tm.layers.FactorizationMachine(fields, config.embedding_dim)
    layer(features)
    return _gradients(lambda: layer(features), layer.trainable_variables)


def run_pairs(config: Config, count: int) -> Callable[[], None]:
    """Returns a step of the sum over pairs, as one product of all fields with all."""
    features = _features(config, count)
    rows = tf.stack(list(features.values()), axis=1)
    rows += tf.range(count, dtype=rows.dtype) * (config.values + 1)
    shape = (count * (config.values + 1), config.embedding_dim)
    table = tf.Variable(tf.random.normal(shape, stddev=0.05, seed=0))

    def logits() -> tf.Tensor:
        vectors = tf.gather(table, rows)
        products = tf.matmul(vectors, vectors, transpose_b=True)
        above = tf.linalg.band_part(products, 0, -1) - tf.linalg.band_part(
            products, 0, 0
        )
        return tf.reduce_sum(above, axis=[1, 2])

    return _gradients(logits, [table])


def _gradients(
    logits: Callable[[], tf.Tensor], variables: list[tf.Variable]
) -> Callable[[], None]:
    @tf.function
    def step() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(logits()))
        return loss, tape.gradient(loss, variables)

    return lambda: step()[0].numpy()


def _features(config: Config, count: int) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(0)
    return {
        f"field_{place}": tf.constant(
            rng.integers(1, config.values + 1, size=config.batch)
        )
        for place in range(count)
    }


def _report(config: Config, seconds: dict[str, list[float]]) -> str:
    first = config.fields[0]
    rows = [
        [
            f"{count}",
            f"{spread([1000 * s for s in seconds[f'{OURS}, {count}']]):,.1f}",
            f"{ratio(seconds[f'{OURS}, {count}'], seconds[f'{OURS}, {first}']):.2f}",
            f"{spread([1000 * s for s in seconds[f'{PAIRS}, {count}']]):,.1f}",
            f"{ratio(seconds[f'{PAIRS}, {count}'], seconds[f'{PAIRS}, {first}']):.2f}",
        ]
        for count in config.fields
    ]
    header = [
        "fields",
        "ours, ms",
        f"of {first} fields",
        "all pairs, ms",
        f"of {first} fields",
    ]
    return f"""\
{config.batch:,} rows, an id of {config.values:,} values in each field, width
{config.embedding_dim}; forward and gradients, {config.repeats} turns, traced before.

{results.table(header, rows)}

{results.save_plot(_growth(config, seconds), "interactions")}

Command: `python -m pipelines.benchmarks.interactions`
"""


def _growth(config: Config, seconds: dict[str, list[float]]) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, colour in ((OURS, "#1d4ed8"), (PAIRS, "#9ca3af")):
        medians = [spread(seconds[f"{name}, {n}"]).median for n in config.fields]
        axes.loglog(config.fields, medians, "o-", color=colour, label=name)
    axes.set_xticks(config.fields, [str(count) for count in config.fields])
    axes.minorticks_off()
    axes.set_xlabel("fields")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Factorisation machine, {config.batch:,} rows", fontsize=11)
    return figure


if __name__ == "__main__":
    print(main(tyro.cli(Config, description=__doc__)))
