"""Histories of users for a query tower, without a look into the future.

A history is a row of item indices in the order of time, padded with 0 on the right, so
the newest item is the last one other than 0. A history that is too long loses its
oldest items. Rows with equal times have the order that `from_frame` draws.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.data.batching import row_batches
from tfrs_models.data.interactions import (
    EARLIER,
    Interactions,
    sample_weights,
    timeline,
)
from tfrs_models.data.probabilities import sampling_probability_lookup
from tfrs_models.data.splits import SPLIT_NAMES
from tfrs_models.data.times import END_SECOND


class Windows(NamedTuple):
    """Pieces of the users' training sequences.

    Attributes:
      user_id: `[num_windows]` int64 users.
      history: `[num_windows, length]` int64 items, 0 after the last item.
      history_timestamp: `[num_windows, length]` int64 seconds, the times of these
        items; 0 after the last item.
      item_id: `[num_windows, length]` int64, the user's next item; 0 if there is none
        or if it is a target of another window.
      timestamp: `[num_windows, length]` int64 seconds, the time of each target, which
        is the time of its request; 0 where `item_id` is 0.
      history_event: `[num_windows, length]` int64 kinds of the events of `history`, 0
        after the last item; None if the data have none.
      history_weight: `[num_windows, length]` float32 weights of the events of
        `history`; None if the data have none.
      weight: `[num_windows, length]` float32 weight of each target, 0 where `item_id`
        is 0; None if the data have none.
    """

    user_id: np.ndarray
    history: np.ndarray
    history_timestamp: np.ndarray
    item_id: np.ndarray
    timestamp: np.ndarray
    history_event: np.ndarray | None = None
    history_weight: np.ndarray | None = None
    weight: np.ndarray | None = None


def history_columns(data: Interactions) -> dict[str, str]:
    """Names the features of a history, and the columns of the splits they come from.

    Args:
      data: interactions with timestamps.

    Returns:
      `history` and `history_timestamp`; `history_event` and `history_weight` if the
      data have events and weights.
    """
    names = {"history": "item_id", "history_timestamp": "timestamp"}
    more = {"history_event": "event", "history_weight": "weight"}
    train = data.splits["train"]
    return names | {name: column for name, column in more.items() if column in train}


def histories(
    data: Interactions, split: str, length: int, *, column: str = "item_id"
) -> np.ndarray:
    """Returns, for each row of a split, the user's earlier items, whatever their split.

    Args:
      data: interactions with timestamps.
      split: "train", "validation" or "test".
      length: maximal number of items in a history.
      column: column of the earlier rows; "timestamp" gives the times of the items,
        "event" their kinds and "weight" their weights.

    Returns:
      `[num_rows, length]` values of the dtype of the column. The unknown user, which
      stands for many users, has an empty history.

    Raises:
      ValueError: the data have no timestamps, the split is unknown, or the length is
        below 1.
    """
    _check(data, length, split, SPLIT_NAMES)
    columns, part, order = timeline(data, SPLIT_NAMES, ("user_id", column))
    user, values = columns["user_id"], columns[column]
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    rows = position[part == SPLIT_NAMES.index(split)]  # in the order of the split
    starts = np.searchsorted(user[order], user[order][rows])
    starts = np.where(user[order][rows] > 0, starts, rows)
    return _cut(values[order], starts, rows, length)


def history_table(
    data: Interactions, split: str, length: int, *, column: str = "item_id"
) -> np.ndarray:
    """Returns the newest items of each user before a split, a feature to serve with.

    Args:
      data: interactions with timestamps.
      split: "train", "validation", "test" or "serving", which is after all rows.
      length: maximal number of items in a history.
      column: column of the rows; "timestamp" gives the times of the items, "event"
        their kinds and "weight" their weights.

    Returns:
      `[num_users + 1, length]` values of the dtype of the column; row 0, the unknown
      user, is empty.

    Raises:
      ValueError: the data have no timestamps, the split is unknown, or the length is
        below 1.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrqp")})
      >>> frame = frame.assign(timestamp=range(5))
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> table = tm.data.history_table(data, "serving", length=4)
      >>> data.titles[table[1]]  # user a: items p, q and r, oldest first
      array(['item p', 'item q', 'item r', 'unknown'], dtype='<U7')
    """
    _check(data, length, split, tuple(EARLIER))
    columns, _, order = timeline(data, EARLIER[split], ("user_id", column))
    user, values = columns["user_id"], columns[column]
    edges = np.searchsorted(user[order], np.arange(data.num_users + 2))
    edges[0] = edges[1]  # row 0 stands for all unknown users
    return _cut(values[order], edges[:-1], edges[1:], length)


def with_histories(data: Interactions, length: int) -> Interactions:
    """Adds each user's history, with its times, to the validation and test rows.

    Args:
      data: interactions with timestamps.
      length: maximal number of items in a history.

    Returns:
      The same data. Their `batches` of validation and test also have `history` and
      `history_timestamp` `[batch, length]`, and `history_event` and `history_weight` if
      the data have events and weights.

    Raises:
      ValueError: the data have no timestamps, or the length is below 1.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrqp")})
      >>> frame = frame.assign(timestamp=range(5))
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> data = tm.data.with_histories(data, length=3)
      >>> next(iter(data.batches("test", 1)))["history_timestamp"].numpy()
      array([[0, 1, 0]])
    """
    added = {
        split: data.splits[split]
        | {
            name: histories(data, split, length, column=column)
            for name, column in history_columns(data).items()
        }
        for split in ("validation", "test")
    }
    return dataclasses.replace(data, splits=data.splits | added)


def training_windows(
    data: Interactions,
    length: int,
    *,
    stride: int | None = None,
    first_items: bool = False,
) -> Windows:
    """Cuts each user's training rows into windows; all items but the first are targets.

    The newest window of a user ends with the newest item as its target; each earlier
    window ends `stride` targets before. Where windows overlap, the later one has the
    shared items as history only, so no target counts twice. Only targets among a user's
    first `length` have fewer than `length - stride` items before them.

    Args:
      data: interactions with timestamps.
      length: number of items in a window.
      stride: number of targets in a window; None stands for `length`, windows without
        overlap.
      first_items: True to make the first item of each user a target too, after a
        history of padding alone: what a visitor without a history wants.

    Returns:
      The windows, ordered by user.

    Raises:
      ValueError: the data have no timestamps, the length is below 1, or the stride is
        not in [1, `length`].
    """
    _check(data, length, "train", SPLIT_NAMES)
    stride = length if stride is None else stride
    if not 1 <= stride <= length:
        raise ValueError(f"`stride` must be from 1 to `length`. Got {stride}.")
    of_history = history_columns(data)
    names = ("user_id", *of_history.values())
    columns, _, order = timeline(data, ("train",), names)
    columns = {name: values[order] for name, values in columns.items()}
    user = columns["user_id"]
    if first_items:
        before = np.searchsorted(user, np.unique(user[user > 0]))
        columns = {name: np.insert(v, before, 0) for name, v in columns.items()}
        columns["user_id"] = user = np.insert(user, before, user[before])
    edges = np.searchsorted(user, np.arange(data.num_users + 2))
    owners, starts, firsts, ends = [], [], [], []
    for owner in range(1, data.num_users + 1):
        # The newest item is a target only, never an input.
        first, end = edges[owner], edges[owner + 1] - 1
        while end > first:
            start = max(first, end - length)
            # All inputs of the user's oldest window have targets in it.
            target = start if start == first else max(start, end - stride)
            owners.append(owner), starts.append(start)
            firsts.append(target), ends.append(end)
            end = target
    starts, firsts, ends = (np.array(x, np.int64) for x in (starts, firsts, ends))
    is_context = np.arange(length) < (firsts - starts)[:, None]

    def of_targets(values: np.ndarray) -> np.ndarray:
        following = np.append(values[1:], values.dtype.type(0))
        return np.where(is_context, 0, _cut(following, starts, ends, length))

    targets = {"item_id", "timestamp", "weight"} & columns.keys()
    return Windows(
        user_id=np.array(owners, np.int64),
        **{
            name: _cut(columns[column], starts, ends, length)
            for name, column in of_history.items()
        },
        **{name: of_targets(columns[name]) for name in targets},
    )


def window_batches(
    data: Interactions,
    batch_size: int,
    *,
    length: int,
    stride: int | None = None,
    first_items: bool = False,
    seed: int | None = None,
    sample_weight: bool = False,
    rows: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Makes shuffled batches of training windows, with a target at every position.

    Args:
      data: interactions with timestamps.
      batch_size: number of windows in a batch; the last batch may have fewer.
      length: number of items in a window.
      stride: number of targets in a window, from 1 to `length`; None stands for
        `length`, windows without overlap.
      first_items: True to make the first item of each user a target too, after a
        history of padding alone.
      seed: seed of the order; None follows `tf.random.set_seed`.
      sample_weight: whether batches have `sample_weight` `[batch, length]`, the weight
        of each target divided by the mean weight of the train rows.
      rows: `[n]` numbers of the windows, in the order of `training_windows`, that the
        batches have; None for all.

    Returns:
      A dataset of dicts: `history`, `history_timestamp`, `item_id` (the targets),
      `timestamp` (the time of each target), `candidate_sampling_probability` and, if
      the data have them, `history_event` and `history_weight` `[batch, length]`,
      `user_id` and the other user features `[batch, ...]`, and `known_items` `[batch,
      None]`: all train items of the user, which therefore do not count as negatives.

    Raises:
      ValueError: the length or the stride is out of range, the data have no timestamps
        or, with `sample_weight`, no weights, or no user has two train rows.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaaaa"), "item_id": list("pqrst")})
      >>> frame = frame.assign(timestamp=range(5))
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> batch = next(iter(tm.data.window_batches(data, 1, length=3)))
      >>> batch["history"].numpy(), batch["item_id"].numpy()  # predict q, r from p, q
      (array([[1, 2, 0]]), array([[2, 3, 0]]))
    """
    windows = training_windows(data, length, stride=stride, first_items=first_items)
    if not len(windows.user_id):
        raise ValueError(
            "`data` must have a user with two train rows: the later is predicted from "
            "the earlier. Got none."
        )
    arrays = windows._asdict()
    if rows is not None:
        arrays = {k: None if v is None else v[rows] for k, v in arrays.items()}
    weights = arrays.pop("weight")
    if sample_weight:
        arrays["sample_weight"] = sample_weights(data, weights)
    columns = {k: tf.constant(v) for k, v in arrays.items() if v is not None}
    users = {name: tf.constant(column) for name, column in data.users.items()}
    known = data.known_items("validation")
    add_probability = sampling_probability_lookup(data.candidate_probabilities)

    def join(row: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = {name: tf.gather(column, row) for name, column in columns.items()}
        user = batch["user_id"]
        of_user = {name: tf.gather(column, user) for name, column in users.items()}
        batch = {**of_user, **batch, "known_items": tf.gather(known, user)}
        return add_probability(batch)

    numbers = row_batches(len(arrays["user_id"]), batch_size, shuffle=True, seed=seed)
    return numbers.map(join, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _check(
    data: Interactions, length: int, split: str, allowed: tuple[str, ...]
) -> None:
    for name, rows in data.splits.items():
        latest = int(rows.get("timestamp", np.zeros(0, np.int64)).max(initial=0))
        if latest >= END_SECOND:
            raise ValueError(
                "`timestamp` of `data` must be in seconds since 1970, before the year "
                f"2100. Got {latest} in {name}: is it in milliseconds? `from_frame` "
                'reads them with `timestamp_unit="ms"`.'
            )
    if length < 1:
        raise ValueError(f"`length` must be at least 1. Got {length}.")
    if split not in allowed:
        raise ValueError(f"`split` must be one of {allowed}. Got {split!r}.")


def _cut(
    items: np.ndarray, starts: np.ndarray, ends: np.ndarray, length: int
) -> np.ndarray:
    """`[num_rows, length]`: the last `length` of `items[start:end]` for each row."""
    starts = np.maximum(starts, ends - length)
    index = starts[:, None] + np.arange(length)
    inside = index < ends[:, None]
    padded = np.append(items, items.dtype.type(0))
    return np.where(inside, padded[np.where(inside, index, -1)], padded[-1])
