"""Metrics and report of the retrieval pipeline."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from pipelines.reporting.page import render
from pipelines.reporting.plots import hit_rate_curves, learning_curves

METRICS = ("hit_rate_at_10", "hit_rate_at_100", "ndcg_at_10", "mrr")
NAMES = ("model", "popularity", "chance")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Ranks of the test rows by the model and its baselines.

    Args:
      tables: name of a model -> its ranks.
      slices: name of a slice -> `[num_rows]` bool.
      metrics: metrics with intervals, as in metrics.json.
      num_items: number of candidates.
    """

    tables: dict[str, tm.metrics.RankTable]
    slices: dict[str, np.ndarray]
    metrics: dict
    num_items: int


@dataclasses.dataclass(frozen=True)
class ExampleUser:
    """A user, the last items and the recommendations.

    Args:
      user_id: id of the user, as in the data.
      history: titles of the user's newest items, newest first.
      recommendations: title of an item, and whether it is in the user's test rows.
      num_held_out: number of the user's items in the test rows.
    """

    user_id: str
    history: list[str]
    recommendations: list[tuple[str, bool]]
    num_held_out: int


def evaluate(model: tm.models.TwoTower, data: tm.data.Interactions) -> Evaluation:
    """Ranks the test rows over the whole catalogue, known items excluded."""
    batches = data.batches("test", 4096)
    candidates = model.embed_candidates(data.candidate_batches())
    ids = np.arange(1, data.num_items + 1)
    popularity = data.candidate_probabilities[1:, None]
    by_model = tm.metrics.rank_table(
        lambda features: model.query_tower(features, training=False),
        candidates,
        batches,
    )
    by_popularity = tm.metrics.rank_table(
        lambda features: tf.ones_like(features["user_id"], tf.float32)[:, None],
        tf.data.Dataset.from_tensors((ids, popularity)),
        batches,
    )
    tables = dict(zip(NAMES, (by_model, by_popularity, by_model.chance()), strict=True))
    test = data.splits["test"]
    users, items = test["user_id"], test["item_id"]
    part = tm.metrics.popularity_slices(data.candidate_probabilities[1:])[items - 1]
    slices = {f"{name} items": part == name for name in ("head", "torso", "tail")}
    slices |= {"cold items": part == "cold", "warm items": part != "cold"}
    slices |= {"cold users": users == 0, "warm users": users > 0}
    groups = tm.data.ranking_groups(data, "test")
    return Evaluation(
        tables, slices, _metrics(tables, slices, groups), num_items=data.num_items
    )


def _metrics(
    tables: dict[str, tm.metrics.RankTable],
    slices: dict[str, np.ndarray],
    groups: np.ndarray,
) -> dict:
    def interval(values: np.ndarray, rows: np.ndarray | slice = slice(None)) -> dict:
        return tm.metrics.bootstrap_interval(values[rows], groups[rows])._asdict()

    values = {
        name: {metric: table.values(metric) for metric in METRICS}
        for name, table in tables.items()
    }
    return {
        "test": {
            name: {metric: interval(values[name][metric]) for metric in METRICS}
            for name in tables
        },
        "model_minus_popularity": {
            metric: interval(values["model"][metric] - values["popularity"][metric])
            for metric in METRICS
        },
        "slices": {
            slice_name: {
                "rows": int(rows.sum()),
                **{
                    name: {
                        metric: interval(values[name][metric], rows)
                        for metric in METRICS
                    }
                    for name in tables
                },
            }
            for slice_name, rows in slices.items()
        },
        "ties": {
            name: float((table.tied > 0).mean())
            for name, table in tables.items()
            if name != "chance"
        },
    }


def print_metrics(evaluation: Evaluation) -> None:
    """Prints the metrics of the model, of its baselines and of the slices."""
    test = evaluation.metrics["test"]
    print(
        f"\nTest split over {evaluation.num_items:,} candidates, known items excluded"
    )
    print(f"  {'':<12}" + "".join(f"{metric:>26}" for metric in METRICS))
    for name, metrics in test.items():
        cells = (
            f"{m['mean']:.4f} [{m['low']:.4f}, {m['high']:.4f}]"
            for m in metrics.values()
        )
        print(f"  {name:<12}" + "".join(f"{cell:>26}" for cell in cells))
    print(f"\n  {'hit_rate_at_100':<16}{'rows':>8}{'model':>9}{'popularity':>12}")
    for name, part in evaluation.metrics["slices"].items():
        if part["rows"]:
            model, popular = (part[n]["hit_rate_at_100"]["mean"] for n in NAMES[:2])
            print(f"  {name:<16}{part['rows']:>8,}{model:>9.4f}{popular:>12.4f}")
    print(f"\n{verdict(evaluation.metrics)}\n")


def verdict(metrics: dict) -> str:
    """Returns a sentence that compares the model with popularity.

    Args:
      metrics: `Evaluation.metrics`.
    """
    gain = metrics["model_minus_popularity"]["ndcg_at_10"]
    interval = f"{gain['mean']:+.4f} NDCG@10, 95% interval [{gain['low']:+.4f}, "
    interval += f"{gain['high']:+.4f}], paired by user"
    cold = metrics["slices"]["cold users"]["rows"]
    share = cold / max(1, cold + metrics["slices"]["warm users"]["rows"])
    if gain["low"] > 0:
        return f"The model beats popularity: {interval}."
    why = (
        f" {share:.0%} of the test rows are of users without a training row: the model "
        "has neither an id nor a history to tell them apart by."
        if share > 0.2
        else ""
    )
    if gain["high"] < 0:
        return f"Popularity beats the model: {interval}.{why}"
    return f"The model is not clearly better than popularity: {interval}.{why}"


