"""Measures the speed of training on clicks: python -m pipelines.benchmarks.clickstream.

Times features, loss and gradients of a batch of sessions: `layers.FeaturesExtractor`
with the pair loss, compared with a loop over sessions (one call of each tower for each
session, pairs by NumPy), the same loop in a graph, and a loop over items and pairs, as
in the original. Then it measures how time and memory grow with the number of sessions,
and the cost of reading a long file as a stream.
"""

import dataclasses
import gc
import json
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines.benchmarks import figures, results
from pipelines.benchmarks.baselines.session_loops import (
    mapped_loss,
    per_item_loss,
    per_session_loss,
)
from pipelines.benchmarks.memory import peak_memory
from pipelines.benchmarks.timing import interleave, ratio, spread, stopwatch
from pipelines.parts.command import command
from pipelines.parts.flags import Seed
from tfrs_models.data import clickstream

OURS = "ours"
PER_SESSION = "a tower call a session"
IN_GRAPH = "the same in a graph (tf.map_fn)"
PER_ITEM = "a tower call an item, a step a pair"


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    sessions: int = 256
    """Number of sessions in a batch."""
    list_size: int = 50
    """Number of results in a session."""
    clicks: int = 5
    """Number of clicks in a session."""
    num_items: int = 5000
    """Number of items that the sessions are drawn from."""
    embedding_dim: int = 64
    """Embedding size of the towers; their hidden layer is twice as wide."""
    per_item_sessions: int = 4
    """Number of sessions of the loop over items; its time is scaled to all."""
    growth: tuple[int, ...] = (64, 256, 1024, 4096)
    """Numbers of sessions in a batch, to measure how the time grows."""
    file_sessions: tuple[int, ...] = (2_000, 20_000)
    """Numbers of sessions in a file that is read as a stream."""
    repeats: int = 9
    """Number of repetitions."""
    seed: Seed = 0
    """Seed of the data."""
    memory: bool = True
    """Whether to measure memory peaks, each in a separate process."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    sessions=3,
    list_size=6,
    clicks=2,
    num_items=20,
    embedding_dim=4,
    per_item_sessions=1,
    growth=(2, 4),
    file_sessions=(5, 20),
    repeats=1,
    memory=False,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Times all cases in turns and writes the section `clickstream`."""
    cases = {
        OURS: run_ours(config),
        PER_SESSION: run_per_session(config),
        IN_GRAPH: run_in_graph(config),
        PER_ITEM: run_per_item(config),
    }
    seconds = interleave(cases, repeats=config.repeats)
    scale = config.sessions / config.per_item_sessions
    seconds[PER_ITEM] = [scale * value for value in seconds[PER_ITEM]]
    difference = abs(cases[OURS]() - cases[PER_SESSION]()) / abs(cases[PER_SESSION]())
    growth = interleave(
        {
            count: run_ours(dataclasses.replace(config, sessions=count))
            for count in config.growth
        },
        repeats=config.repeats,
    )
    throughput = {
        count: spread([count / value for value in values])
        for count, values in growth.items()
    }
    peaks = _peaks(config) if config.memory else {}
    stream = {count: _stream(config, count) for count in config.file_sessions}
    measured = {
        "session loop / ours": ratio(seconds[PER_SESSION], seconds[OURS]).median,
        "graph loop / ours": ratio(seconds[IN_GRAPH], seconds[OURS]).median,
        "item loop / ours": ratio(seconds[PER_ITEM], seconds[OURS]).median,
        "difference": difference,
    }
    measured |= {f"{n} sessions: 1/s": s.median for n, s in throughput.items()}
    measured |= {f"{n} sessions: MB": peak for n, peak in peaks.items()}
    measured |= {f"file of {n}: MB": peak for n, (peak, _) in stream.items()}
    if config.write:
        report = _report(config, seconds, difference, throughput, peaks, stream)
        results.write_section("clickstream", report)
    return measured


