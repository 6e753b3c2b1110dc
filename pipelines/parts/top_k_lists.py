"""Top-k lists of a model and of simple recommenders, for the users of a split."""

import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.times import row_times

_SCORES_AT_ONCE = 2**23


def first_rows(data: tm.data.Interactions, split: str = "test") -> np.ndarray:
    """Finds the first row of each known user of a split: one request of each user.

    Args:
      data: interactions.
      split: "validation" or "test".

    Returns:
      `[num_users]` row numbers in the order of the users; all rows where the split has
      unknown users only.
    """
    columns = data.splits[split]
    users = columns["user_id"]
    times = row_times(columns)
    order = np.lexsort((users,) if times is None else (times, users))
    _, first = np.unique(users[order], return_index=True)
    rows = order[first]
    known = rows[users[rows] > 0]
    return known if len(known) else np.arange(len(users))


def model_lists(
    query_tower: tf.keras.layers.Layer,
    index: tm.layers.BruteForce,
    data: tm.data.Interactions,
    rows: np.ndarray,
    *,
    k: int = 10,
    exclude: bool = True,
    split: str = "test",
    batch_size: int = 4096,
) -> np.ndarray:
    """Recommends to the users of some rows by an index, with the rows' features.

    Args:
      query_tower: layer from a batch of features to queries.
      index: index of all items, whose ids are item indices.
      data: interactions with the input of the query tower.
      rows: `[num_lists]` row numbers of the split.
      k: length of a list; at most the number of items.
      exclude: whether the items that a user had before the split are left out.
      split: split of the rows.
      batch_size: number of rows that are read at once.

    Returns:
      `[num_lists, k]` int64 item indices, -1 where there are no more.
    """
    k = min(k, data.num_items)
    position = np.full(len(data.splits[split]["user_id"]), -1)
    position[rows] = np.arange(len(rows))
    lists = np.zeros((len(rows), k), np.int64)
    start = 0
    for batch in data.batches(split, batch_size, known_items=exclude):
        target = position[start : start + len(batch["user_id"])]
        start += len(target)
        inside = np.flatnonzero(target >= 0)
        if not len(inside):
            continue
        features = {name: tf.gather(values, inside) for name, values in batch.items()}
        queries = query_tower(features, training=False)
        if exclude:
            found = index.query_with_exclusions(queries, features["known_items"], k=k)
        else:
            found = index(queries, k=k)
        lists[target[inside]] = found[1].numpy()
    return lists


def baseline_lists(
    baseline: tm.baselines.Baseline,
    data: tm.data.Interactions,
    rows: np.ndarray,
    *,
    k: int = 10,
    exclude: bool = True,
    split: str = "test",
) -> np.ndarray:
    """Recommends to the users of some rows by the scores of a simple recommender.

    Of equal scores the item with more training rows comes first, as its index is lower.

    Args:
      baseline: simple recommender, fitted on the split.
      data: interactions.
      rows: `[num_lists]` row numbers of the split.
      k: length of a list; at most the number of items.
      exclude: whether the items that a user had before the split are left out.
      split: split of the rows.

    Returns:
      `[num_lists, k]` int64 item indices, 0 where there are no more.
    """
    users = data.splits[split]["user_id"]
    times = row_times(data.splits[split])
    return score_lists(
        lambda some: baseline.score(
            users[some], None if times is None else times[some]
        ),
        data,
        rows,
        k=k,
        exclude=exclude,
        split=split,
    )


def score_lists(
    score: Callable[[np.ndarray], np.ndarray],
    data: tm.data.Interactions,
    rows: np.ndarray,
    *,
    k: int = 10,
    exclude: bool = True,
    split: str = "test",
) -> np.ndarray:
    """Recommends to the users of some rows by scores of all items.

    Of equal scores the item with more training rows comes first, as its index is lower.

    Args:
      score: function from row numbers to `[n, num_items]` scores, which is called with
        rows in the order of their times.
      data: interactions.
      rows: `[num_lists]` row numbers of the split.
      k: length of a list; at most the number of items.
      exclude: whether the items that a user had before the split are left out.
      split: split of the rows.

    Returns:
      `[num_lists, k]` int64 item indices, 0 where there are no more.
    """
    k = min(k, data.num_items)
    times = row_times(data.splits[split])
    order = np.arange(len(rows))
    if times is not None:
        order = np.argsort(times[rows], kind="stable")
    known = data.known_items(split)
    lists = np.zeros((len(rows), k), np.int64)
    step = max(1, _SCORES_AT_ONCE // data.num_items)
    for start in range(0, len(rows), step):
        block = order[start : start + step]
        scores = score(rows[block])
        scores = np.where(np.isnan(scores), -np.inf, scores).astype("float32")
        if exclude:
            had = tf.gather(known, data.splits[split]["user_id"][rows[block]])
            scores[had.value_rowids().numpy(), had.values.numpy() - 1] = -np.inf
        best, columns = tf.math.top_k(scores, k)
        lists[block] = np.where(np.isneginf(best), 0, columns + 1)
    return lists


def user_groups(
    data: tm.data.Interactions, column: str, split: str = "test"
) -> np.ndarray:
    """Returns the group of each row's user by a column of the user table.

    Args:
      data: interactions with features of the users.
      column: category, or number, which is cut at its quartiles over the users.
      split: split of the rows.

    Returns:
      `[num_rows]` names of groups; "unknown" for unknown users and values.

    Raises:
      SystemExit: the column is no category or number of the user table.
    """
    declared = {
        feature.name: feature
        for feature in data.user_features
        if feature.name != "user_id" and feature.kind in ("id", "number")
    }
    if column not in declared:
        raise SystemExit(
            f"`--group-column` must be one of {sorted(declared)}, the columns of "
            f"--user-category-columns and --user-number-columns. Got {column!r}."
        )
    users, values = data.splits[split]["user_id"], data.users[column]
    if declared[column].kind == "id":
        return np.array(["unknown", *data.vocabularies[column].astype(str)])[
            values[users]
        ]
    edges = np.unique(np.quantile(values[1:], [0, 0.25, 0.5, 0.75, 1]))
    bins = list(itertools.pairwise(edges)) or [(edges[0], edges[0])]
    names = np.array([f"{column} {low:g} to {high:g}" for low, high in bins])
    part = np.clip(np.searchsorted(edges, values, "right") - 1, 0, len(bins) - 1)
    return np.where(users > 0, names[part[users]], "unknown")
