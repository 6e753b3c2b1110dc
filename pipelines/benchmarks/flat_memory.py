"""Memory of what is repeated for days: python -m pipelines.benchmarks.flat_memory.

Each case runs in a process of its own, many times. The first half of the runs fills
caches; what the second half adds is growth. Sizes are of resident memory after garbage
is collected.
"""

import dataclasses
import itertools
import tempfile
import warnings
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines.benchmarks import results
from pipelines.benchmarks.memory import growth
from pipelines.parts.command import command


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    candidates: int = 20_000
    """Number of candidates of an index."""
    embedding_dim: int = 32
    """Number of dimensions."""
    share: float = 1.0
    """Share of the runs of each case."""
    cases: tuple[str, ...] = ()
    """Cases to run; all if none is given."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(candidates=300, embedding_dim=4, share=0.02, write=False)


def fit(config: Config) -> Callable[[], None]:
    """An epoch of a model with queued negatives and estimated frequencies."""
    del config
    model, data = _model()
    batches = data.batches("train", 16, shuffle=True, seed=1)
    return lambda: model.fit(batches, epochs=1, verbose=0)


def evaluate(config: Config) -> Callable[[], None]:
    """An evaluation over the corpus."""
    del config
    model, data = _model()
    candidates = data.candidate_batches(16)
    batches = data.batches("test", 16)
    model.task.factorized_metrics = tm.metrics.FactorizedTopK(
        model.embed_candidates(candidates), ks=(5,)
    )
    model.compile()
    return lambda: model.evaluate(batches, verbose=0)


def _model() -> tuple[tm.models.TwoTower, tm.data.Interactions]:
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in rng.integers(20, size=200)],
            "item_id": [f"i{n}" for n in rng.integers(30, size=200)],
            "timestamp": np.arange(200),
        }
    ).drop_duplicates(["user_id", "item_id"])
    data = tm.data.from_frame(frame, split="leave_last_out")
    model = tm.models.TwoTower(
        tm.towers.FeatureTower(data.user_features, 8),
        tm.towers.FeatureTower(data.item_features, 8),
        task=tm.tasks.Retrieval(queue=tm.layers.CandidateQueue(64, 8)),
        frequency_estimator=tm.layers.FrequencyEstimator(100),
    )
    model.compile(tf.keras.optimizers.Adam(0.01))
    return model, data


def tune_scann(config: Config) -> Callable[[], None]:
    """A tuning of `ScaNN`."""
    index = _scann(config).index(_rows(config))
    return _tuning(index, config)


def tune_ivf(config: Config) -> Callable[[], None]:
    """A tuning of `IVF`."""
    index = tm.layers.IVF(block_size=64).index(_rows(config))
    return _tuning(index, config)


def _tuning(index: tf.keras.layers.Layer, config: Config) -> Callable[[], None]:
    rows = _rows(config)

    def run() -> None:
        with warnings.catch_warnings(action="ignore"):
            tm.serving.tuning.tune(
                index, rows[:60], k=5, candidates=rows, repeats=1, batch_size=16
            )

    return run


def scann_anew(config: Config) -> Callable[[], None]:
    """Indexing anew of `ScaNN`, and a query."""
    return _anew(_scann(config), config)


def ivf_anew(config: Config) -> Callable[[], None]:
    """Indexing anew of `IVF` with another number of candidates, and a query."""
    return _anew(tm.layers.IVF(block_size=64), config)


def _anew(index: tf.keras.layers.Layer, config: Config) -> Callable[[], None]:
    rows, numbers = _rows(config), itertools.count()

    def run() -> None:
        index.index(rows[next(numbers) % 7 :])
        index(rows[:4])

    return run


def updates(config: Config) -> Callable[[], None]:
    """An upsert and a removal in `IVF`, and a query of a graph."""
    rows = _rows(config)
    index = tm.layers.IVF(block_size=64, capacity=len(rows) + 50).index(rows)
    ask = tf.function(lambda queries: index(queries, k=5))
    ids = np.arange(len(rows), len(rows) + 40)

    def run() -> None:
        index.upsert(rows[:40], ids)
        ask(rows[:4])
        index.remove(ids)

    return run


def exports(config: Config) -> Callable[[], None]:
    """An export of a `Retriever`, which is checked, and a load."""
    index = tm.layers.BruteForce().index(_rows(config))
    retriever = tm.serving.Retriever(index)
    folder = tempfile.mkdtemp()

    def run() -> None:
        path = tm.serving.export(retriever, folder, keep=1)
        tf.saved_model.load(str(path))

    return run


def snapshots(config: Config) -> Callable[[], None]:
    """A snapshot of an `IVF`, and a restart from it."""
    index = tm.layers.IVF(block_size=64).index(_rows(config))
    folder, queries = tempfile.mkdtemp(), _rows(config)[:4]

    def run() -> None:
        tm.serving.save_snapshot(index, folder)
        tm.serving.load_snapshot(folder).module(queries)

    return run


def _rows(config: Config) -> np.ndarray:
    rng = np.random.default_rng(0)
    size = config.candidates, config.embedding_dim
    return rng.normal(size=size).astype("float32")


def _scann(config: Config) -> tm.layers.ScaNN:
    leaves = round(config.candidates**0.5)
    return tm.layers.ScaNN(num_leaves=leaves, num_reordering_candidates=100)


CASES = {
    "fit": (fit, 50),
    "evaluate": (evaluate, 1_000),
    "tune_scann": (tune_scann, 4),
    "tune_ivf": (tune_ivf, 4),
    "scann_anew": (scann_anew, 40),
    "ivf_anew": (ivf_anew, 20),
    "updates": (updates, 500),
    "exports": (exports, 16),
    "snapshots": (snapshots, 40),
}


@command
def main(config: Config) -> dict[str, float]:
    """Measures all cases and writes the section `flat_memory`."""
    flags = {
        "candidates": config.candidates,
        "embedding_dim": config.embedding_dim,
    }
    rows, figures = [], {}
    for name in config.cases or CASES:
        case, runs = CASES[name]
        runs = max(2, round(runs * config.share))
        measured = growth(f"{__spec__.name}:{name}", flags, runs=runs)
        figures[name] = measured.per_run
        what = (case.__doc__ or "").rstrip(".")
        rows.append(
            [
                what,
                f"{runs:,}",
                f"{measured.first:.0f}",
                f"{measured.last:.0f}",
                f"{measured.per_run:.0f}",
            ]
        )
        print(*rows[-1], sep=" | ", flush=True)
    if config.write:
        header = ["case", "runs", "MB after half", "MB after all", "kB of a run"]
        results.write_section(
            "flat_memory",
            f"{(__doc__ or '').partition(chr(10))[2].strip()}\n\n"
            f"{results.table(header, rows)}\n\n"
            "Command: `python -m pipelines.benchmarks.flat_memory`",
        )
    return figures


if __name__ == "__main__":
    main(tyro.cli(Config))
