"""Search among a million candidates: python -m pipelines.benchmarks.approximate_search.

Compares upstream's BruteForce with our BruteForce, IVF and ScaNN. IVF and ScaNN are
tuned to a recall on other queries than those of the measurement. The candidates are a
Gaussian mixture, which favours indexes with partitions, and trained item embeddings
with noise.
"""

import dataclasses
import itertools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tyro
from matplotlib.figure import Figure

import tfrs_models as tm
from pipelines import native
from pipelines.benchmarks import results
from pipelines.benchmarks.memory import peak_memory
from pipelines.benchmarks.search_corpora import gaussian_mixture, tiled_items
from pipelines.benchmarks.timing import interleave, ratio, spread, stopwatch
from pipelines.parts.command import command
from pipelines.parts.flags import CountOrNone, ShareAboveNone
from tfrs_models.serving.tuning import tune
from tfrs_models.serving.tuning_result import Tuning

UPSTREAM = "upstream BruteForce"
EXACT, IVF, SCANN = "BruteForce", "IVF", "ScaNN"
COLOURS = {UPSTREAM: "#6b7280", EXACT: "#111827", IVF: "#1d4ed8", SCANN: "#c2410c"}
_SINGLES = 16  # queries, one after the other, of a turn


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    candidates: int = 1_000_000
    """Number of candidates."""
    embedding_dim: int = 64
    """Number of dimensions of an embedding."""
    k: int = 100
    """Number of candidates of an answer."""
    recall_target: ShareAboveNone = 0.95
    """Recall to which IVF and ScaNN are tuned."""
    batches: tuple[int, ...] = (64, 256)
    """Numbers of queries per call; single queries are measured too."""
    queries: int = 4000
    """Queries of the Gaussian mixture, half of them for tuning. The trained items are
    queried by all users."""
    epochs: int = 10
    """Epochs of the model that trains the items."""
    leaves: int = 1000
    """Number of partitions of ScaNN."""
    repeats: int = 9
    """Number of turns."""
    native_queries: CountOrNone = 2000
    """Queries to the exported IVF by the program without Python; 0 for none."""
    memory: bool = True
    """Whether to measure peaks of memory, each in a process of its own."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    candidates=1000,
    embedding_dim=8,
    k=5,
    recall_target=0.8,
    batches=(4,),
    queries=80,
    epochs=1,
    leaves=2,
    repeats=1,
    native_queries=0,
    memory=False,
    write=False,
)


class Measured(NamedTuple):
    """Measurements on one set of candidates.

    Attributes:
      build: case -> seconds of the build.
      tuned: case -> result of its tuning.
      recall: case -> share of upstream's result that it finds.
      seconds: number of queries per call -> case -> seconds of each turn.
      exported: queries per call -> latency of the exported IVF without Python.
    """

    build: dict[str, float]
    tuned: dict[str, Tuning]
    recall: dict[str, float]
    seconds: dict[int, dict[str, list[float]]]
    exported: dict[int, native.Latency]


@command
def main(config: Config) -> dict[str, float]:
    """Measures both corpora and writes the section `approximate_search`."""
    measured = {
        "Gaussian mixture": measure(
            config,
            *gaussian_mixture(
                config.candidates, config.embedding_dim, num_queries=config.queries
            ),
        ),
        "trained items with noise": measure(
            config,
            *tiled_items(config.candidates, config.embedding_dim, epochs=config.epochs),
        ),
    }
    peaks = {}
    if config.memory:
        module = "pipelines.benchmarks.approximate_search"
        for name in (EXACT, IVF, SCANN):
            target = f"{module}:build_{name.lower()}"
            peaks[name] = peak_memory(target, dataclasses.asdict(config), runs=1)
    if config.write:
        results.write_section("approximate_search", _report(config, measured, peaks))
    return {
        f"{corpus}, {name}, {size} at once: ms": 1000 * spread(seconds).median
        for corpus, found in measured.items()
        for size, cases in found.seconds.items()
        for name, seconds in cases.items()
    } | {
        f"{corpus}, {name}: recall": recall
        for corpus, found in measured.items()
        for name, recall in found.recall.items()
    }


def measure(config: Config, candidates: np.ndarray, queries: np.ndarray) -> Measured:
    """Builds, tunes and times all indexes on one set of candidates."""
    order = np.random.default_rng(1).permutation(len(queries))
    tuning, queries = (queries[rows] for rows in np.array_split(order, 2))
    indexes = _indexes(config)
    build = {
        name: stopwatch(lambda index=index: index.index(candidates))
        for name, index in indexes.items()
    }
    print(build, flush=True)
    tuned = {}
    for name, index in indexes.items():
        if name in (IVF, SCANN):
            with warnings.catch_warnings(action="ignore"):  # they are in the table
                tuned[name] = tune(
                    index,
                    tuning,
                    recall_target=config.recall_target,
                    k=config.k,
                    exact=indexes[EXACT],
                    batch_size=config.batches[0],
                )
            print(f"{name}\n{tuned[name]}", flush=True)
    searches = {name: _graph(index, config) for name, index in indexes.items()}
    found = {
        name: np.concatenate(
            [search(queries[i : i + 64])[1] for i in range(0, len(queries), 64)]
        )
        for name, search in searches.items()
    }
    recall = {
        name: float(
            np.mean([np.isin(*pair) for pair in zip(ids, found[UPSTREAM], strict=True)])
        )
        for name, ids in found.items()
    }
    seconds = {
        size: interleave(
            {
                name: _run(search, queries, size=size)
                for name, search in searches.items()
            },
            repeats=config.repeats,
        )
        for size in (1, *config.batches)
    }
    seconds[1] = {
        name: [value / _SINGLES for value in values]
        for name, values in seconds[1].items()
    }
    exported = {}
    if config.native_queries:
        exported = _exported(config, indexes[IVF], queries)
    return Measured(build, tuned, recall, seconds, exported)


def build_bruteforce(config: Config) -> Callable[[], None]:
    """Returns a function that builds the exact index from a dataset."""
    return _build(config, EXACT)


def build_ivf(config: Config) -> Callable[[], None]:
    """Returns a function that builds the IVF index from a dataset."""
    return _build(config, IVF)


def build_scann(config: Config) -> Callable[[], None]:
    """Returns a function that builds the ScaNN index from a dataset."""
    return _build(config, SCANN)


def _indexes(config: Config) -> dict[str, tf.keras.layers.Layer]:
    return {
        UPSTREAM: tfrs.layers.factorized_top_k.BruteForce(),
        EXACT: tm.layers.BruteForce(),
        IVF: tm.layers.IVF(),
        SCANN: tm.layers.ScaNN(
            num_leaves=config.leaves, num_reordering_candidates=4 * config.k
        ),
    }


def _graph(index: tf.keras.layers.Layer, config: Config) -> Callable:
    """Traces the search as it is served, for any number of queries."""
    spec = tf.TensorSpec([None, config.embedding_dim], tf.float32)
    graph = tf.function(lambda queries: index(queries, k=config.k))
    return graph.get_concrete_function(spec)


def _run(search: Callable, queries: np.ndarray, *, size: int) -> Callable[[], None]:
    """Returns a turn of a case; each turn has other queries."""
    calls = _SINGLES if size == 1 else 1
    starts = itertools.count(step=calls * size)

    def run() -> None:
        first = next(starts)
        for start in range(first, first + calls * size, size):
            rows = np.arange(start, start + size) % len(queries)
            search(tf.constant(queries[rows]))[0].numpy()

    return run


def _exported(
    config: Config, index: tm.layers.IVF, queries: np.ndarray
) -> dict[int, native.Latency]:
    """Measures the latency without Python and compares the answers."""
    latencies = {}
    retriever = tm.serving.Retriever(index)
    search = _graph(index, config)
    with tempfile.TemporaryDirectory() as folder:
        version = tm.serving.export(retriever, Path(folder, "ivf"))
        for size in (1, config.batches[0]):
            questions = []
            for start in range(0, min(len(queries), 256) - size + 1, size):
                rows = queries[start : start + size]
                scores, ids = search(tf.constant(rows))
                questions.append(
                    native.Question(
                        "serving_default",
                        {"query": rows, "k": np.full(size, config.k, np.int32)},
                        {"id": ids.numpy(), "score": scores.numpy()},
                    )
                )
            path = Path(folder, f"questions-{size}")
            native.write_questions(path, questions)
            found = native.run(
                native.compile_program(),
                version,
                path,
                threads=os.cpu_count(),
                queries=max(config.native_queries // size, len(questions)),
            )
            if found.problems:
                raise RuntimeError(f"The export answers otherwise: {found.problems}")
            latencies[size] = found.latency
    return latencies


def _build(config: Config, name: str) -> Callable[[], None]:
    chunk = 65_536

    def batches() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        for start in range(0, config.candidates, chunk):
            rows = min(chunk, config.candidates - start)
            yield rng.standard_normal((rows, config.embedding_dim), np.float32)

    spec = tf.TensorSpec([None, config.embedding_dim], tf.float32)

    def run() -> None:
        dataset = tf.data.Dataset.from_generator(batches, output_signature=spec)
        _indexes(config)[name].index_from_dataset(dataset)

    return run


def _report(
    config: Config, measured: Mapping[str, Measured], peaks: Mapping[str, float]
) -> str:
    parts = []
    for corpus, found in measured.items():
        rows = []
        for name, recall in found.recall.items():
            cells = []
            for seconds in found.seconds.values():
                own = spread([1000 * value for value in seconds[name]])
                faster = ratio(seconds[UPSTREAM], seconds[name])
                cells += [f"{own:.2f}", f"{faster:.1f}"]
            rows.append([name, f"{recall:.4f}", f"{found.build[name]:.1f}", *cells])
        header = ["index", "recall", "build, s"]
        for size in found.seconds:
            asked = "one query" if size == 1 else f"{size} queries"
            header += [f"{asked}, ms", "times upstream's speed"]
        figure = _curves(config, corpus, found)
        picture = results.save_plot(figure, f"approximate_search_{corpus.split()[0]}")
        parts.append(f"### {corpus[0].upper()}{corpus[1:]}\n")
        parts.append(results.table(header, rows) + "\n")
        for name, tuned in found.tuned.items():
            mean, low, high = tuned.confirmed
            parts.append(
                f"{name}: `{tuned.chosen}`, "
                f"{'reached' if tuned.reached else 'NOT REACHED'}; recall on the "
                f"tuning queries that it was not chosen by {mean:.4f} "
                f"[{low:.4f}, {high:.4f}].\n"
            )
        for size, latency in found.exported.items():
            asked = "one query" if size == 1 else f"{size} queries"
            parts.append(
                f"The exported IVF in a program without Python, {asked} at a time: "
                f"p50 {1e3 * latency.p50:.2f} ms, p99 {1e3 * latency.p99:.2f} ms "
                f"({latency.answered} requests); all answers compared equal the "
                "index's.\n"
            )
        parts.append(picture + "\n")
    if peaks:
        parts.append(_memory(config, peaks))
    corpora = "\n".join(parts)
    return f"""\
{config.candidates:,} candidates of width {config.embedding_dim}, the best {config.k},
{config.repeats} turns on queries that tuned nothing; all cases are graphs for any
number of queries, called from Python. *Gaussian mixture*: 2,000 groups, queries of the
same groups, which flatters what partitions. *Trained items with noise*: the items of
`TwoTower` on MovieLens latest-small, trained as in the README, each many times with
noise of half its norm, at unit length; queries are its users. IVF and ScaNN
({config.leaves:,} leaves) are set by `serving.tuning.tune` to a recall@{config.k} of
{config.recall_target:g} on other queries, the cheapest setting for one query; recall is
against upstream's BruteForce.

