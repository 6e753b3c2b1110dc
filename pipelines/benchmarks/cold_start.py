"""Features and id dropout for new items: python -m pipelines.benchmarks.cold_start.

Holds a tenth of the items with all their rows out of training and compares item towers
on these rows and on each user's last row of the other items. `--texts` measures what
embeddings of texts add, in a section of their own.
"""

import dataclasses
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines.benchmarks import next_item, results
from pipelines.benchmarks.figures import points
from pipelines.benchmarks.next_item import Setting
from pipelines.benchmarks.protocols import invented_times, rank_embeddings
from pipelines.parts import query_towers
from pipelines.parts.command import command
from pipelines.parts.flags import Seed
from tfrs_models.data import Interactions

DATASETS = {
    "ml-100k": ("MovieLens-100K", "recbole:ml-100k"),
    "latest-small": ("MovieLens latest-small", "movielens-latest-small"),
}
METRICS = {"hit_rate_at_100": "hit rate at 100", "ndcg_at_10": "NDCG@10"}
IDS, FEATURES, HASHED, SENTENCES = "ids", "features", "hashed text", "sentences"
REFERENCE = "ids only"
# Case -> parts of the item features that the tower reads, and the id dropout. The first
# case is the reference of the others.
CASES = {
    REFERENCE: ((IDS,), 0.0),
    "ids and features": ((IDS, FEATURES), 0.0),
    "ids and features, id dropout 0.1": ((IDS, FEATURES), 0.1),
    "ids and features, id dropout 0.3": ((IDS, FEATURES), 0.3),
    "features only": ((FEATURES,), 0.0),
}
TEXT_CASES = {
    "ids and features": ((IDS, FEATURES), 0.1),
    "ids and hashed text": ((IDS, HASHED), 0.1),
    "ids, features and hashed text": ((IDS, FEATURES, HASHED), 0.1),
    "ids and sentences": ((IDS, SENTENCES), 0.1),
    "ids, features and sentences": ((IDS, FEATURES, SENTENCES), 0.1),
}
TEXT_DIM, TEXT_BUCKETS = 64, 2**15


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    datasets: tuple[str, ...] = ("ml-100k", "latest-small")
    """Data sets to measure on; `invented` is a small one for tests."""
    setting: Setting = dataclasses.field(default_factory=lambda: Setting(times=False))
    """Setting of all cases; only the input of the item tower differs."""
    seeds: int = 5
    """Number of draws of the new items, each with a training of every case."""
    texts: bool = False
    """Whether to compare towers with and without embeddings of texts instead."""
    sentences: Path | None = None
    """File of `numpy.savez` with `item_id` and their embeddings `text`, made elsewhere,
    for the cases of sentences; without it there are none."""
    first_seed: Seed = 0
    """Seed of the first draw."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""

    @property
    def cases(self) -> dict[str, tuple[tuple[str, ...], float]]:
        """Cases that are measured, the reference first."""
        if not self.texts:
            return CASES
        return {
            name: case
            for name, case in TEXT_CASES.items()
            if self.sentences is not None or SENTENCES not in case[0]
        }


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
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    measured = {
        name: [measure(name, config, seed=seed) for seed in seeds]
        for name in config.datasets
    }
    if config.write:
        write(config, measured)
    return {
        f"{name}: {case}, {part}": float(
            np.mean(_of_seeds(draws, case, "hit_rate_at_100", cold=part == "cold"))
        )
        for name, draws in measured.items()
        for case in config.cases
        for part in ("cold", "warm")
    }


def measure(name: str, config: Config, *, seed: int) -> Rows:
    """Draws the new items, trains every case and ranks the test rows."""
    data = _load(name, seed=seed)
    if config.texts:
        data = with_vector(data, HASHED, hashed_texts(data))
    if config.sentences is not None:
        data = with_vector(data, SENTENCES, _made_elsewhere(data, config.sentences))
    test = data.splits["test"]
    is_cold = test["item_id"] > data.num_train_items
    values = {}
    for case, (parts, id_dropout) in config.cases.items():
        model = train(data, config.setting, parts, id_dropout, seed=seed)
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
    data: Interactions,
    setting: Setting,
    parts: Sequence[str],
    id_dropout: float,
    *,
    seed: int,
) -> tm.models.NextItem:
    """Trains recency pooling over an item tower that reads parts of the features."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    first, *others = data.item_features
    vectors = [feature for feature in others if feature.kind == "vector"]
    by_part = {IDS: [first], FEATURES: [f for f in others if f not in vectors]}
    by_part |= {feature.name: [feature] for feature in vectors}
    items = tm.towers.FeatureTower(
        [feature for part in parts for feature in by_part[part]],
        setting.embedding_dim,
        id_dropout=id_dropout,
    )
    items = tm.towers.FeatureLookup(items, data.items)
    model = tm.models.NextItem(
        tm.towers.RecencyPooling(items, setting.embedding_dim),
        temperature=query_towers.resolved(setting).temperature,
    )
    return next_item.fitted(model, data, setting, seed=seed)


def with_vector(data: Interactions, name: str, vectors: np.ndarray) -> Interactions:
    """Adds `[num_items + 1, dim]` vectors to the features of the items."""
    feature = tm.data.Feature(name, "vector", dim=vectors.shape[1])
    return dataclasses.replace(
        data,
        items=data.items | {name: vectors},
        item_features=(*data.item_features, feature),
    )


