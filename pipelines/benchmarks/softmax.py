"""Speed and memory of the sampled softmax: python -m pipelines.benchmarks.softmax.

Compares loss and gradients of both embeddings (64 dimensions, accidental hits removed,
logQ) by `losses.sampled_softmax` through `tasks.Retrieval` with the task of TensorFlow
Recommenders and with the three matrix products that the gradients need.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tyro
from matplotlib.figure import Figure

import tfrs_models
from pipelines.benchmarks import results
from pipelines.benchmarks.memory import peak_memory
from pipelines.benchmarks.timing import interleave, ratio, spread
from pipelines.parts.command import command

OURS, UPSTREAM, BARE = "ours", "upstream", "bare products"
LEAST = "bare products and one softmax"
_BLOCK = 256  # rows of the bare products, whose scores are not stored either


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    batch: int = 8192
    """Number of rows of a case that is measured alone."""
    num_candidates: int = 8192
    """Number of columns of a case that is measured alone."""
    batches: tuple[int, ...] = (1024, 4096, 8192)
    """Batch sizes without additional candidates, measured beside upstream."""
    large_batch: int = 32_768
    """Batch size for which upstream needs more memory than there is."""
    corpora: tuple[int, ...] = (8192, 32_768, 131_072, 262_144)
    """Numbers of columns of the cases with a fixed batch."""
    fixed_batch: int = 2048
    """Number of rows of those cases."""
    embedding_dim: int = 64
    """Number of dimensions of the embeddings."""
    items: int = 100_000
    """Number of ids from which rows are drawn."""
    correction: str = "logq"
    """Correction of our loss."""
    repeats: int = 9
    """Number of turns."""
    memory: bool = True
    """Whether to measure peaks of memory, each in a process of its own."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    batches=(8, 16),
    large_batch=32,
    corpora=(16, 40),
    fixed_batch=8,
    embedding_dim=4,
    items=30,
    repeats=1,
    memory=False,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Times all cases in turns and writes the section `softmax`."""
    beside = {
        size: interleave(
            {
                UPSTREAM: run_upstream(sized(config, size, size)),
                OURS: run_ours(sized(config, size, size)),
                f"{OURS}, corrected logQ": run_ours(
                    dataclasses.replace(
                        sized(config, size, size), correction="corrected_logq"
                    )
                ),
                f"{OURS}, loss only": run_loss(sized(config, size, size)),
                LEAST: run_least(sized(config, size, size)),
                BARE: run_products(sized(config, size, size)),
            },
            repeats=config.repeats,
        )
        for size in config.batches
    }
    few = max(config.repeats // 2, 1)
    fixed = interleave(
        {
            str(size): run_ours(sized(config, config.fixed_batch, size))
            for size in config.corpora
        },
        repeats=few,
    )
    large = sized(config, config.large_batch, config.large_batch)
    alone = interleave({OURS: run_ours(large)}, repeats=few)
    largest = sized(config, config.batches[-1], config.batches[-1])
    peaks = {}
    if config.memory:
        module = "pipelines.benchmarks.softmax"
        peaks = {
            name: peak_memory(f"{module}:{maker}", dataclasses.asdict(sizes))
            for name, maker, sizes in (
                (f"{OURS}, {largest.batch:,} x {largest.batch:,}", "run_ours", largest),
                (f"{UPSTREAM}, the same", "run_upstream", largest),
                (f"{OURS}, {large.batch:,} x {large.batch:,}", "run_ours", large),
                (
                    f"{OURS}, {config.fixed_batch:,} x {config.corpora[-1]:,}",
                    "run_ours",
                    sized(config, config.fixed_batch, config.corpora[-1]),
                ),
            )
        }
    if config.write:
        report = _report(config, beside, fixed, alone, peaks)
        results.write_section("softmax", report)
    figures = {
        f"{size}: {name} / {OURS}": ratio(values, seconds[OURS]).median
        for size, seconds in beside.items()
        for name, values in seconds.items()
    }
    return figures | {f"{name}: MB": peak for name, peak in peaks.items()}


def sized(config: Config, batch: int, num_candidates: int) -> Config:
    """Returns the flags of one case."""
    return dataclasses.replace(config, batch=batch, num_candidates=num_candidates)


def run_ours(config: Config) -> Callable[[], None]:
    """Runs loss and gradients of our task."""
    return _gradients(_ours(config), config)


def run_upstream(config: Config) -> Callable[[], None]:
    """Runs loss and gradients of upstream's task."""
    task = tfrs.tasks.Retrieval(remove_accidental_hits=True)
    return _gradients(task, config)


def run_loss(config: Config) -> Callable[[], None]:
    """Runs our loss without gradients."""
    task, (queries, candidates, options) = _ours(config), _data(config)

    @tf.function
    def evaluate() -> tf.Tensor:
        return task(queries, candidates, training=False, **options)

    return lambda: evaluate().numpy()


def run_products(config: Config) -> Callable[[], None]:
    """Runs the product of queries and candidates and those of its gradients."""
    return _products(config, lambda scores, _: scores)