{corpora}
Command: `python -m pipelines.benchmarks.approximate_search`
"""


def _memory(config: Config, peaks: Mapping[str, float]) -> str:
    rows = []
    for name, peak in peaks.items():
        index = _indexes(config)[name]
        estimates = ["", ""]
        if hasattr(index, "memory_estimate"):
            size = config.candidates, config.embedding_dim
            estimates = [f"{b / 1e6:,.0f}" for b in index.memory_estimate(*size)]
        rows.append([name, f"{peak:,.0f}", *reversed(estimates)])
    header = ["index", "peak of building, MB", "estimated peak", "estimated index"]
    return (
        "Memory above the imports while an index is built from a dataset, in a "
        "process of its own, beside its `memory_estimate`:\n\n"
        f"{results.table(header, rows)}\n"
    )


def _curves(config: Config, corpus: str, found: Measured) -> Figure:
    """Draws recall over latency: all tuned settings and the chosen ones."""
    sizes = (1, config.batches[0])
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, size in zip(figure.subplots(1, 2, sharey=True), sizes, strict=True):
        for name, tuned in found.tuned.items():
            points = [
                (1e3 * (s.single if size == 1 else s.batch), s.recall.mean)
                for s in tuned.curve
            ]
            front, highest = [], 0.0
            for milliseconds, recall in sorted(points):
                if recall > highest:
                    highest = recall
                    front.append((milliseconds, recall))
            axes.plot(*zip(*front, strict=True), ".-", color=COLOURS[name], lw=1)
        for name, recall in found.recall.items():
            median = 1e3 * spread(found.seconds[size][name]).median
            axes.plot(median, recall, "o", color=COLOURS[name], label=name)
        axes.axhline(config.recall_target, color="#9ca3af", ls="--", lw=1)
        asked = "one query" if size == 1 else f"{size} queries at once"
        axes.set(xscale="log", xlabel=f"milliseconds, {asked}", ylim=(0.85, 1.01))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel(f"recall@{config.k}")
    figure.axes[1].legend(frameon=False, loc="lower right")
    figure.suptitle(f"{config.candidates:,} candidates, {corpus}", fontsize=11)
    return figure


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
