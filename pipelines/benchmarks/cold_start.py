"""Features and id dropout for new items: python -m pipelines.benchmarks.cold_start.

Holds a tenth of the items with all their rows out of training and compares item towers
on these rows and on each user's last row of the other items.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines.benchmarks import next_item, results
from pipelines.benchmarks.figures import points
from pipelines.benchmarks.next_item import Setting
from pipelines.benchmarks.protocols import invented_times, rank_embeddings
from pipelines.parts import query_towers
from pipelines.parts.command import command
from tfrs_models.data import Interactions

DATASETS = {
    "ml-100k": ("MovieLens-100K", "recbole:ml-100k"),
    "latest-small": ("MovieLens latest-small", "movielens-latest-small"),
}
METRICS = {"hit_rate_at_100": "hit rate at 100", "ndcg_at_10": "NDCG@10"}
REFERENCE = "ids only"
# Case -> slice of the item features, the id first, and the id dropout.
CASES = {
    REFERENCE: (slice(1), 0.0),
    "ids and features": (slice(None), 0.0),
    "ids and features, id dropout 0.1": (slice(None), 0.1),
    "ids and features, id dropout 0.3": (slice(None), 0.3),
    "features only": (slice(1, None), 0.0),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    datasets: tuple[str, ...] = ("ml-100k", "latest-small")
    """Data sets to measure on; `invented` is a small one for tests."""
    setting: Setting = dataclasses.field(default_factory=lambda: Setting(times=False))
    """Setting of all cases; only the input of the item tower differs."""
    seeds: int = 5
    """Number of draws of the new items, each with a training of every case."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    datasets=("invented",),
    setting=Setting(embedding_dim=4, history_length=6, epochs=1),
    seeds=1,
    write=False,
)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Test rows of one draw of new items.

    Attributes:
      users: `[num_rows]` ids of the users; an unknown user has another id in each row.
      is_cold: `[num_rows]` whether the item is new.
      values: case -> metric -> `[num_rows]`.
    """

    users: np.ndarray
    is_cold: np.ndarray
    values: dict[str, dict[str, np.ndarray]]


@command
def main(config: Config) -> dict[str, float]:
    """Measures every item tower and writes the section `cold_start`."""
    measured = {
        name: [measure(name, config, seed=seed) for seed in range(config.seeds)]
        for name in config.datasets
    }
    if config.write:
        results.write_section("cold_start", _section(config, measured))
    return {
        f"{name}: {case}, {part}": float(
            np.mean(_of_seeds(draws, case, "hit_rate_at_100", cold=part == "cold"))
        )
        for name, draws in measured.items()
        for case in CASES
        for part in ("cold", "warm")
    }


def measure(name: str, config: Config, *, seed: int) -> Rows:
    """Draws the new items, trains every case and ranks the test rows."""
    data = _load(name, seed=seed)
    test = data.splits["test"]
    is_cold = test["item_id"] > data.num_train_items
    values = {}
    for case in CASES:
        model = train(data, config.setting, case, seed=seed)
        users, items = next_item.embeddings(model, data, "test", config.setting)
        ranks = rank_embeddings(users, items, data)
        values[case] = {metric: ranks.values(metric) for metric in METRICS}
        found = values[case]["hit_rate_at_100"]
        means = f"cold {found[is_cold].mean():.4f}, warm {found[~is_cold].mean():.4f}"
        print(f"{name}, {seed}: {case}: {means}", flush=True)
    values["chance"] = {metric: ranks.chance().values(metric) for metric in METRICS}
    # Each row of an unknown user is another user, in each draw.
    names = np.append("", data.vocabularies["user_id"]).astype(object)
    users = names[test["user_id"]]
    users[users == ""] = [f"unknown {seed}-{n}" for n in range((users == "").sum())]
    return Rows(users, is_cold, values)


def train(
    data: Interactions, setting: Setting, case: str, *, seed: int
) -> tm.models.NextItem:
    """Trains recency pooling over one of the item towers."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    part, id_dropout = CASES[case]
    items = tm.towers.FeatureTower(
        data.item_features[part], setting.embedding_dim, id_dropout=id_dropout
    )
    items = tm.towers.FeatureLookup(items, data.items)
    model = tm.models.NextItem(
        tm.towers.RecencyPooling(items, setting.embedding_dim),
        temperature=query_towers.resolved(setting).temperature,
    )
    return next_item.fitted(model, data, setting, seed=seed)


