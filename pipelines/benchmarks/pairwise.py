"""Speed and memory of the pairwise losses: python -m pipelines.benchmarks.pairwise.

Compares loss and gradient of `losses.pairwise_*` on lists with graded labels and
padding with the same loss list by list (a `tf.map_fn` in a `tf.function`, and an eager
loop) and with the loss of all pairs at once under automatic gradients.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tyro

from pipelines.benchmarks import figures, results
from pipelines.benchmarks.memory import peak_memory
from pipelines.benchmarks.timing import interleave, ratio, spread
from pipelines.parts.command import command
from pipelines.parts.flags import Seed, ShareBelowOne
from tfrs_models import losses

LOSSES = ("hinge", "logistic", "logistic, delta NDCG")
RIVALS = {
    "compiled map_fn, XLA": "run_map_fn_xla",
    "compiled map_fn": "run_map_fn",
    "all pairs, autodiff": "run_dense",
    "eager loop": "run_eager",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    loss: str = "logistic"
    """Loss of a case that is measured alone."""
    batch: int = 1024
    """Number of lists."""
    list_size: int = 200
    """Number of items of a list."""
    max_label: int = 4
    """Largest label."""
    padding: ShareBelowOne = 0.1
    """Share of positions without an item."""
    eager_lists: int = 16
    """Number of lists of the eager loop; its time is scaled to all lists."""
    repeats: int = 9
    """Number of turns."""
    seed: Seed = 0
    """Seed of the data."""
    memory: bool = True
    """Whether to measure peaks of memory, each in a process of its own."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    batch=6, list_size=5, eager_lists=2, repeats=1, memory=False, write=False
)


@command
def main(config: Config) -> dict[str, float]:
    """Times all cases in turns and writes the section `pairwise`."""
    seconds, differences = {}, []
    for loss in LOSSES:
        flags = dataclasses.replace(config, loss=loss)
        makers = {"ours": "run_ours"} | RIVALS
        cases = {name: globals()[maker](flags) for name, maker in makers.items()}
        seconds[loss] = interleave(cases, repeats=config.repeats)
        lists = config.batch / config.eager_lists
        eager = seconds[loss]["eager loop"]
        seconds[loss]["eager loop"] = [lists * value for value in eager]
        differences.append(_difference(cases["ours"](), cases["all pairs, autodiff"]()))
    peaks = {}
    if config.memory:
        peaks = {
            f"{name}, {loss}": peak_memory(
                f"pipelines.benchmarks.pairwise:{maker}",
                dataclasses.asdict(dataclasses.replace(config, loss=loss)),
            )
            for name, maker in (
                ("ours", "run_ours"),
                ("compiled map_fn", "run_map_fn"),
                ("all pairs, autodiff", "run_dense"),
            )
            for loss in LOSSES
        }
    if config.write:
        report = _report(config, seconds, peaks, max(differences))
        results.write_section("pairwise", report)
    return {
        f"{loss}: {name} / ours": ratio(values, of_loss["ours"]).median
        for loss, of_loss in seconds.items()
        for name, values in of_loss.items()
    } | {f"{name}: MB": peak for name, peak in peaks.items()}


def run_ours(config: Config) -> Callable[[], np.ndarray]:
    """Runs our loss and its gradient."""
    ours = {
        "hinge": losses.pairwise_hinge_loss,
        "logistic": losses.pairwise_logistic_loss,
        "logistic, delta NDCG": lambda labels, scores: losses.pairwise_logistic_loss(
            labels, scores, weights="delta_ndcg"
        ),
    }
    return _step(ours[config.loss], config)


def run_dense(config: Config) -> Callable[[], np.ndarray]:
    """Runs all pairs at once, with automatic gradients."""
    return _step(lambda labels, scores: _losses(labels, scores, config.loss), config)


def run_map_fn(config: Config) -> Callable[[], np.ndarray]:
    """Runs list by list, in a graph."""
    return _step(_list_by_list(config), config)


def run_map_fn_xla(config: Config) -> Callable[[], np.ndarray]:
    """Runs list by list, in a graph that XLA compiles."""
    return _step(_list_by_list(config), config, jit_compile=True)


def run_eager(config: Config) -> Callable[[], np.ndarray]:
    """Runs `eager_lists` lists one by one, in a Python loop."""
    labels, scores = _data(config)
    one_loss = _list_by_list(dataclasses.replace(config, batch=1))

    def run() -> np.ndarray:
        few = scores[: config.eager_lists]
        with tf.GradientTape() as tape:
            tape.watch(few)
            total = 0.0
            for row in range(config.eager_lists):
                total += one_loss(labels[row : row + 1], few[row : row + 1])[0]
        return tape.gradient(total, few).numpy()

    return run