def run_ours(config: Config) -> Callable[[], float]:
    """Makes a step without the optimizer: features, loss and gradients, in a graph."""
    extractor = tm.layers.FeaturesExtractor(
        *_towers(config), negative_downsampling_factor=1.0
    )
    batch = _batch(config)
    extractor(batch)
    variables = extractor.trainable_variables

    @tf.function
    def step(batch: dict) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            features = extractor(batch, training=True)
            loss = tm.losses.prob_margin_ranking_loss(features, 0.05)
        return loss, tape.gradient(loss, variables)

    def run() -> float:
        loss, gradients = step(batch)
        tf.nest.map_structure(_arrived, gradients)
        return float(loss)

    return run


def run_per_session(config: Config) -> Callable[[], float]:
    """Makes a loop over sessions."""
    return _looped(config, per_session_loss, config.sessions)


def run_in_graph(config: Config) -> Callable[[], float]:
    """Makes a loop over sessions that runs in a graph."""
    query_tower, item_tower = _towers(config)
    sessions = [tf.constant(values) for values in _sessions(config)]
    variables = query_tower.trainable_variables + item_tower.trainable_variables

    @tf.function
    def step() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            loss = mapped_loss(
                sessions,
                lambda ids: query_tower({"user_id": ids}),
                lambda ids: item_tower({"item_id": ids}),
                margin=0.05,
            )
        return loss, tape.gradient(loss, variables)

    def run() -> float:
        loss, gradients = step()
        tf.nest.map_structure(_arrived, gradients)
        return float(loss)

    return run


def run_per_item(config: Config) -> Callable[[], float]:
    """Makes a loop over items and pairs, for `per_item_sessions` sessions."""
    return _looped(config, per_item_loss, config.per_item_sessions)


def _looped(config: Config, loss_of: Callable, count: int) -> Callable[[], float]:
    query_tower, item_tower = _towers(config)
    users, rows, clicked = (values[:count] for values in _sessions(config))
    sessions = list(zip(users, rows, clicked, strict=True))

    def queries(ids: np.ndarray) -> tf.Tensor:
        return query_tower({"user_id": ids})

    def items(ids: np.ndarray) -> tf.Tensor:
        return item_tower({"item_id": ids})

    variables = query_tower.trainable_variables + item_tower.trainable_variables

    def run() -> float:
        with tf.GradientTape() as tape:
            loss = loss_of(sessions, queries, items, margin=0.05)
        tf.nest.map_structure(_arrived, tape.gradient(loss, variables))
        return float(loss)

    return run


def _arrived(gradient: tf.Tensor | tf.IndexedSlices) -> None:
    """Waits until a gradient is computed."""
    values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    values.numpy()


def _towers(config: Config) -> tuple[tf.keras.layers.Layer, tf.keras.layers.Layer]:
    tf.keras.utils.set_random_seed(config.seed)
    users = tm.data.Feature("user_id", "id", 1000)
    items = tm.data.Feature("item_id", "id", config.num_items)
    width = config.embedding_dim
    return tuple(
        tm.towers.FeatureTower([feature], width, hidden_units=[2 * width])
        for feature in (users, items)
    )


