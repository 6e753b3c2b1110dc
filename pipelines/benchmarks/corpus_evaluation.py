"""Speed of corpus metrics: python -m pipelines.benchmarks.corpus_evaluation.

Compares `FactorizedTopK` of TensorFlow Recommenders and ours with the bare matrix
product that every exact method needs: 100,000 candidates of 64 dimensions and 4,096
queries.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tyro

import tfrs_models
from pipelines.benchmarks import results
from pipelines.benchmarks.figures import bars
from pipelines.benchmarks.memory import peak_memory
from pipelines.benchmarks.timing import interleave, ratio, spread
from pipelines.parts.command import command

BARE = "bare matmul"
OURS = "ours"
_SLICES = 16  # parts of the large product: all scores would take 16 GB


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    candidates: int = 100_000
    """Number of candidates."""
    large_corpus: int = 1_000_000
    """Number of candidates of the last case."""
    queries: int = 4096
    """Number of queries."""
    embedding_dim: int = 64
    """Number of dimensions of queries and candidates."""
    exclusions: int = 50
    """Number of exclusions of each query, in the case with exclusions."""
    candidate_batches: tuple[int, ...] = (128, 1024, 8192)
    """Batch sizes of the candidates for upstream's streaming."""
    repeats: int = 9
    """Number of turns."""
    memory: bool = True
    """Whether to measure peaks of memory, each in a process of its own."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    candidates=1000,
    large_corpus=2000,
    queries=16,
    embedding_dim=8,
    exclusions=3,
    candidate_batches=(128,),
    repeats=1,
    memory=False,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Times all cases in turns and writes the section `corpus_evaluation`."""
    alone = interleave(
        {OURS: run_ours(config), BARE: run_matmul(config)}, repeats=config.repeats
    )
    seconds = interleave(
        {name: make(config) for name, make in case_makers(config).items()},
        repeats=config.repeats,
    )
    large = dataclasses.replace(config, candidates=config.large_corpus)
    large_seconds = interleave(
        {OURS: run_ours(large), BARE: run_matmul(large, num_slices=_SLICES)},
        repeats=max(config.repeats // 2, 1),
    )
    module = "pipelines.benchmarks.corpus_evaluation"
    peaks = {}
    if config.memory:
        peaks = {
            name: peak_memory(f"{module}:{maker}", dataclasses.asdict(sizes))
            for name, maker, sizes in (
                (OURS, "run_ours", config),
                (BARE, "run_matmul", config),
                ("upstream BruteForce", "run_brute_force", config),
                (f"{OURS}, large corpus", "run_ours", large),
            )
        }
    if config.write:
        results.write_section(
            "corpus_evaluation", _report(config, seconds, alone, large_seconds, peaks)
        )
    rates = {name: config.queries / spread(s).median for name, s in seconds.items()}
    return rates | {f"{name}: MB": peak for name, peak in peaks.items()}


def case_makers(config: Config) -> dict[str, Callable[[Config], Callable]]:
    """Returns name of a case -> function that builds its timed call."""
    streaming = {
        f"upstream Streaming, candidate batches of {size:,}": (
            lambda config, size=size: run_streaming(config, batch_size=size)
        )
        for size in config.candidate_batches
    }
    return {
        **streaming,
        "upstream BruteForce": run_brute_force,
        OURS: run_ours,
        f"{OURS}, corpus embedded anew": run_anew,
        f"{OURS}, {config.exclusions} exclusions a query": run_excluding,
        BARE: run_matmul,
    }


def run_streaming(config: Config, *, batch_size: int) -> Callable[[], None]:
    """Runs the default of upstream, with the candidates in a dataset."""
    corpus, queries, positives, ids = _data(config)
    names = tf.range(config.candidates, dtype=tf.int64)
    dataset = tf.data.Dataset.from_tensor_slices((names, corpus)).batch(batch_size)
    metric = tfrs.metrics.FactorizedTopK(dataset.cache())
    return _updates(metric, queries, positives, ids)


def run_brute_force(config: Config) -> Callable[[], None]:
    """Runs the fastest variant of upstream, with the candidates in memory."""
    corpus, queries, positives, ids = _data(config)
    layer = tfrs.layers.factorized_top_k.BruteForce()
    layer.index(corpus, tf.range(config.candidates, dtype=tf.int64))
    metric = tfrs.metrics.FactorizedTopK(layer)
    return _updates(metric, queries, positives, ids)


def run_ours(config: Config) -> Callable[[], None]:
    """Runs our metric on a dataset of candidates, which the first batch embeds."""
    corpus, queries, positives, ids = _data(config)
    metric = tfrs_models.metrics.FactorizedTopK(_dataset(corpus))
    return _updates(metric, queries, positives, ids)


def run_anew(config: Config) -> Callable[[], None]:
    """Runs our metric as in the first batch of an evaluation."""
    corpus, queries, positives, ids = _data(config)
    metric = tfrs_models.metrics.FactorizedTopK(_dataset(corpus))
    update = _updates(metric, queries, positives, ids)

    def run() -> None:
        for part in metric.metrics:
            part.reset_state()
        update()

    return run


def run_excluding(config: Config) -> Callable[[], None]:
    """Runs our metric with the known items of each query as exclusions."""
    corpus, queries, positives, ids = _data(config)
    metric = tfrs_models.metrics.FactorizedTopK(_dataset(corpus))
    known = np.random.default_rng(1).integers(
        config.candidates, size=(config.queries, config.exclusions)
    )
    known = tf.RaggedTensor.from_tensor(tf.constant(known, tf.int64))
    return _updates(metric, queries, positives, ids, exclude=known)


def run_matmul(config: Config, *, num_slices: int = 1) -> Callable[[], None]:
    """Runs the product of queries and candidates alone.

    Args:
      config: flags of the benchmark.
      num_slices: number of products that share the queries; the scores of one of them
        are in memory at a time.
    """
    corpus, queries, _, _ = _data(config)
    slices = tf.split(queries, num_slices)

    @tf.function
    def multiply(queries: tf.Tensor) -> tf.Tensor:
        return tf.matmul(queries, corpus, transpose_b=True)

    def run() -> None:
        for part in slices:
            multiply(part)[0, 0].numpy()

    return run


def _data(config: Config) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    rng = np.random.default_rng(0)
    width = config.embedding_dim
    corpus = rng.standard_normal((config.candidates, width), dtype="float32")
    queries = rng.standard_normal((config.queries, width), dtype="float32")
    ids = rng.integers(config.candidates, size=config.queries)
    return *map(tf.constant, (corpus, queries, corpus[ids])), tf.constant(ids)


def _dataset(corpus: tf.Tensor) -> tf.data.Dataset:
    ids = tf.range(len(corpus), dtype=tf.int64)
    return tf.data.Dataset.from_tensor_slices((ids, corpus)).batch(8192)


def _updates(
    metric: tf.keras.layers.Layer,
    queries: tf.Tensor,
    positives: tf.Tensor,
    ids: tf.Tensor,
    **arguments: tf.RaggedTensor,
) -> Callable[[], None]:
    @tf.function
    def update() -> tf.Tensor:
        done = metric.update_state(queries, positives, ids, **arguments)
        with tf.control_dependencies([done]):
            return tf.stack(metric.result())

    graph = update.get_concrete_function()

    def run() -> None:
        graph().numpy()

    return run


def _report(
    config: Config,
    seconds: dict[str, list[float]],
    alone: dict[str, list[float]],
    large_seconds: dict[str, list[float]],
    peaks: dict[str, float],
) -> str:
    rows = []
    for name, values in seconds.items():
        rate = spread([config.queries / value for value in values])
        faster = ratio(values, seconds[OURS])
        share = ratio(seconds[BARE], values)
        rows.append([name, f"{rate:,.0f}", f"{faster:.2f}", f"{share:.0%}"])
    alone_rate = spread([config.queries / s for s in alone[OURS]])
    alone_share = ratio(alone[BARE], alone[OURS])
    large_rate = spread([config.queries / s for s in large_seconds[OURS]])
    large_share = ratio(large_seconds[BARE], large_seconds[OURS])
    figure = bars(
        {name: config.queries / spread(s).median for name, s in seconds.items()},
        title=f"Queries a second, {config.candidates:,} candidates",
        own=OURS,
    )
    memory = results.table(
        ["peak above the imports", "MB"],
        [[name, f"{peak:,.0f}"] for name, peak in peaks.items()],
    )
    return f"""\
{config.candidates:,} candidates of width {config.embedding_dim}.
{config.queries:,} queries in one batch, {config.repeats} turns, traced before.
The metric of one batch, by id; ours ranks against a corpus that is embedded already,
except where it says *anew*, as in the first batch of an evaluation; upstream's
Streaming goes through its (cached) dataset in every batch. *Ours is faster by* is the
case's time over ours; the last column is the bare product's time over the case's.

{
        results.table(
            ["case", "queries/s", "ours is faster by", "of the bare product's speed"],
            rows,
        )
    }

A second reading, ours and the bare product only, before the other cases:
{alone_rate:,.0f} queries/s, {alone_share:.0%} of the bare product's speed.

{config.large_corpus:,} candidates: {large_rate:,.0f} queries/s, {large_share:.0%} of
the bare product's speed (taken in {_SLICES} slices of the queries: at once its scores
alone would fill {4e-9 * config.large_corpus * config.queries:.0f} GB).

{memory if peaks else ""}

{results.save_plot(figure, "corpus_evaluation")}

Command: `python -m pipelines.benchmarks.corpus_evaluation`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
