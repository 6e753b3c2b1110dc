"""How good two towers over ids are: python -m pipelines.benchmarks.quality.

Ours beside popularity, chance, `implicit`'s ALS, EASE and the model of TensorFlow
Recommenders' tutorial: the same rows, the same ranks, known items excluded and not. All
parameters are chosen on a validation part cut from the training rows, then everybody
trains on all of them. `--search` does the choosing again and prints what it finds.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tyro

from pipelines.benchmarks import results
from pipelines.benchmarks.baselines.als import als_embeddings
from pipelines.benchmarks.baselines.ease import ease_weights
from pipelines.benchmarks.baselines.tutorial_model import string_tower, tutorial_model
from pipelines.benchmarks.figures import bars
from pipelines.benchmarks.protocols import (
    Protocol,
    histories,
    invented,
    latest_small,
    movielens_100k,
    rank_embeddings,
)
from pipelines.benchmarks.search import search_peer, search_two_tower
from pipelines.benchmarks.two_tower import Setting, train_embeddings
from tfrs_models.data import Interactions
from tfrs_models.metrics import RankTable, bootstrap_interval

METRIC = "hit_rate_at_100"
OURS = "two towers, ours"
LAMBDAS = (30.0, 100.0, 300.0, 1000.0, 3000.0)
WEIGHTINGS = (
    *(f"bm25:{b}" for b in (0.2, 0.5, 0.8)),
    *(f"alpha:{a}" for a in (1, 3, 10, 40)),
)
Embeddings = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What the search chose for one data set, by hit rate at 100 on validation."""

    two_tower: Setting
    """Of our model."""
    regularization: float
    """Of EASE."""
    weighting: str
    """Of ALS: `bm25:<B>` or `alpha:<a>`."""


ML_100K = Chosen(
    Setting(temperature=0.3, learning_rate=0.003, epochs=21),
    regularization=300.0,
    weighting="alpha:3",
)
LATEST_SMALL = Chosen(
    Setting(temperature=0.15, batch_size=4096, epochs=18),
    regularization=300.0,
    weighting="alpha:3",
)
_TINY = Setting(embedding_dim=4, batch_size=64, epochs=1)


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    datasets: tuple[str, ...] = ("ml-100k", "latest-small")
    """What to measure on; `invented` finds out whether it runs."""
    ml_100k: Chosen = ML_100K
    """Chosen on MovieLens-100K."""
    latest_small: Chosen = LATEST_SMALL
    """Chosen on MovieLens latest-small."""
    seeds: int = 5
    """Trainings of every case that begins at random."""
    split_seed: int = 42
    """Of the random split."""
    search: bool = False
    """Choose again on the validation parts, instead of measuring."""
    search_seeds: int = 2
    """Trainings of every setting that the search tries."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(datasets=("invented",), seeds=2, write=False)


def main(config: Config) -> dict[str, float]:
    """Measures (or searches) on every data set and writes the section `quality`."""
    measured, reports = {}, []
    for name in config.datasets:
        protocol, chosen = _protocol(name, config)
        if config.search:
            print(f"{name}: {search(protocol, config)}")
            continue
        tables = {
            case: run_case(make, protocol.measure, config)
            for case, make in cases(chosen).items()
        }
        tables["chance"] = [
            [table.chance() for table in turn] for turn in tables["popularity"]
        ]
        measured |= {
            f"{name}: {case}": float(_values(turns, METRIC, excluded=True).mean())
            for case, turns in tables.items()
        }
        if config.write:
            reports.append(_report(protocol, name, tables))
    if reports:
        results.write_section("quality", _section(config, reports))
    return measured


def cases(
    chosen: Chosen,
) -> dict[str, tuple[Callable[[Interactions, int], Embeddings], bool]]:
    """Name -> (maker of embeddings from data and seed, whether the seed matters)."""
    return {
        OURS: (
            lambda data, seed: train_embeddings(data, chosen.two_tower, seed=seed),
            True,
        ),
        "popularity": (lambda data, _: popularity(data), False),
        "ALS (implicit), 64 factors": (
            lambda data, seed: als(data, chosen.weighting, seed=seed),
            True,
        ),
        "EASE": (lambda data, _: ease(data, chosen.regularization), False),
        "tutorial of TensorFlow Recommenders": (
            lambda data, seed: tutorial(data, seed=seed),
            True,
        ),
    }


def run_case(
    case: tuple[Callable[[Interactions, int], Embeddings], bool],
    data: Interactions,
    config: Config,
) -> list[list[RankTable]]:
    """For every seed the test ranks: known items excluded, and not."""
    make, is_random = case
    turns = []
    for seed in range(config.seeds if is_random else 1):
        users, items = make(data, seed)
        turns.append(
            [
                rank_embeddings(users, items, data, exclude=exclude)
                for exclude in (True, False)
            ]
        )
    return turns


def popularity(data: Interactions) -> Embeddings:
    """Counts of the training rows, as embeddings of width one."""
    counts = histories(data).sum(axis=0)
    return np.ones((data.num_users + 1, 1)), counts[:, None]


def als(data: Interactions, weighting: str, *, seed: int) -> Embeddings:
    """ALS; the unknown user, row 0, has no history and no taste."""
    return als_embeddings(histories(data), weighting=weighting, seed=seed)


def ease(data: Interactions, regularization: float) -> Embeddings:
    """EASE; the embedding of a user is the history itself."""
    history = histories(data)
    weights = ease_weights(history.astype("float64"), regularization=regularization)
    return history, weights.T


def tutorial(data: Interactions, *, seed: int) -> Embeddings:
    """Upstream's tutorial to the letter, but for ids as titles and no metrics."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    users, items = data.vocabularies["user_id"], data.vocabularies["item_id"]
    user_model, item_model = string_tower(users), string_tower(items)
    model = tutorial_model(
        user_model, item_model, tfrs.tasks.Retrieval(), base=tfrs.Model
    )
    model.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate=0.1))
    train = data.splits["train"]
    rows = {
        "user_id": users[train["user_id"] - 1],
        "movie_title": items[train["item_id"] - 1],
    }
    rows = {name: column.astype(str) for name, column in rows.items()}
    dataset = tf.data.Dataset.from_tensor_slices(rows).shuffle(100_000, seed=seed)
    model.fit(dataset.batch(8192).cache(), epochs=3, verbose=0)
    known = user_model(tf.constant(users.astype(str))).numpy()
    unknown = np.zeros_like(known[:1])
    return np.concatenate([unknown, known]), item_model(
        tf.constant(items.astype(str))
    ).numpy()


