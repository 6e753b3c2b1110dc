"""Quality of two towers over ids: python -m pipelines.benchmarks.quality.

Compares our model with popularity, chance, `implicit`'s ALS, EASE and the model of
TensorFlow Recommenders' tutorial, on the same rows and by the same ranks, with and
without exclusion of known items. All parameters are chosen on a validation part of the
training rows; then all models train on all training rows. `--search` chooses the
parameters again and prints them.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tyro

from pipelines.benchmarks import peers, results
from pipelines.benchmarks.figures import bars
from pipelines.benchmarks.protocols import (
    Case,
    Embeddings,
    Protocol,
    invented,
    latest_small,
    movielens_100k,
    rank_embeddings,
)
from pipelines.benchmarks.search import search_peer, search_two_tower
from pipelines.benchmarks.two_tower import Setting, train_embeddings
from pipelines.parts.command import command
from pipelines.parts.flags import Seed
from tfrs_models.data import Interactions, ranking_groups
from tfrs_models.metrics import RankTable

METRIC = "hit_rate_at_100"
HIT_RATE = "hit rate at 100"
# Title of a column -> metric, and whether known items are excluded.
COLUMNS = {
    HIT_RATE: (METRIC, True),
    "NDCG@10": ("ndcg_at_10", True),
    "hit rate at 100, known items not excluded": (METRIC, False),
}
BOTH = (True, False)
OURS = "two towers, ours"
LAMBDAS = (30.0, 100.0, 300.0, 1000.0, 3000.0)
WEIGHTINGS = (
    *(f"bm25:{b}" for b in (0.2, 0.5, 0.8)),
    *(f"alpha:{a}" for a in (1, 3, 10, 40)),
)


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Settings of all cases on one data set, chosen by hit rate at 100."""

    two_tower: Setting
    """Setting of our model."""
    regularization: float
    """Regularization of EASE."""
    weighting: str
    """Weighting of ALS: `bm25:<B>` or `alpha:<a>`."""


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
    """Data sets to measure on; `invented` is a small one for tests."""
    ml_100k: Chosen = ML_100K
    """Settings chosen on MovieLens-100K."""
    latest_small: Chosen = LATEST_SMALL
    """Settings chosen on MovieLens latest-small."""
    seeds: int = 5
    """Number of trainings of every random case."""
    split_seed: Seed = 42
    """Seed of the random split."""
    search: bool = False
    """Choose the settings again on the validation parts, instead of measuring."""
    search_seeds: int = 2
    """Number of trainings of every setting of the search."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(datasets=("invented",), seeds=2, write=False)


@command
def main(config: Config) -> dict[str, float]:
    """Measures (or searches) on every data set and writes the section `quality`."""
    measured, reports = {}, []
    for name in config.datasets:
        protocol, chosen = _protocol(name, config)
        if config.search:
            print(f"{name}: {search(protocol, config)}")
            continue
        values = measure(protocol.measure, chosen, seeds=config.seeds)
        measured |= {
            f"{name}: {case}": float(found[HIT_RATE].mean())
            for case, found in values.items()
        }
        if config.write:
            reports.append(_report(name, protocol, values, own=OURS))
    if reports:
        section = _section(
            reports,
            chosen={
                "MovieLens-100K": config.ml_100k,
                "latest-small": config.latest_small,
            },
            seeds=config.seeds,
        )
        results.write_section("quality", section)
    return measured


def cases(chosen: Chosen) -> dict[str, Case]:
    """Returns the cases of the comparison with the chosen settings."""
    return {
        OURS: Case(
            lambda data, _, seed: train_embeddings(data, chosen.two_tower, seed=seed),
            is_random=True,
        ),
        "popularity": Case(lambda data, *_: peers.popularity(data)),
        "ALS (implicit), 64 factors": Case(
            lambda data, _, seed: peers.als(data, chosen.weighting, seed=seed),
            is_random=True,
        ),
        "EASE": Case(lambda data, *_: peers.ease(data, chosen.regularization)),
        "tutorial of TensorFlow Recommenders": Case(
            lambda data, _, seed: peers.tutorial(data, seed=seed), is_random=True
        ),
    }


def measure(
    data: Interactions, chosen: Chosen, *, seeds: int
) -> dict[str, dict[str, np.ndarray]]:
    """Returns case -> column -> `[num_seeds, num_rows]` values of the test rows."""
    values = {}
    for name, case in cases(chosen).items():
        ranks = [
            {exclude: rank_embeddings(*made, data, exclude=exclude) for exclude in BOTH}
            for made in case.turns(data, seeds=seeds)
        ]
        values[name] = _columns(ranks)
        chance = [{exclude: table.chance() for exclude, table in ranks[0].items()}]
    return values | {"chance": _columns(chance)}


def search(protocol: Protocol, config: Config) -> Chosen:
    """Chooses the parameters of every case on the validation part."""

    def hit_rate(embeddings: Embeddings) -> float:
        table = rank_embeddings(*embeddings, protocol.choose, split="validation")
        return float(table.values(METRIC).mean())

    regularization, _ = search_peer(
        LAMBDAS, lambda value: hit_rate(peers.ease(protocol.choose, value))
    )
    weighting, _ = search_peer(
        WEIGHTINGS, lambda value: hit_rate(peers.als(protocol.choose, value, seed=0))
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


def _columns(ranks: list[dict[bool, RankTable]]) -> dict[str, np.ndarray]:
    """Returns column -> `[num_seeds, num_rows]` values."""
    return {
        title: np.stack([tables[exclude].values(metric) for tables in ranks])
        for title, (metric, exclude) in COLUMNS.items()
    }


def _report(
    name: str,
    protocol: Protocol,
    values: Mapping[str, Mapping[str, np.ndarray]],
    *,
    own: str,
) -> str:
    """Formats the results on one data set.

    Args:
      name: name of the plot.
      protocol: data set.
      values: case -> column of the table -> `[num_seeds, num_rows]`; the plot shows the
        first column.
      own: name of our case.
    """
    users = ranking_groups(protocol.measure, "test")
    columns = list(values[own])
    rows = [
        [case, *(results.with_spread(found[column], users) for column in columns)]
        for case, found in values.items()
    ]
    figure = bars(
        {case: float(found[columns[0]].mean()) for case, found in values.items()},
        title=f"Hit rate at 100, known items excluded: {protocol.name}",
        own=own,
    )
    return f"""\
### {protocol.name}

{len(users):,} test rows, {protocol.measure.num_items:,} candidates.

{results.table(["model", *columns], rows)}

{results.save_plot(figure, f"quality_{name}")}
"""


def _section(
    reports: Sequence[str], *, chosen: Mapping[str, object], seeds: int
) -> str:
    """Formats the section of RESULTS.md.

    Args:
      reports: results of the data sets.
      chosen: data set -> chosen settings.
      seeds: number of trainings of every random case.
    """
    settings = "\n".join(f"- {name}: `{value}`" for name, value in chosen.items())
    return f"""\
Ids only. Mean over {seeds} seeds ± standard deviation over seeds [95% bootstrap
interval over users]; popularity, chance and EASE have no seed. Chosen by validation hit
rate at 100 with `python -m pipelines.benchmarks.quality --search --datasets ml-100k
--search-seeds 1` and `--search --datasets latest-small --search-seeds 2`, one option
after the other, then trained on training and validation rows. No choice was made by
test rows. The search is uneven: six options and the epochs of ours, one each of
ALS and EASE, none of the tutorial:

{settings}

{chr(10).join(reports)}
Command: `python -m pipelines.benchmarks.quality`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