def _load(name: str, *, seed: int) -> Interactions:
    if name == "invented":
        return invented_times(split="new_items", seed=seed).measure
    if name in DATASETS:
        return tm.data.load(DATASETS[name][1], split="new_items", seed=seed)
    raise ValueError(f"`datasets` must be of {[*DATASETS, 'invented']}. Got {name!r}.")


def _of_seeds(
    draws: Sequence[Rows], case: str, metric: str, *, cold: bool
) -> list[float]:
    """Returns the mean over the cold or the warm rows of each draw."""
    return [
        float(draw.values[case][metric][draw.is_cold == cold].mean()) for draw in draws
    ]


def _gain(draws: Sequence[Rows], case: str, metric: str, *, cold: bool) -> str:
    """Formats the difference of a case from the reference, paired by row."""
    parts = [draw.is_cold == cold for draw in draws]
    gains = [
        (draw.values[case][metric] - draw.values[REFERENCE][metric])[part]
        for draw, part in zip(draws, parts, strict=True)
    ]
    users = [draw.users[part] for draw, part in zip(draws, parts, strict=True)]
    return results.gain(np.concatenate(gains), np.concatenate(users))


def _report(title: str, draws: Sequence[Rows]) -> str:
    def rows(*, cold: bool) -> list[list[str]]:
        lines = []
        for case in draws[0].values:
            line = [case]
            for metric in METRICS:
                means = _of_seeds(draws, case, metric, cold=cold)
                line.append(f"{np.mean(means):.4f} ± {np.std(means, ddof=1):.4f}")
                compared = case in CASES and case != REFERENCE
                line.append(_gain(draws, case, metric, cold=cold) if compared else "")
            lines.append(line)
        return lines

    header = ["item tower"]
    for label in METRICS.values():
        header += [label, f"above {REFERENCE}"]
    cold = np.mean([draw.is_cold.sum() for draw in draws])
    warm = np.mean([(~draw.is_cold).sum() for draw in draws])
    return f"""\
### {title}

New items, {cold:,.0f} rows in the mean of the draws:

{results.table(header, rows(cold=True))}

Each user's last row of the other items, {warm:,.0f} rows:

{results.table(header, rows(cold=False))}
"""


def _section(config: Config, measured: dict[str, list[Rows]]) -> str:
    titles = {name: DATASETS[name][0] for name in measured}
    figure = points(
        {
            title: {
                case: {
                    part: _of_seeds(
                        measured[name], case, "hit_rate_at_100", cold=part == "new"
                    )
                    for part in ("new", "others")
                }
                for case in CASES
            }
            for name, title in titles.items()
        },
        title="Hit rate at 100 on new items and on others",
    )
    reports = [_report(titles[name], draws) for name, draws in measured.items()]
    return f"""\
A tenth of the items, drawn at random, is new: `split="new_items"` holds all their rows
out of training, and of the other items each user's last row. New and other items are
ranked together, over the whole catalogue, known items excluded. The query is what the
user had at the end of training, by recency pooling, so that rows of new items may be
older than the history they are predicted from, for all cases alike. Mean over
{config.seeds} draws, each with a training of its own, ± standard deviation over draws;
differences are paired by row, over the rows of all draws, with their 95% bootstrap
interval over users. With ids only, all new items have the embedding of the unknown id
and share their ranks; chance is a random order of all items.

Nothing was chosen here, the setting is that of `sequences`: `{config.setting}`

{chr(10).join(reports)}
{results.save_plot(figure, "cold_start")}

Command: `python -m pipelines.benchmarks.cold_start`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
