"""Models over histories: python -m pipelines.benchmarks.sequences.

Compares towers over histories with EASE, with and without recency, item-kNN, ALS,
popularity and a plain SASRec on each user's last row, known items excluded. Parameters
are chosen on the row before it; then all models train on all rows but the last.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tyro

from pipelines.benchmarks import next_item, peers, results, sequences_report
from pipelines.benchmarks.next_item import Setting
from pipelines.benchmarks.protocols import (
    Case,
    Embeddings,
    Protocol,
    invented_times,
    latest_small,
    movielens_100k_last,
    rank_embeddings,
)
from pipelines.benchmarks.search import search_peer
from pipelines.parts.command import command
from tfrs_models.data import Interactions

METRICS = tuple(sequences_report.METRICS)
PEER = "EASE, recency-weighted"
PLAIN = Setting(
    "sasrec",
    times=False,
    features="id",
    batch_size=128,
    learning_rate=0.002,
    epochs=40,
)


@dataclasses.dataclass(frozen=True)
class Peers:
    """Parameters of the peers."""

    regularization: float = 300.0
    """Regularization of EASE."""
    half_life: float = 5.0
    """Half-life of the weights of recency, in items."""
    floor: float = 0.2
    """Smallest weight of an item in a history."""
    num_neighbours: int = 100
    """Number of neighbours of an item."""
    shrinkage: float = 10.0
    """Shrinkage of the cosine of neighbours."""
    weighting: str = "alpha:3"
    """Weighting of ALS: `bm25:<B>` or `alpha:<a>`."""

    def ease(self, data: Interactions) -> Embeddings:
        return peers.ease(data, self.regularization)

    def recent_ease(self, data: Interactions, split: str) -> Embeddings:
        return peers.recent_ease(
            data,
            split,
            regularization=self.regularization,
            half_life=self.half_life,
            floor=self.floor,
        )

    def item_knn(self, data: Interactions) -> Embeddings:
        return peers.item_knn(
            data, num_neighbours=self.num_neighbours, shrinkage=self.shrinkage
        )

    def als(self, data: Interactions, *, seed: int) -> Embeddings:
        return peers.als(data, self.weighting, seed=seed)


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    datasets: tuple[str, ...] = ("ml-100k", "latest-small")
    """Data sets to measure on; `invented` is a small one for tests."""
    seeds: int = 5
    """Number of trainings of every random case."""
    search: bool = False
    """Choose the peers' parameters on the row before the last, instead of measuring."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(datasets=("invented",), seeds=1, write=False)
PEERS = {
    "ml-100k": Peers(
        regularization=100.0,
        half_life=10.0,
        floor=0.2,
        num_neighbours=300,
        shrinkage=50.0,
        weighting="alpha:1",
    ),
    "latest-small": Peers(
        regularization=300.0,
        half_life=5.0,
        floor=0.0,
        num_neighbours=100,
        shrinkage=0.0,
        weighting="alpha:1",
    ),
    "invented": Peers(),
}
MODELS = {
    "recency pooling": Setting(),
    "recency pooling, no times": Setting(times=False),
    "recency pooling, no times, ids only": Setting(times=False, features="id"),
    "GRU": Setting("gru", times=False),
    "SASRec": Setting("sasrec", times=False),
    "auto-correlation": Setting("autocorrelation", times=False),
}
_TINY = {"embedding_dim": 4, "history_length": 6, "epochs": 1, "features": "id"}