def index_recall(
    exact: tm.layers.BruteForce,
    approximate: tm.layers.ScaNN | None,
    model: tm.models.TwoTower,
    data: tm.data.Interactions,
) -> float | None:
    """Computes the share of the exact top 100 that the approximate index finds."""
    if approximate is None:
        return None
    k = min(100, data.num_items)
    queries = model.query_tower(next(iter(data.batches("test", 1024))))
    _, expected = exact(queries, k=k)
    _, found = approximate(queries, k=k)
    hits = tf.reduce_any(expected[:, :, None] == found[:, None, :], axis=2)
    return float(tf.reduce_mean(tf.cast(hits, tf.float32)))


def example_users(
    model: tm.models.TwoTower,
    index: tm.layers.BruteForce,
    data: tm.data.Interactions,
    user_features: dict[str, np.ndarray],
    *,
    seed: int,
    num_users: int = 10,
    k: int = 10,
) -> list[ExampleUser]:
    """Recommends to some users of the test rows, the one with the widest taste first.

    The others are random, the least active first.

    Args:
      model: trained model.
      index: exact index of all items.
      data: interactions.
      user_features: feature -> `[num_users + 1, ...]` values before the test rows.
      seed: seed of the draw of users.
      num_users: number of users to draw.
      k: number of recommendations for each user.
    """
    test, earlier = data.splits["test"], data.known_items("test")
    known = np.unique(test["user_id"][test["user_id"] > 0])
    if not len(known):
        known = np.arange(1, data.num_users + 1)
    rng = np.random.default_rng(seed)
    widest = max(rng.permutation(known), key=lambda user: _breadth(data, user))
    others = known[known != widest]
    others = rng.choice(others, min(num_users - 1, len(others)), replace=False)
    others = others[np.argsort(earlier.row_lengths().numpy()[others])]
    users = np.concatenate([[widest], others])
    features = {name: values[users] for name, values in user_features.items()}
    _, items = index.query_with_exclusions(
        model.query_tower(features),
        tf.gather(earlier, users),
        k=min(k, data.num_items),
    )
    return [
        ExampleUser(
            user_id=str(data.vocabularies["user_id"][user - 1]),
            history=[str(data.titles[item]) for item in newest_items(data, user)],
            recommendations=[
                (str(data.titles[item]), bool(item in held_out))
                for item in row
                if item > 0
            ],
            num_held_out=len(held_out),
        )
        for user, row in zip(users, items.numpy(), strict=True)
        for held_out in [set(test["item_id"][test["user_id"] == user].tolist())]
    ]


def question(data: tm.data.Interactions, widest: ExampleUser) -> dict[str, list[str]]:
    """Returns the users to query the exported model for, and what they had last.

    Args:
      data: interactions that the model is trained on.
      widest: user of a wide taste.

    Returns:
      User id -> titles of all splits, newest first; none for a user who is new.
    """
    ids = data.vocabularies["user_id"]
    (row,) = np.flatnonzero(ids == widest.user_id) + 1
    new = "new"
    while new in ids:
        new += "er"
    last = newest_items(data, row, ("train", "validation", "test"))
    return {widest.user_id: [str(data.titles[item]) for item in last], new: []}


def answered(users: dict[str, list[str]], answer: dict) -> list[ExampleUser]:
    """Joins users with the answers of the exported model.

    Args:
      users: user id -> titles of the newest items, from `question`.
      answer: outputs of the exported model, one row for each user.
    """
    return [
        ExampleUser(
            user_id=user,
            history=history,
            recommendations=[(t.decode(), False) for t in titles if t],
            num_held_out=0,
        )
        for (user, history), titles in zip(users.items(), answer["title"], strict=True)
    ]


def newest_items(
    data: tm.data.Interactions,
    user: int,
    splits: Sequence[str] = ("train", "validation"),
    count: int = 8,
) -> np.ndarray:
    """Returns a user's newest items of some splits, newest first.

    Args:
      data: interactions.
      user: index of the user.
      splits: names of the splits.
      count: largest number of items.
    """
    columns = [data.splits[split] for split in splits]
    items = np.concatenate([c["item_id"][c["user_id"] == user] for c in columns])
    if "timestamp_us" in columns[0]:
        times = np.concatenate(
            [c["timestamp_us"][c["user_id"] == user] for c in columns]
        )
        items = items[np.argsort(times, kind="stable")]
    return items[::-1][:count]


def _breadth(data: tm.data.Interactions, user: int) -> int:
    """Number of distinct categories, or else items, among a user's newest items."""
    items = newest_items(data, user)
    categories = [f.name for f in data.item_features[1:] if f.kind in ("bag", "id")]
    values = data.items[categories[0]] if categories else data.items["item_id"]
    return len(np.unique(values[items][values[items] > 0]))


def write_report(
    target: Path,
    *,
    run: str,
    config: object,
    data: tm.data.Interactions,
    history: dict,
    evaluation: Evaluation,
    model: str,
    users: list[ExampleUser],
    asked: list[ExampleUser],
    recall: float | None,
    monitor: str,
) -> Path:
    """Writes the page of the evaluation."""
    ks = np.unique(np.geomspace(1, evaluation.num_items, 60).astype(int))
    rates = {
        name: [float(table.values(f"hit_rate_at_{k}").mean()) for k in ks]
        for name, table in evaluation.tables.items()
    }
    return render(
        "retrieval.html",
        target,
        run=run,
        config=dataclasses.asdict(config),
        data=data,
        metrics=evaluation.metrics,
        names=NAMES,
        columns=METRICS,
        verdict=verdict(evaluation.metrics),
        curves=learning_curves(history, monitor=monitor) if history else None,
        hit_rates=hit_rate_curves(ks, rates),
        model=model,
        users=users,
        asked=asked,
        recall=recall,
    )