def search(protocol: Protocol, config: Config) -> Chosen:
    """Chooses every case's parameters on the validation part, from a fixed start."""

    def hit_rate(embeddings: Embeddings) -> float:
        table = rank_embeddings(*embeddings, protocol.choose, split="validation")
        return float(table.values(METRIC).mean())

    regularization, _ = search_peer(
        LAMBDAS, lambda value: hit_rate(ease(protocol.choose, value))
    )
    weighting, _ = search_peer(
        WEIGHTINGS, lambda value: hit_rate(als(protocol.choose, value, seed=0))
    )
    setting, _ = search_two_tower(
        protocol.choose,
        Setting(),
        metric=METRIC,
        seeds=range(config.search_seeds),
    )
    return Chosen(setting, regularization, weighting)


def _protocol(name: str, config: Config) -> tuple[Protocol, Chosen]:
    if name == "ml-100k":
        return movielens_100k(seed=config.split_seed), config.ml_100k
    if name == "latest-small":
        return latest_small(), config.latest_small
    if name == "invented":
        return invented(), Chosen(_TINY, regularization=30.0, weighting="bm25:0.5")
    raise ValueError(
        f"`datasets` must be ml-100k, latest-small or invented. Got {name!r}."
    )


def _values(turns: list[list[RankTable]], metric: str, *, excluded: bool) -> np.ndarray:
    """`[num_seeds, num_queries]` of a metric."""
    return np.stack([turn[0 if excluded else 1].values(metric) for turn in turns])


def _report(
    protocol: Protocol, name: str, tables: dict[str, list[list[RankTable]]]
) -> str:
    users = protocol.measure.splits["test"]["user_id"]

    def cell(turns: list[list[RankTable]], metric: str, *, excluded: bool) -> str:
        values = _values(turns, metric, excluded=excluded)
        interval = bootstrap_interval(values.mean(axis=0), users)
        seeds = f" ± {values.mean(axis=1).std(ddof=1):.4f}" if len(values) > 1 else ""
        return f"{interval.mean:.4f}{seeds} [{interval.low:.3f}, {interval.high:.3f}]"

    rows = [
        [
            case,
            cell(turns, METRIC, excluded=True),
            cell(turns, "ndcg_at_10", excluded=True),
            cell(turns, METRIC, excluded=False),
        ]
        for case, turns in tables.items()
    ]
    figure = bars(
        {
            case: float(_values(turns, METRIC, excluded=True).mean())
            for case, turns in tables.items()
        },
        title=f"Hit rate at 100, known items excluded: {protocol.name}",
        own=OURS,
    )
    header = [
        "model",
        "hit rate at 100",
        "NDCG@10",
        "hit rate at 100, known items not excluded",
    ]
    return f"""\
### {protocol.name}

{len(users):,} test rows, {protocol.measure.num_items:,} candidates.

{results.table(header, rows)}

{results.save_plot(figure, f"quality_{name}")}
"""


def _section(config: Config, reports: list[str]) -> str:
    chosen = "\n".join(
        f"- {name}: `{value}`"
        for name, value in (
            ("MovieLens-100K", config.ml_100k),
            ("latest-small", config.latest_small),
        )
    )
    return f"""\
Ids only. Mean over {config.seeds} seeds ± standard deviation over seeds [95% bootstrap
interval over users]; popularity, chance and EASE have no seed. Chosen by validation hit
rate at 100 with `python -m pipelines.benchmarks.quality --search --datasets ml-100k
--search-seeds 1` and `--search --datasets latest-small --search-seeds 2`, one option
after the other, then trained on training and validation rows. No choice was made by
test rows. The search is uneven: six options and the epochs of ours, one each of
ALS and EASE, none of the tutorial:

{chosen}

{chr(10).join(reports)}
Command: `python -m pipelines.benchmarks.quality`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
