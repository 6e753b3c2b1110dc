"""Auto-correlation beside attention: python -m pipelines.benchmarks.auto_correlation.

Compares one layer of self-attention with its four projections, forward and with the
gradients of all weights: `layers.AutoCorrelationLayer` and
`tf.keras.layers.MultiHeadAttention` with the same embedding size and heads.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tyro
from matplotlib.figure import Figure

import tfrs_models as tm
from pipelines.benchmarks import results
from pipelines.benchmarks.memory import peak_memory
from pipelines.benchmarks.timing import interleave, ratio, spread
from pipelines.parts.command import command

OURS, ATTENTION = "auto-correlation", "softmax attention"
_SCORES = 3  # score tensors of attention in memory at once, with gradients


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    seq_len: int = 1810
    """Number of steps of the main case."""
    batch: int = 32
    """Number of series of the main case."""
    embedding_dim: int = 64
    """Number of dimensions of a step."""
    num_heads: int = 8
    """Number of heads of both layers."""
    factor: float = 1.0
    """Factor of the number of lags of auto-correlation."""
    many_lags: float = 3.0
    """Larger factor of a second case."""
    compared: int = 2048
    """Number of steps of a second comparison."""
    compared_batch: int = 16
    """Number of series of the second comparison."""
    lengths: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096, 8192)
    """Numbers of steps of the growth curve."""
    tokens: int = 16_384
    """Number of steps of all series of a batch of the growth curve."""
    memory_limit: float = 8.0
    """Gigabytes above which the scores of attention are not measured."""
    repeats: int = 3
    """Number of turns."""
    memory: bool = True
    """Whether to measure peaks of memory, each in a process of its own."""
    memory_batch: int = 8
    """Number of series of the case whose peaks are measured."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    seq_len=9,
    batch=2,
    embedding_dim=4,
    num_heads=2,
    compared=8,
    compared_batch=2,
    lengths=(4, 8),
    tokens=16,
    repeats=1,
    memory=False,
    write=False,
)
CASES = {
    f"{OURS}, forward": "run_ours_forward",
    f"{ATTENTION}, forward": "run_attention_forward",
    f"{OURS}, with gradients": "run_ours",
    f"{ATTENTION}, with gradients": "run_attention",
}


@command
def main(config: Config) -> dict[str, float]:
    """Times all cases in turns and writes the section `auto_correlation`."""
    close = interleave(
        {name: globals()[maker](config) for name, maker in CASES.items()}
        | {
            f"{OURS}, factor {config.many_lags:g}, with gradients": run_ours(
                dataclasses.replace(config, factor=config.many_lags)
            )
        },
        repeats=config.repeats,
    )
    compared = dataclasses.replace(
        config, seq_len=config.compared, batch=config.compared_batch
    )
    again = interleave(
        {name: globals()[maker](compared) for name, maker in CASES.items()},
        repeats=config.repeats,
    )
    growth = {length: _grown(config, length) for length in config.lengths}
    peaks = {}
    if config.memory:
        sized = dataclasses.replace(config, batch=config.memory_batch)
        flags = dataclasses.asdict(sized)
        module = "pipelines.benchmarks.auto_correlation"
        peaks = {
            name: peak_memory(f"{module}:{maker}", flags)
            for name, maker in CASES.items()
        }
    if config.write:
        report = _report(config, close, again, growth, peaks)
        results.write_section("auto_correlation", report)
    figures = {
        f"{length}: {kind}": ratio(
            seconds[f"{ATTENTION}, {kind}"], seconds[f"{OURS}, {kind}"]
        ).median
        for length, seconds in ((config.seq_len, close), (config.compared, again))
        for kind in ("forward", "with gradients")
    }
    return figures | {f"{name}: MB": peak for name, peak in peaks.items()}


def run_ours(config: Config) -> Callable[[], None]:
    """Returns a step of auto-correlation with its gradients."""
    return _with_gradients(_ours(config), config)


def run_ours_forward(config: Config) -> Callable[[], None]:
    """Returns a forward pass of auto-correlation, each series with its own lags."""
    return _forward(_ours(config), config)


def run_attention(config: Config) -> Callable[[], None]:
    """Returns a step of attention with its gradients."""
    return _with_gradients(_attention(config), config)


def run_attention_forward(config: Config) -> Callable[[], None]:
    """Returns a forward pass of attention."""
    return _forward(_attention(config), config)


