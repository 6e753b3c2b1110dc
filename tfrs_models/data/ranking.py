"""Batches for a ranker: rows of a split beside unseen items, a label for each task."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from tfrs_models.data.activity import activity_layout
from tfrs_models.data.batching import row_batches
from tfrs_models.data.interactions import Interactions

RANKING_TASKS = MappingProxyType({"rated": None, "like": 4.0, "love": 5.0})
"""Task -> the rating from which on a row is a positive; None: every row is one."""

NOT_OBSERVED = -1.0


def ranking_batches(
    data: Interactions,
    split: str,
    batch_size: int,
    *,
    tasks: Mapping[str, float | None] = RANKING_TASKS,
    num_unseen: int = 1,
    shuffle: bool = False,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Makes batches for a ranker of several tasks: items of users beside unseen ones.

    Each row of the split is followed by `num_unseen` items that its user never had: in
    train none of the user's train items, in validation and test none of the user's
    items of any split, and never the row's item. They are drawn with replacement, with
    probabilities in proportion to their train rows, so that popularity alone cannot
    tell positives from negatives. Cold items are never drawn. An unseen item is joined
    with the user features of the row.

    Args:
      data: interactions with activity, see `with_activity`.
      split: "train", "validation" or "test".
      batch_size: number of rows of the split in a batch, which has `1 + num_unseen`
        times as many examples; the last batch may have fewer.
      tasks: name -> smallest rating of a positive; or None if every row of the split is
        a positive and every unseen item a negative. Ratings of unseen items are not
        known, so their label is -1 in tasks with a rating.
      num_unseen: number of unseen items drawn for a row.
      shuffle: whether each epoch has another order and other unseen items. Otherwise
        the unseen items are the same in every epoch and for every batch size.
      seed: seed of the order and the draws. None follows `tf.random.set_seed` in
        shuffled batches, and is 0 in others.

    Returns:
      A dataset of known cardinality of dicts: `user_id`, `item_id`, `activity` and
      `group_id` (see `ranking_groups`) `[batch]` int64, `user_features`,
      `item_features` and `cross_features` `[batch, ...]`, and `labels` `[batch,
      num_tasks]` float32: 1, 0, or -1 if not observed. For a user who has all train
      items, the unseen item is 0 and not observed in any task.

    Raises:
      ValueError: the data have no activity, or cannot give labels for the tasks; unseen
        items have no label in any task; the split is unknown, or a number is out of
        range.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aabbcc"), "item_id": list("pqprqr")})
      >>> frame = frame.assign(timestamp=range(6))
      >>> data = tm.data.with_activity(tm.data.from_frame(frame))
      >>> batches = tm.data.ranking_batches(data, "train", 3, tasks={"click": None})
      >>> next(iter(batches))["labels"].numpy().ravel()  # a row, its unseen item, ...
      array([1., 0., 1., 0., 1., 0.], dtype=float32)
    """
    columns = _columns(data, split)
    if "user_features" not in columns or "item_features" not in data.items:
        raise ValueError(
            f"`data` must have activity. Got {list(columns)}: call `with_activity`."
        )
    thresholds = _thresholds(columns, tasks, num_unseen)
    groups = ranking_groups(data, split)
    unseen = unseen_sampler(*_had(data, split, groups))
    layout = activity_layout(data)
    names = ("item_id", "activity", "user_features")
    table = {name: tf.constant(columns[name]) for name in names}
    known = data.users["user_id"][columns["user_id"]]
    table |= {"user_id": tf.constant(known), "group_id": tf.constant(groups)}
    labels = tf.constant(_row_labels(columns, thresholds))
    items = tf.constant(data.items["item_features"])
    unseen_labels = tf.constant(
        [NOT_OBSERVED if threshold is not None else 0.0 for threshold in thresholds]
    )

    def join(row: tf.Tensor, uniform: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = {
            name: tf.repeat(tf.gather(column, row), 1 + num_unseen, axis=0)
            for name, column in table.items()
        }
        drawn = unseen(tf.gather(table["group_id"], row), uniform)
        own = tf.gather(table["item_id"], row)[:, None]
        batch["item_id"] = tf.reshape(tf.concat([own, drawn], axis=1), [-1])
        drawn_labels = tf.where(drawn[..., None] > 0, unseen_labels, NOT_OBSERVED)
        own_labels = tf.gather(labels, row)[:, None]  # [rows, 1, num_tasks]
        both = tf.concat([own_labels, drawn_labels], axis=1)
        batch["labels"] = tf.reshape(both, [-1, len(thresholds)])
        batch["item_features"] = tf.gather(items, batch["item_id"])
        batch["cross_features"] = layout.cross_features(
            batch["user_features"], batch["item_features"]
        )
        return batch

    rows = row_batches(len(groups), batch_size, shuffle=shuffle, seed=seed)
    drawn = _with_uniform(rows, len(groups), num_unseen, shuffle=shuffle, seed=seed)
    return drawn.map(join, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def ranking_groups(data: Interactions, split: str) -> np.ndarray:
    """Returns the group of each row, by which a metric is averaged per user.

    Args:
      data: interactions, with or without activity.
      split: "train", "validation" or "test".

    Returns:
      `[num_rows]` int64 group of each row: the user, or for a row of the unknown user,
      which stands for many users, a unique number above `num_users`.

    Raises:
      ValueError: the split is unknown.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrqp")})
      >>> frame = frame.assign(timestamp=range(5))
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> tm.data.ranking_groups(data, "train")
      array([1, 2, 2])
    """
    user = _columns(data, split)["user_id"]
    return np.where(user > 0, user, data.num_users + 1 + np.arange(len(user)))


def _columns(data: Interactions, split: str) -> Mapping[str, np.ndarray]:
    if split not in data.splits:
        raise ValueError(f"`split` must be one of {tuple(data.splits)}. Got {split!r}.")
    return data.splits[split]


def _thresholds(
    columns: Mapping[str, np.ndarray],
    tasks: Mapping[str, float | None],
    num_unseen: int,
) -> list[float | None]:
    """Returns the smallest rating of each task after a check that labels exist."""
    if not tasks:
        raise ValueError("`tasks` must have at least one task. Got none.")
    if num_unseen < 0:
        raise ValueError(f"`num_unseen` must not be negative. Got {num_unseen}.")
    rated = [name for name, threshold in tasks.items() if threshold is not None]
    if rated and "rating" not in columns:
        raise ValueError(
            f"`tasks` must all be None in data without ratings. Got {rated[0]!r} from "
            f"{tasks[rated[0]]:g} on."
        )
    if num_unseen and len(rated) == len(tasks):
        raise ValueError(
            "`num_unseen` must be 0 where no task is None: nobody knows how an unseen "
            f"item would be rated. Got {num_unseen} and the tasks {rated}."
        )
    return list(tasks.values())


def _row_labels(
    columns: Mapping[str, np.ndarray], thresholds: list[float | None]
) -> np.ndarray:
    """`[num_rows, num_tasks]` float32 labels of the rows of the split."""
    every = np.ones(len(columns["item_id"]), bool)
    labels = [
        every if threshold is None else columns["rating"] >= threshold
        for threshold in thresholds
    ]
    return np.stack(labels, axis=1).astype(np.float32)


def _had(
    data: Interactions, split: str, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train counts of the items, and the pairs of a group and an item it had."""
    known = data.known_items("validation" if split == "train" else "serving")
    item = np.concatenate([known.values, data.splits[split]["item_id"]])
    group = np.concatenate([known.value_rowids(), groups])
    counts = np.bincount(data.splits["train"]["item_id"], minlength=data.num_items + 1)
    return counts, group, item


def _with_uniform(
    rows: tf.data.Dataset,
    num_rows: int,
    width: int,
    *,
    shuffle: bool,
    seed: int | None,
) -> tf.data.Dataset:
    """Joins `[batch]` rows with uniform numbers `[batch, width]` in [0, 1).

    If shuffled, they are new in every batch and epoch; otherwise each row has fixed
    ones.
    """
    if shuffle:
        draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
        return tf.data.Dataset.zip(rows, draws).map(
            lambda row, draw: (row, _uniform(tf.shape(row)[0], width, draw))
        )
    table = _uniform(num_rows, width, seed or 0)
    return rows.map(lambda row: (row, tf.gather(table, row)))


def _uniform(num_rows: int | tf.Tensor, width: int, seed: int | tf.Tensor) -> tf.Tensor:
    # The second number differs from the 0 in the shuffle of `row_batches`.
    seed = tf.stack([tf.cast(seed, tf.int64), 1])
    return tf.random.stateless_uniform([num_rows, width], seed, dtype=tf.float64)


def unseen_sampler(
    counts: np.ndarray, group: np.ndarray, item: np.ndarray
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Makes a function that turns uniform numbers into items that a group never had.

    Item `j` is drawn with a probability in proportion to `counts[j]` among the items
    that the group never had. The draw inverts the cumulative counts exactly, so a group
    that had almost everything takes no longer than another.

    Lay the items that a group never had end to end, each as long as its count. The
    position at which a known item `j` is left out is `C_j - S_j`: the counts of all
    items before it minus those of known items before it. A draw adds the counts of all
    known items left out at or before its position, which gives a position among all
    items.

    Args:
      counts: `[num_items + 1]` int64 number of train rows of each item.
      group: `[num_pairs]` non-negative groups; a group may be missing.
      item: `[num_pairs]` items that the groups had; pairs may repeat.

    Returns:
      A function of `[batch]` int64 groups and `[batch, n]` float64 numbers in [0, 1) to
      `[batch, n]` int64 items; 0 if the group had all train items.
    """
    counts = counts.astype(np.int64)
    num_items, total = len(counts), int(counts.sum())
    before = np.cumsum(counts) - counts
    group, item = np.divmod(np.unique(group * num_items + item), num_items)
    own = np.concatenate([[0], np.cumsum(counts[item])])
    first = np.searchsorted(group, group)
    position = before[item] - (own[:-1] - own[first])
    # Offsets of `total + 1` between groups make one sorted list of all groups.
    positions = tf.constant(group * (total + 1) + position)
    own_counts, ends = tf.constant(own), tf.constant(before + counts)
    starts = tf.constant(group)

    def sample(groups: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        groups = groups[:, None]
        begin = tf.gather(own_counts, _search(starts, groups, tf.raw_ops.LowerBound))
        left = total - (tf.gather(own_counts, _search(starts, groups)) - begin)
        draw = tf.floor(uniform * tf.cast(left, uniform.dtype))
        draw = tf.cast(draw, tf.int64)  # [batch, n]
        passed = _search(positions, groups * (total + 1) + draw)
        found = _search(ends, draw + tf.gather(own_counts, passed) - begin)
        return tf.where(left > 0, found, 0)

    return sample


def _search(
    ascending: tf.Tensor, values: tf.Tensor, bound: Callable = tf.raw_ops.UpperBound
) -> tf.Tensor:
    """Counts the numbers at most each value; with `LowerBound`, those below it."""
    # `tf.searchsorted` fails for empty values, which `num_unseen=0` gives.
    found = bound(
        sorted_inputs=ascending[None],
        values=tf.reshape(values, [1, -1]),
        out_type=tf.int64,
    )
    return tf.reshape(found, tf.shape(values))
