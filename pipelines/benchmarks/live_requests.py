"""Requests with a history: python -m pipelines.benchmarks.live_requests.

An exported recommender of a model over histories answers single requests, one after the
other, in the program without Python.
"""

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines import native
from pipelines.benchmarks import results
from pipelines.parts.command import command
from tfrs_models.serving.signatures import Signature

_START = 1_500_000_000  # seconds since 1970
_KINDS = {
    "by id": "serving_default",
    "with a history": "history",
    "with an appended history": "history",
}
BY_ID, WITH_HISTORY, APPENDED = _KINDS


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    items: int = 10_000
    """Number of items of the catalogue."""
    users: int = 1_000
    """Number of users with a known past."""
    length: int = 50
    """Number of items of a history."""
    embedding_dim: int = 64
    """Number of dimensions of an item."""
    k: int = 10
    """Number of items of an answer."""
    queries: int = 3_000
    """Number of timed requests of each kind in a run."""
    repeats: int = 3
    """Number of runs of each kind, in turns; medians are reported."""
    native: bool = True
    """Whether to measure the program without Python, which needs a compiler."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    items=40, users=5, length=4, embedding_dim=4, k=3, native=False, write=False
)


@command
def main(config: Config) -> dict[str, float]:
    """Measures each kind of request and writes `live_requests`."""
    rng = np.random.default_rng(0)
    module = make_recommender(config, rng)
    requests = {
        kind: [make_request(config, rng, kind) for _ in range(256)] for kind in _KINDS
    }
    if not config.native:
        for kind, signature in _KINDS.items():
            served = Signature(signature, module.signatures[signature])
            served(served.checked(requests[kind][0]))
        return {f"{kind}: requests": len(made) for kind, made in requests.items()}
    with tempfile.TemporaryDirectory() as folder:
        served = {name: module.signatures[name] for name in {*_KINDS.values()}}
        version = tm.serving.export(module, folder, signatures=served)
        found = {kind: [] for kind in _KINDS}
        for _ in range(config.repeats):
            for kind, signature in _KINDS.items():
                found[kind].append(_measure(config, version, signature, requests[kind]))
    medians = {kind: np.median(runs, axis=0) for kind, runs in found.items()}
    if config.write:
        results.write_section("live_requests", _report(config, medians))
    return {
        f"{kind}: {share}, ms": 1e3 * float(value)
        for kind, values in medians.items()
        for share, value in zip(("p50", "p99"), values, strict=True)
    }


def make_recommender(
    config: Config, rng: np.random.Generator, *, explain: bool = False
) -> tm.serving.Recommender:
    """Makes an untrained recommender over histories, with random users.

    Args:
      config: sizes.
      rng: source of the values.
      explain: whether it has the signature `explain`.
    """
    items = tm.towers.FeatureTower(
        [tm.data.Feature("item_id", "id", config.items)], config.embedding_dim
    )
    tower = tm.towers.RecencyPooling(
        items, config.embedding_dim, timestamp="history_timestamp"
    )
    shape = (config.users + 1, config.length)
    history = rng.integers(1, config.items + 1, size=shape)
    times = _START + np.sort(rng.integers(10**6, size=shape), axis=1)
    history[0] = times[0] = 0  # row 0 stands for all unknown users
    known = [[], *history[1:].tolist()]
    tower({"history": history[:2], "history_timestamp": times[:2]})
    index = tm.layers.BruteForce().index(
        items({"item_id": tf.range(1, config.items + 1)}),
        tf.range(1, config.items + 1, dtype=tf.int64),
    )
    names = [f"i{i}" for i in range(1, config.items + 1)]
    return tm.serving.Recommender(
        tower,
        index,
        user_ids=[f"u{i}" for i in range(1, config.users + 1)],
        user_features={"history": history, "history_timestamp": times},
        item_ids=names,
        titles=["", *names],
        known_items=tf.ragged.constant(known, tf.int64, row_splits_dtype=tf.int64),
        candidate_probabilities=np.full(config.items + 1, 1 / config.items),
        explain=explain,
    )


def make_request(
    config: Config, rng: np.random.Generator, kind: str
) -> dict[str, np.ndarray]:
    """Makes a request of one row: a user by id, or a history as long as the model's."""
    user = np.array([f"u{rng.integers(1, config.users + 1)}"], object)
    request = {
        "user_id": user,
        "k": np.int32([config.k]),
        "exclude_seen": np.array([True]),
    }
    if kind == BY_ID:
        return request
    shape = (1, config.length)
    history = rng.integers(1, config.items + 1, size=shape)
    times = _START + 10**6 + np.sort(rng.integers(10**6, size=shape), axis=1)
    return request | {
        "exclusions": np.array([[""]], object),
        "history": np.array([[f"i{i}" for i in history[0]]], object),
        "history_time": times,
        "time": np.array([_START + 3 * 10**6]),
        "append": np.array([kind == APPENDED]),
    }


def _measure(
    config: Config,
    version: Path,
    signature: str,
    requests: list[Mapping[str, np.ndarray]],
) -> tuple[float, float]:
    questions = version.with_name("questions")
    native.write_questions(questions, (native.Question(signature, r) for r in requests))
    found = native.run(
        native.compile_program(),
        version,
        questions,
        threads=os.cpu_count(),
        queries=config.queries,
    )
    if found.problems:
        raise RuntimeError(f"Requests failed: {found.problems}")
    return found.latency.p50, found.latency.p99


def _report(config: Config, medians: Mapping[str, np.ndarray]) -> str:
    base = medians[BY_ID]
    rows = [
        [
            kind,
            f"{1e3 * p50:.2f}",
            f"{1e3 * p99:.2f}",
            f"x {p50 / base[0]:.2f}",
            f"x {p99 / base[1]:.2f}",
        ]
        for kind, (p50, p99) in medians.items()
    ]
    header = ["request", "p50, ms", "p99, ms", "p50, by id", "p99, by id"]
    return f"""\
{config.items:,} items of width {config.embedding_dim} in a `BruteForce` index, a query
tower that pools {config.length} items by recency and times, the best {config.k} for one
request at a time without what the user has; the exported SavedModel in the program
without Python, {os.cpu_count()} threads, one client. Histories have {config.length}
items and their times; appended ones join a known past of {config.length}. Medians of
{config.repeats} runs of {config.queries:,} requests of each kind, in turns.

{results.table(header, rows)}

Command: `python -m pipelines.benchmarks.live_requests`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config, description=__doc__)))