def _sessions(config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws users `[sessions]`, rows and clicks `[sessions, list_size]`."""
    rng = np.random.default_rng(config.seed)
    shape = (config.sessions, config.list_size)
    popularity = 1 / np.arange(1, config.num_items + 1)
    popularity /= popularity.sum()
    rows = np.stack(
        [
            rng.choice(config.num_items, config.list_size, replace=False, p=popularity)
            for _ in range(config.sessions)
        ]
    )
    clicked = np.argsort(rng.random(shape), axis=1) < config.clicks
    return rng.integers(1, 1001, config.sessions), rows + 1, clicked


def _batch(config: Config) -> dict:
    users, rows, clicked = _sessions(config)
    columns = {
        "items": rows.astype(np.int64),
        "objects": np.tile(np.arange(config.list_size, dtype=np.int32), (len(rows), 1)),
        "clicked": clicked,
        "ranks": np.zeros(rows.shape, np.float32),
    }
    return {"query": {"user_id": tf.constant(users)}} | {
        name: tf.RaggedTensor.from_tensor(values, row_splits_dtype=tf.int64)
        for name, values in columns.items()
    }


def _peaks(config: Config) -> dict[int, float]:
    """Measures peak megabytes for each number of sessions in a batch."""
    flags = dataclasses.asdict(config)
    return {
        count: peak_memory(
            "pipelines.benchmarks.clickstream:run_ours", flags | {"sessions": count}
        )
        for count in config.growth
    }


def _stream(config: Config, count: int) -> tuple[float, float]:
    """Measures Python's peak megabytes and sessions per second of a file in batches."""
    flags = dataclasses.replace(config, sessions=min(count, 256))
    _, rows, clicked = _sessions(flags)
    items = clickstream.ItemSet([str(i) for i in range(config.num_items + 1)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number in range(count):
                index = number % len(rows)
                file.write(_line(number, rows[index], clicked[index]))
        dataset = clickstream.stream_batches(
            lambda: clickstream.read_sessions(path),
            items,
            256,
            query_features=lambda names: {"user_id": np.array(names, np.int64)},
        )

        def read() -> None:
            for batch in dataset:
                del batch

        gc.collect()
        tracemalloc.start()
        read()
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        return peak, count / stopwatch(read)


def _line(number: int, rows: np.ndarray, clicked: np.ndarray) -> str:
    session = {
        "search_query": str(number % 1000 + 1),
        "search_results": [
            {"object_id": str(row), "rank": 0.5 - 0.001 * position}
            for position, row in enumerate(rows)
        ],
        "events": [{"object_id": str(row)} for row in rows[clicked]],
    }
    return json.dumps(session) + "\n"


def _report(
    config: Config,
    seconds: dict[str, list[float]],
    difference: float,
    throughput: dict,
    peaks: dict[int, float],
    stream: dict[int, tuple[float, float]],
) -> str:
    rows = [
        [
            name,
            f"{spread([1000 * value for value in values]):,.1f}",
            f"{ratio(values, seconds[OURS]):,.1f}",
        ]
        for name, values in seconds.items()
    ]
    pairs = config.clicks * (config.list_size - config.clicks)
    growth = [
        [f"{count:,}", f"{found:,.0f}", f"{peaks[count]:,.0f}" if peaks else ""]
        for count, found in throughput.items()
    ]
    files = [
        [f"{count:,}", f"{peak:,.1f}", f"{speed:,.0f}"]
        for count, (peak, speed) in stream.items()
    ]
    bars = {
        name: spread([1000 * value for value in values]).median
        for name, values in seconds.items()
    }
    plot = figures.bars(
        bars, title="Features, loss and gradients of a batch, ms", own=OURS
    )
    return f"""\
{config.sessions:,} sessions of {config.list_size} results with {config.clicks} clicks,
{pairs:,} pairs each, items by popularity out of {
        config.num_items:,}; towers of a table of
width {config.embedding_dim} and two dense layers. Features, loss and gradients;
{
        config.repeats
    } turns, traced before. All negatives are taken, so that all cases form the
same pairs: losses differ by {difference:.1e}. The loop over items ran
{config.per_item_sessions} sessions, its time is scaled to all.

{results.table(["case", "ms", "ours is faster by"], rows)}

{results.save_plot(plot, "clickstream")}

Growth with the sessions of a batch:

{results.table(["sessions", "sessions a second", "MB above the imports"], growth)}

A JSON Lines file read as a stream, in batches of 256:

{
        results.table(
            [
                "sessions of the file",
                "peak of Python's memory, MB",
                "sessions a second",
            ],
            files,
        )
    }

Command: `python -m pipelines.benchmarks.clickstream`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