def _ours(config: Config) -> tm.layers.AutoCorrelationLayer:
    return tm.layers.AutoCorrelationLayer(
        config.embedding_dim, num_heads=config.num_heads, factor=config.factor
    )


def _attention(config: Config) -> tf.keras.layers.Layer:
    attention = tf.keras.layers.MultiHeadAttention(
        config.num_heads, config.embedding_dim // config.num_heads
    )
    attention(*[tf.zeros([1, 1, config.embedding_dim])] * 2)
    return attention


def _forward(layer: tf.keras.layers.Layer, config: Config) -> Callable[[], None]:
    series = _series(config)
    run = tf.function(lambda: tf.reduce_sum(layer(series, series)))
    return lambda: run().numpy()


def _with_gradients(layer: tf.keras.layers.Layer, config: Config) -> Callable[[], None]:
    series = _series(config)

    @tf.function
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(series)
            loss = tf.reduce_sum(layer(series, series, training=True) ** 2)
        return tape.gradient(loss, [series, *layer.trainable_weights])

    layer(series[:1, :2], series[:1, :2])
    return lambda: [gradient.numpy() for gradient in step()]


def _series(config: Config) -> tf.Tensor:
    rng = np.random.default_rng(0)
    shape = (config.batch, config.seq_len, config.embedding_dim)
    return tf.constant(rng.standard_normal(shape, dtype="float32"))


def _grown(config: Config, length: int) -> dict[str, list[float]]:
    """Times both layers at a length, attention only if its scores fit into memory."""
    batch = max(1, config.tokens // length)
    sized = dataclasses.replace(config, seq_len=length, batch=batch)
    cases = {OURS: run_ours(sized)}
    if _gigabytes(sized) <= config.memory_limit:
        cases[ATTENTION] = run_attention(sized)
    return interleave(cases, repeats=max(1, config.repeats // 2))


def _gigabytes(config: Config) -> float:
    scores = config.batch * config.num_heads * config.seq_len**2
    return 4e-9 * _SCORES * scores


def _report(
    config: Config,
    close: dict[str, list[float]],
    again: dict[str, list[float]],
    growth: dict[int, dict[str, list[float]]],
    peaks: dict[str, float],
) -> str:
    rows = []
    for length, seconds in ((config.seq_len, close), (config.compared, again)):
        for name, values in seconds.items():
            kind = name.rpartition(", ")[2]
            against = seconds[f"{ATTENTION}, {kind}"]
            rows.append(
                [
                    f"{length:,}",
                    name,
                    f"{spread([1000 * s for s in values]):,.0f}",
                    f"{ratio(against, values):.1f}",
                    f"{peaks[name]:,.0f}"
                    if values is close.get(name) and peaks.get(name)
                    else "",
                ]
            )
    header = [
        "steps",
        "case",
        "ms",
        "attention's time over it",
        f"peak MB of {config.memory_batch} series",
    ]
    memory = ""
    if peaks:
        names = [f"{ATTENTION}, with gradients", f"{OURS}, with gradients"]
        share = peaks[names[0]] / peaks[names[1]]
        memory = f"Attention's peak of memory is {share:.1f} times as high."
    return f"""\
{config.batch} series ({config.compared_batch} of {config.compared:,} steps) of width
{config.embedding_dim}, {config.num_heads} heads, four projections; {config.repeats}
turns, traced before. *With gradients*: of the series and all weights. A peak is of a
process of its own, above its imports, after two runs of {config.memory_batch} series.

{results.table(header, rows)}

{memory} The growth is at {config.tokens:,} steps in all: longer series are fewer.
Attention ends where its scores with their gradients need more than
{config.memory_limit:g} GB.

{results.save_plot(_growth_plot(growth), "auto_correlation")}

Command: `python -m pipelines.benchmarks.auto_correlation`
"""


def _growth_plot(growth: dict[int, dict[str, list[float]]]) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, colour in ((OURS, "#1d4ed8"), (ATTENTION, "#c2410c")):
        lengths = [length for length, seconds in growth.items() if name in seconds]
        medians = [spread(growth[length][name]).median for length in lengths]
        axes.loglog(lengths, medians, "o-", color=colour, label=name)
    axes.set_xlabel("steps of a series, all series together alike")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Forward and gradients", fontsize=11)
    return figure


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