def run_least(config: Config) -> Callable[[], None]:
    """Runs the products with the least work between them, in few passes.

    Accidental hits are masked, the largest score is subtracted, all scores pass one
    exponential, and rows are divided by their sums.
    """
    ids = tf.cast(_data(config)[2]["candidate_ids"], tf.int32)

    def softmax(scores: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        hits = ids[row : row + _BLOCK, None] == ids[None, :]
        scores = tf.where(hits, scores.dtype.min, scores)
        scores = tf.exp(scores - tf.reduce_max(scores, axis=1, keepdims=True))
        return scores / tf.reduce_sum(scores, axis=1, keepdims=True)

    return _products(config, softmax)


def _products(
    config: Config, middle: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> Callable[[], None]:
    queries, candidates, _ = _data(config)

    @tf.function
    def multiply() -> tuple[tf.Tensor, tf.Tensor]:
        def add(row: tf.Tensor, total: tf.Tensor, sums: tf.Tensor) -> tuple:
            part = queries[row : row + _BLOCK]
            scores = middle(tf.matmul(part, candidates, transpose_b=True), row)
            total += tf.matmul(scores, candidates)[0, 0]
            return row + _BLOCK, total, sums + tf.matmul(scores, part, transpose_a=True)

        start = (0, 0.0, tf.zeros_like(candidates))
        return tf.while_loop(
            lambda row, *_: row < config.batch, add, start, parallel_iterations=1
        )[1:]

    return lambda: multiply()[0].numpy()


def _ours(config: Config) -> tfrs_models.tasks.Retrieval:
    return tfrs_models.tasks.Retrieval(
        remove_accidental_hits=True, correction=config.correction
    )


def _gradients(task: tf.keras.layers.Layer, config: Config) -> Callable[[], None]:
    queries, candidates, options = _data(config)

    @tf.function
    def step() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([queries, candidates])
            loss = task(queries, candidates, compute_metrics=False, **options)
        return loss, *tape.gradient(loss, [queries, candidates])

    return lambda: step()[0].numpy()


def _data(config: Config) -> tuple[tf.Tensor, tf.Tensor, dict]:
    rng = np.random.default_rng(0)
    shape = (config.num_candidates, config.embedding_dim)
    candidates = rng.standard_normal(shape, dtype="float32") / 4
    shape = (config.batch, config.embedding_dim)
    queries = rng.standard_normal(shape, dtype="float32") / 4
    ids = rng.zipf(1.3, size=config.num_candidates) % config.items
    shares = np.bincount(ids, minlength=config.items) / len(ids)
    options = {
        "candidate_ids": tf.constant(ids),
        "candidate_sampling_probability": tf.constant(shares[ids], tf.float32),
    }
    return tf.constant(queries), tf.constant(candidates), options


def _report(
    config: Config,
    beside: dict[int, dict[str, list[float]]],
    fixed: dict[str, list[float]],
    alone: dict[str, list[float]],
    peaks: dict[str, float],
) -> str:
    rows = [
        [
            f"{size:,}",
            name,
            f"{spread([1000 * s for s in values]):,.1f}",
            f"{ratio(values, seconds[OURS]):.2f}",
            f"{ratio(seconds[BARE], values):.0%}",
        ]
        for size, seconds in beside.items()
        for name, values in seconds.items()
    ]
    header = [
        "batch = candidates",
        "case",
        "ms",
        "ours is faster by",
        "share of the bare products",
    ]
    sizes = [int(size) for size in fixed]
    growth = ratio(fixed[str(sizes[-1])], fixed[str(sizes[1])])
    memory = results.table(
        ["peak above the imports", "MB"],
        [[name, f"{peak:,.0f}"] for name, peak in peaks.items()],
    )
    return f"""\
Width {config.embedding_dim}, accidental hits removed, corrected by probabilities, all
candidates in the batch; {config.repeats} turns, traced before. *Bare products*: scores,
and their products with candidates and queries, in blocks of {_BLOCK} rows. *And one
softmax*: between them accidental hits are masked and the scores go through one softmax,
without positives, corrections or a loss, which no in-batch softmax can do without. The
last column is the products' time over the case's.

{results.table(header, rows)}

{config.large_batch:,} x {config.large_batch:,}: {spread(alone[OURS]):.2f} s; the scores
alone would fill {4e-9 * config.large_batch**2:.1f} GB, several times over in upstream.

{config.fixed_batch:,} rows against growing corpora: {sizes[-1]:,} candidates take
{growth:.1f} times as long as {sizes[1]:,} ({sizes[-1] / sizes[1]:.0f} times as many).

{memory if peaks else ""}

{results.save_plot(_growth(config, fixed), "softmax")}

Command: `python -m pipelines.benchmarks.softmax`
"""


def _growth(config: Config, fixed: dict[str, list[float]]) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    sizes = [int(size) for size in fixed]
    medians = [spread(values).median for values in fixed.values()]
    axes.loglog(sizes, medians, "o-", color="#1d4ed8", label="measured")
    linear = [medians[0] * size / sizes[0] for size in sizes]
    axes.loglog(sizes, linear, "--", color="#9ca3af", label="linear")
    axes.set_xlabel("candidates")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"Loss and gradients of {config.fixed_batch:,} queries", fontsize=11
    )
    return figure


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