@command
def main(config: Config) -> dict[str, float]:
    """Measures (or searches) on every data set and writes the section `sequences`."""
    measured, reports = {}, []
    for name in config.datasets:
        protocol = _protocol(name)
        if config.search:
            print(f"{name}: {search(protocol.choose)}")
            continue
        values = measure(name, protocol.measure, config)
        measured |= {
            f"{name}: {case}": float(found["ndcg_at_10"].mean())
            for case, found in values.items()
        }
        if config.write:
            reports.append(
                sequences_report.of_data(
                    name, protocol, values, models=tuple(MODELS), peer=PEER
                )
            )
    if reports:
        settings = MODELS | {"SASRec, one negative": PLAIN}
        settings |= {f"peers on {name}": PEERS[name] for name in config.datasets}
        section = sequences_report.section(
            reports, settings=settings, seeds=config.seeds
        )
        results.write_section("sequences", section)
    return measured


def measure(
    name: str, data: Interactions, config: Config
) -> dict[str, dict[str, np.ndarray]]:
    """Returns case -> metric -> `[num_seeds, num_rows]` values of the test rows."""
    values = {}
    for title, case in cases(name).items():
        tables = [
            rank_embeddings(*made, data)
            for made in case.turns(data, seeds=config.seeds)
        ]
        values[title] = {m: np.stack([t.values(m) for t in tables]) for m in METRICS}
        means = {m: f"{found.mean():.4f}" for m, found in values[title].items()}
        print(name, title, means, flush=True)
    return values


def cases(name: str) -> dict[str, Case]:
    """Returns the cases of the comparison on a data set."""
    tiny = _TINY if name == "invented" else {}
    chosen = PEERS[name]

    def model(train: Callable, setting: Setting) -> Case:
        setting = dataclasses.replace(setting, **tiny)

        def make(data: Interactions, split: str, seed: int) -> Embeddings:
            model = train(data, setting, seed=seed)
            return next_item.embeddings(model, data, split, setting)

        return Case(make, is_random=True)

    return {
        **{case: model(next_item.train, setting) for case, setting in MODELS.items()},
        "SASRec, one negative, BCE": model(next_item.train_plain, PLAIN),
        PEER: Case(lambda data, split, _: chosen.recent_ease(data, split)),
        "EASE": Case(lambda data, *_: chosen.ease(data)),
        "item-kNN": Case(lambda data, *_: chosen.item_knn(data)),
        "ALS (implicit), 64 factors": Case(
            lambda data, _, seed: chosen.als(data, seed=seed), is_random=True
        ),
        "popularity": Case(lambda data, *_: peers.popularity(data)),
    }


def search(data: Interactions) -> Peers:
    """Chooses the peers' parameters by NDCG@10 on the row before the last."""

    def ndcg(made: Embeddings) -> float:
        table = rank_embeddings(*made, data, split="validation")
        return float(table.values("ndcg_at_10").mean())

    def changed(start: Peers, make: Callable, **options: tuple) -> Peers:
        for field, values in options.items():
            tried = [dataclasses.replace(start, **{field: value}) for value in values]
            start, _ = search_peer(tried, lambda chosen: ndcg(make(chosen)))
        return start

    best = changed(
        Peers(),
        lambda chosen: chosen.ease(data),
        regularization=(30.0, 100.0, 300.0, 1000.0),
    )
    best = changed(
        best,
        lambda chosen: chosen.recent_ease(data, "validation"),
        half_life=(2.0, 5.0, 10.0, 20.0),
        floor=(0.0, 0.1, 0.2, 0.4),
    )
    best = changed(
        best,
        lambda chosen: chosen.item_knn(data),
        shrinkage=(0.0, 10.0, 50.0, 200.0),
        num_neighbours=(50, 100, 300, 1000),
    )
    return changed(
        best,
        lambda chosen: chosen.als(data, seed=0),
        weighting=("alpha:0.3", "alpha:1", "alpha:3", "bm25:0.2", "bm25:0.8"),
    )


def _protocol(name: str) -> Protocol:
    protocols = {
        "ml-100k": movielens_100k_last,
        "latest-small": latest_small,
        "invented": invented_times,
    }
    if name not in protocols:
        raise ValueError(f"`datasets` must be of {list(protocols)}. Got {name!r}.")
    return protocols[name]()


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
