"""Rows of a split and items that their users never had, with a label for each task."""

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
    """Batches for a ranker of several tasks: what users had beside what they had not.

    Each row of the split is followed by `num_unseen` items that its user never had: in
    train none of the user's train items, in validation and test none of any split, and
    never the row's own. They are drawn with replacement, each in proportion to its
    train rows, so that popularity alone tells nothing; cold items are never drawn. They
    meet the user in the state of the row.

    Args:
      data: with activity, see `with_activity`.
      split: "train", "validation" or "test".
      batch_size: rows of the split in a batch, which has `1 + num_unseen` times as many
        examples; the last one may have fewer.
      tasks: name -> the smallest rating that is a positive, or None where every row of
        the split is a positive and every unseen item a negative. The ratings of unseen
        items are not known: in a task with a rating their label is -1.
      num_unseen: items that are drawn for a row.
      shuffle: whether each epoch has another order and other unseen items. Without, the
        unseen items are the same in every epoch and for every batch size.
      seed: of order and draws; None follows `tf.random.set_seed` in shuffled batches
        and is 0 in others.

    Returns:
      A dataset of known cardinality of dicts: `user_id`, `item_id`, `activity` and
      `group_id` (see `ranking_groups`) `[batch]` int64, `user_features`,
      `item_features` and `cross_features` `[batch, ...]`, and `labels` `[batch,
      num_tasks]` float32: 1, 0 or -1 where not observed. A user who had all that
      training shows gets item 0, not observed in any task.

    Raises:
      ValueError: data without activity; tasks that the data cannot tell or that unseen
        items say nothing of; an unknown split, or numbers out of range.
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
    names = ("user_id", "item_id", "activity", "user_features")
    table = {name: tf.constant(columns[name]) for name in names}
    table |= {"group_id": tf.constant(groups)}
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
    """Whose list each row belongs to: the key of metrics per user.

    Args:
      data: with or without activity.
      split: "train", "validation" or "test".

    Returns:
      `[num_rows]` int64: the user, and for each row of the unknown user, who is many, a
      number of its own above `num_users`.

    Raises:
      ValueError: an unknown split.
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
    """The smallest rating of each task, once it is clear that they can be learned."""
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
    """Train counts of the items, and what each group had: pairs of group and item."""
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
    """Beside the `[batch]` rows uniform numbers `[batch, width]` in [0, 1).

    They are new in every batch and epoch if shuffled, else fixed for each row.
    """
    if shuffle:
        draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
        return tf.data.Dataset.zip(rows, draws).map(
            lambda row, draw: (row, _uniform(tf.shape(row)[0], width, draw))
        )
    table = _uniform(num_rows, width, seed or 0)
    return rows.map(lambda row: (row, tf.gather(table, row)))


def _uniform(num_rows: int | tf.Tensor, width: int, seed: int | tf.Tensor) -> tf.Tensor:
    seed = tf.stack([tf.cast(seed, tf.int64), 1])  # `row_batches` shuffles by 0
    return tf.random.stateless_uniform([num_rows, width], seed, dtype=tf.float64)


def unseen_sampler(
    counts: np.ndarray, group: np.ndarray, item: np.ndarray
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A function that turns uniform numbers into items that a group never had.

    Item `j` is drawn with a chance in proportion to `counts[j]` among the items that
    the group has not had: exactly, by the inverse of the cumulative counts, so that a
    group that had almost everything takes no longer than another.

    Lay the items that a group has not had end to end, each as long as its count. An own
    item `j` stands between them at `C_j - S_j`: the counts of all items before it less
    those of own items before it. A draw steps over the own items that stand at it or
    before it, and then is a place among all items.

    Args:
      counts: `[num_items + 1]` int64, how often each item occurs in training.
      group: `[num_pairs]` non-negative groups, not necessarily all.
      item: `[num_pairs]` an item that the group had; pairs may repeat.

    Returns:
      A function of `[batch]` int64 groups and `[batch, n]` float64 numbers in [0, 1) to
      `[batch, n]` int64 items; 0 where the group had all that training shows.
    """
    counts = counts.astype(np.int64)
    num_items, total = len(counts), int(counts.sum())
    before = np.cumsum(counts) - counts
    group, item = np.divmod(np.unique(group * num_items + item), num_items)
    own = np.concatenate([[0], np.cumsum(counts[item])])
    first = np.searchsorted(group, group)
    place = before[item] - (own[:-1] - own[first])
    # Groups one after the other, `total + 1` apart, are searched as one sorted list.
    places = tf.constant(group * (total + 1) + place)
    own_counts, ends = tf.constant(own), tf.constant(before + counts)
    starts = tf.constant(group)

    def sample(groups: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        groups = groups[:, None]
        begin = tf.gather(own_counts, _search(starts, groups, tf.raw_ops.LowerBound))
        left = total - (tf.gather(own_counts, _search(starts, groups)) - begin)
        draw = tf.floor(uniform * tf.cast(left, uniform.dtype))
        draw = tf.cast(draw, tf.int64)  # [batch, n]
        passed = _search(places, groups * (total + 1) + draw)
        found = _search(ends, draw + tf.gather(own_counts, passed) - begin)
        return tf.where(left > 0, found, 0)

    return sample


def _search(
    ascending: tf.Tensor, values: tf.Tensor, bound: Callable = tf.raw_ops.UpperBound
) -> tf.Tensor:
    """How many numbers are at most each value; with `LowerBound`, below it."""
    # `tf.searchsorted` fails where there is no value at all: no draw for any row.
    found = bound(
        sorted_inputs=ascending[None],
        values=tf.reshape(values, [1, -1]),
        out_type=tf.int64,
    )
    return tf.reshape(found, tf.shape(values))
