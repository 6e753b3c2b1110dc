"""Metrics and report of the retrieval pipeline."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.times import row_times

from ..parts.trials import Study, in_words
from .beyond_accuracy import BeyondAccuracy
from .evaluation import (
    CHANCE,
    METRICS,
    MODEL,
    POPULARITY,
    VERDICT,
    Evaluation,
    title,
)
from .folds import fold_table
from .page import render
from .plots import hit_rate_curves, learning_curves
from .served import with_train_rows
from .tables import print_table

SHORT = {
    "ndcg_at_10": "NDCG@10",
    "hit_rate_at_10": "hit rate at 10",
    "hit_rate_at_100": "hit rate at 100",
    "mrr": "MRR",
}


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


def print_metrics(evaluation: Evaluation) -> None:
    """Prints the metrics of all recommenders and those of the slices."""
    hidden, excluded = (evaluation.metrics[k] for k in ("hidden_rows", "excluded"))
    print(
        f"\n{len(evaluation.rows):,} test rows over {evaluation.num_items:,} "
        f"candidates, {excluded} excluded"
        + (f" ({hidden:,} rows of excluded items left out)" if hidden else "")
    )
    print_table(*comparison_table(evaluation))
    print("\nSlices of the test rows, NDCG@10")
    print_table(*slice_table(evaluation))


def print_folds(evaluations: Sequence[Evaluation]) -> None:
    """Prints a table of the metrics of all folds, the oldest first."""
    print("\nNDCG@10 of the test rows of each fold")
    print_table(*fold_table(evaluations))


def comparison_table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Header and rows of all recommenders, the best on the test rows first."""
    test = evaluation.metrics["test"]
    names = sorted(test, key=lambda name: -test[name][VERDICT]["mean"])
    rows = []
    for name in names:
        first, *others = (test[name][metric] for metric in SHORT)
        interval = f"{first['mean']:.4f} [{first['low']:.4f}, {first['high']:.4f}]"
        rows.append(
            [
                title(name),
                interval,
                *(f"{metric['mean']:.4f}" for metric in others),
            ]
        )
    return ["", "NDCG@10 [95% over users]", *list(SHORT.values())[1:]], rows


def slice_table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the slices of some rows: the model beside the best."""
    rows = []
    for name, part in evaluation.metrics["slices"].items():
        if part["rows"] in (0, len(evaluation.rows)):
            continue  # nothing, or all
        gain = part["model_minus_best"][VERDICT]
        rows.append(
            [
                name,
                f"{part['rows']:,}",
                *(
                    f"{part[one][VERDICT]['mean']:.4f}"
                    for one in (MODEL, evaluation.best)
                ),
                f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]",
            ]
        )
    header = ["", "rows", "model", title(evaluation.best), "difference"]
    return header, rows


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
    known = np.unique(test["user_id"][with_train_rows(data, "test")])
    if not len(known):
        known = np.arange(1, data.num_train_users + 1)
    rng = np.random.default_rng(seed)
    widest = max(rng.permutation(known), key=lambda user: _breadth(data, user))
    others = known[known != widest]
    others = rng.choice(others, min(num_users - 1, len(others)), replace=False)
    others = others[np.argsort(earlier.row_lengths().numpy()[others])]
    users = np.concatenate([[widest], others])
    features = {name: values[users] for name, values in user_features.items()}
    _, items = index.query_with_exclusions(
        model.query_tower(features),
        tf.gather(data.exclusions("test"), users),
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
    own = [
        {name: values[c["user_id"] == user] for name, values in c.items()}
        for c in columns
    ]
    items = np.concatenate([c["item_id"] for c in own])
    if row_times(own[0]) is not None:
        keys = [np.concatenate([row_times(c) for c in own])]
        if "tie_order" in own[0]:
            keys.insert(0, np.concatenate([c["tie_order"] for c in own]))
        items = items[np.lexsort(keys)]
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
    evaluations: Sequence[Evaluation],
    said: str,
    beyond: BeyondAccuracy,
    groups: dict | None,
    model: str,
    users: list[ExampleUser],
    asked: list[ExampleUser],
    recall: float | None,
    monitor: str,
    study: Study | None = None,
) -> Path:
    """Writes the page of the evaluation, the newest of `evaluations`."""
    evaluation = evaluations[-1]
    ks = np.unique(np.geomspace(1, evaluation.num_items, 60).astype(int))
    shown = dict.fromkeys([MODEL, evaluation.best, POPULARITY, CHANCE])
    rates = {
        title(name): [
            float(evaluation.tables[name].values(f"hit_rate_at_{k}").mean()) for k in ks
        ]
        for name in shown
    }
    return render(
        "retrieval.html",
        target,
        run=run,
        config=dataclasses.asdict(config),
        data=data,
        evaluation=evaluation,
        title=title,
        metrics=evaluation.metrics,
        columns={metric: SHORT[metric] for metric in METRICS},
        verdict=said,
        beyond=beyond,
        groups=groups,
        group_column=config.group_column,
        group_metric="hit rate at 10",
        slices=slice_table(evaluation),
        folds=fold_table(evaluations) if len(evaluations) > 1 else None,
        curves=learning_curves(history, monitor=monitor) if history else None,
        hit_rates=hit_rate_curves(ks, rates),
        model=model,
        users=users,
        asked=asked,
        recall=recall,
        study=study,
        in_words=in_words,
    )