def hashed_texts(data: Interactions) -> np.ndarray:
    """Embeds title, year and categories of the items by hashed n-grams and an SVD.

    It stands in for the embedding of a text where no language model is at hand: it
    knows letters and words, weighted by their rarity, but no meaning.

    Returns:
      `[num_items + 1, TEXT_DIM]` float32; the unknown item has zeros.
    """
    texts = item_texts(data)
    rows, columns = [], []
    for row, text in enumerate(texts):
        words = re.findall(r"\w+", text.lower())
        grams = {f" {word} "[i : i + 4] for word in words for i in range(len(word))}
        found = {zlib.crc32(gram.encode()) % TEXT_BUCKETS for gram in {*words, *grams}}
        rows += [row] * len(found)
        columns += sorted(found)
    shape = (len(texts), TEXT_BUCKETS)
    counts = scipy.sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape)
    rarity = np.log(len(texts) / np.maximum(counts.sum(axis=0), 1))
    start = np.random.default_rng(0).normal(size=min(shape))
    dim = min(TEXT_DIM, len(texts) - 1)
    left, sizes, _ = scipy.sparse.linalg.svds(counts * rarity, dim, v0=start)
    return np.pad(left * sizes, [(1, 0), (0, 0)]).astype(np.float32)


def item_texts(data: Interactions) -> list[str]:
    """Writes the title, its year and the categories of each item as one text."""
    texts = list(data.titles[1:])
    for feature in data.item_features[1:]:
        if feature.kind == "bag" and feature.name != "title":
            words = np.append("", data.vocabularies[feature.name])
            for row, values in enumerate(words[data.items[feature.name][1:]]):
                texts[row] += ". " + ", ".join(value for value in values if value)
    return texts


def _made_elsewhere(data: Interactions, path: Path) -> np.ndarray:
    with np.load(path) as file:
        vectors = dict(zip(file["item_id"].tolist(), file["text"], strict=True))
    unknown = np.zeros_like(next(iter(vectors.values())))
    names = data.vocabularies["item_id"].tolist()
    return np.stack([unknown, *(vectors.get(name, unknown) for name in names)])


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


def _gain(
    draws: Sequence[Rows], case: str, reference: str, metric: str, *, cold: bool
) -> str:
    """Formats the difference of a case from the reference, paired by row."""
    parts = [draw.is_cold == cold for draw in draws]
    gains = [
        (draw.values[case][metric] - draw.values[reference][metric])[part]
        for draw, part in zip(draws, parts, strict=True)
    ]
    users = [draw.users[part] for draw, part in zip(draws, parts, strict=True)]
    return results.gain(np.concatenate(gains), np.concatenate(users))


def _report(title: str, draws: Sequence[Rows]) -> str:
    reference = next(iter(draws[0].values))

    def rows(*, cold: bool) -> list[list[str]]:
        lines = []
        for case in draws[0].values:
            line = [case]
            for metric in METRICS:
                means = _of_seeds(draws, case, metric, cold=cold)
                spread = f" ± {np.std(means, ddof=1):.4f}" if len(means) > 1 else ""
                line.append(f"{np.mean(means):.4f}{spread}")
                compared = case not in (reference, "chance")
                gain = _gain(draws, case, reference, metric, cold=cold)
                line.append(gain if compared else "")
            lines.append(line)
        return lines

    header = ["item tower"]
    for label in METRICS.values():
        header += [label, f"above {reference}"]
    cold = np.mean([draw.is_cold.sum() for draw in draws])
    warm = np.mean([(~draw.is_cold).sum() for draw in draws])
    return f"""\
### {title}

New items, {cold:,.0f} rows in the mean of the draws:

{results.table(header, rows(cold=True))}

Each user's last row of the other items, {warm:,.0f} rows:

{results.table(header, rows(cold=False))}
"""


def write(config: Config, measured: dict[str, list[Rows]]) -> None:
    """Writes the section of the results.

    Args:
      config: flags.
      measured: data set -> test rows of each draw.
    """
    if config.texts:
        results.write_section("cold_start_texts", _text_section(measured))
    else:
        results.write_section("cold_start", _section(config, measured))


def _text_section(measured: dict[str, list[Rows]]) -> str:
    num_draws = len(next(iter(measured.values())))
    reports = [_report(DATASETS[name][0], draws) for name, draws in measured.items()]
    return f"""\
Do embeddings of texts help items without a row? The protocol is that of `cold_start`;
all towers read the id, with an id dropout of 0.1, and the features are genres, words of
the title, year and decade. Both embeddings are of "Toy Story (1995). Adventure,
Animation": they know nothing that the features do not have, but how words are alike.

- *hashed text*: words and four letters of words, hashed and weighted by their rarity,
  and an SVD to {TEXT_DIM} dimensions. A stand-in that any machine computes; it knows
  spelling, but no meaning.
- *sentences*: all-MiniLM-L6-v2 (384 dimensions; Wang et al., MiniLM, NeurIPS 2020;
  Reimers and Gurevych, Sentence-BERT, EMNLP 2019), mean of the tokens, computed
  elsewhere and given as `--sentences` (an archive of `item_id` and `text`).

{num_draws} draw{"s" if num_draws > 1 else ""} of new items, as in `cold_start`, with
one training of each case; intervals are over users and leave out the spread over
draws. Nothing was chosen here, the setting is that of `cold_start`.

{chr(10).join(reports)}
Command: `python -m pipelines.benchmarks.cold_start --texts --datasets
{" ".join(measured)} --sentences FILE`
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