def _list_by_list(config: Config) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    def loss_of_one(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        labels, scores = (values[None] for values in pair)
        return _losses(labels, scores, config.loss)[0]

    if config.batch == 1:
        return lambda labels, scores: _losses(labels, scores, config.loss)
    return lambda labels, scores: tf.map_fn(
        loss_of_one, (labels, scores), fn_output_signature=tf.float32
    )


def _losses(labels: tf.Tensor, scores: tf.Tensor, loss: str) -> tf.Tensor:
    """Computes the definitions, for automatic gradients."""
    margins = scores[:, :, None] - scores[:, None, :]  # [batch, i, j]
    pairs = (labels[:, :, None] > labels[:, None, :]) & (labels[:, None, :] >= 0)
    values = tf.nn.relu(1 - margins) if loss == "hinge" else tf.nn.softplus(-margins)
    pairs = tf.cast(pairs, scores.dtype)
    if "NDCG" in loss:
        values *= _delta_ndcg(labels, tf.stop_gradient(scores))
    total = tf.reduce_sum(pairs * values, axis=[1, 2])
    return tf.math.divide_no_nan(total, tf.reduce_sum(pairs, axis=[1, 2]))


def _delta_ndcg(labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    scores = tf.where(labels < 0, scores.dtype.min, scores)
    order = tf.argsort(scores, direction="DESCENDING")
    places = tf.cast(tf.argsort(order), tf.float32) + 1
    gains = tf.pow(2.0, tf.maximum(labels, 0)) - 1
    best = tf.sort(gains, direction="DESCENDING")
    numbers = tf.range(1.0, tf.cast(tf.shape(labels)[1], tf.float32) + 1)
    best = tf.reduce_sum(best / tf.math.log1p(numbers), axis=1)
    gains = tf.math.divide_no_nan(gains, best[:, None])
    discounts = 1 / tf.math.log1p(places)
    gap = gains[:, :, None] - gains[:, None, :]
    return tf.abs(gap * (discounts[:, :, None] - discounts[:, None, :]))


def _step(
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    config: Config,
    *,
    jit_compile: bool = False,
) -> Callable[[], np.ndarray]:
    labels, scores = _data(config)

    @tf.function(jit_compile=jit_compile)
    def step(labels: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(scores)
            total = tf.reduce_sum(loss(labels, scores))
        # Both outputs are needed: TensorFlow skips a loss that no output reads.
        return tape.gradient(total, scores), total

    return lambda: step(labels, scores)[0].numpy()


def _data(config: Config) -> tuple[tf.Tensor, tf.Tensor]:
    rng = np.random.default_rng(config.seed)
    shape = (config.batch, config.list_size)
    labels = rng.integers(0, config.max_label + 1, size=shape).astype("float32")
    labels[rng.random(shape) < config.padding] = -1
    return tf.constant(labels), tf.constant(rng.normal(size=shape), tf.float32)


def _difference(ours: np.ndarray, other: np.ndarray) -> float:
    """Returns the largest difference of two gradients, over the largest slope."""
    return float(np.abs(ours - other).max() / np.abs(other).max())


def _report(
    config: Config,
    seconds: dict[str, dict[str, list[float]]],
    peaks: dict[str, float],
    difference: float,
) -> str:
    rows = [
        [
            loss,
            name,
            f"{spread([1000 * value for value in values]):,.1f}",
            f"{ratio(values, of_loss['ours']):.2f}",
        ]
        for loss, of_loss in seconds.items()
        for name, values in of_loss.items()
    ]
    pairs = 4e-6 * config.batch * config.list_size**2
    memory = results.table(
        ["peak above the imports", "MB", "of one float32 for each pair"],
        [[name, f"{peak:,.0f}", f"{peak / pairs:.1f}"] for name, peak in peaks.items()],
    )
    bars = {
        f"{name}, {loss}": spread([1000 * value for value in values]).median
        for loss, of_loss in seconds.items()
        for name, values in of_loss.items()
        if name != "eager loop"
    }
    plot = figures.bars(bars, title="Loss and gradient, ms", own="ours")
    return f"""\
{config.batch:,} lists of {config.list_size}, labels 0 to {config.max_label},
{config.padding:.0%} of the places padding; loss and gradient by the scores, mean over
the pairs; {config.repeats} turns, traced and compiled before. The eager loop ran
{config.eager_lists} lists, its time is scaled to all. The gradients of ours and of
automatic differentiation differ by {difference:.1e} of the largest slope at most. One
float32 for each pair is {pairs:,.0f} MB.

{results.table(["loss", "case", "ms", "ours is faster by"], rows)}

{memory if peaks else ""}

{results.save_plot(plot, "pairwise")}

Command: `python -m pipelines.benchmarks.pairwise`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
