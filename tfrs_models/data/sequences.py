"""What a user had before: histories for a query tower, without a look into the future.

A history is a row of item indices in the order of time, padded with 0 on the right, so
that a row's last item other than 0 is the newest. Where there are more items than
places, the newest stay. Equal times keep the order of the table.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.data.batching import row_batches
from tfrs_models.data.interactions import EARLIER, Interactions, timeline
from tfrs_models.data.probabilities import sampling_probability_lookup
from tfrs_models.data.splits import SPLIT_NAMES


class Windows(NamedTuple):
    """Pieces of the users' training sequences.

    Attributes:
      user_id: `[num_windows]` int64.
      history: `[num_windows, length]` int64 items, 0 beyond the last.
      history_timestamp: `[num_windows, length]` int64 seconds, when they were had; 0
        beyond the last.
      item_id: `[num_windows, length]` int64, the item that came right after; 0 where
        there is none or where another window has it as its target.
    """

    user_id: np.ndarray
    history: np.ndarray
    history_timestamp: np.ndarray
    item_id: np.ndarray


def histories(
    data: Interactions, split: str, length: int, *, column: str = "item_id"
) -> np.ndarray:
    """For each row of a split the user's items before it, whatever their split.

    Args:
      data: with timestamps.
      split: "train", "validation" or "test".
      length: how many items at most.
      column: of the rows before; "timestamp" says when the user had the items.

    Returns:
      `[num_rows, length]` int64; empty for the unknown user, who is many.

    Raises:
      ValueError: no timestamps, an unknown split or a length below 1.
    """
    _check(length, split, SPLIT_NAMES)
    columns, place, order = timeline(data, SPLIT_NAMES, ("user_id", column))
    user, values = columns["user_id"], columns[column]
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    rows = rank[place == SPLIT_NAMES.index(split)]  # in the order of the split
    starts = np.searchsorted(user[order], user[order][rows])
    starts = np.where(user[order][rows] > 0, starts, rows)
    return _cut(values[order], starts, rows, length)


def history_table(
    data: Interactions, split: str, length: int, *, column: str = "item_id"
) -> np.ndarray:
    """The newest items that each user has *before* a split: a feature to serve with.

    Args:
      data: with timestamps.
      split: as in `Interactions.known_items`; "serving" is after all rows.
      length: how many items at most.
      column: as in `histories`.

    Returns:
      `[num_users + 1, length]` int64; row 0, the unknown user, is empty.

    Raises:
      ValueError: no timestamps, an unknown split or a length below 1.
    """
    _check(length, split, tuple(EARLIER))
    columns, _, order = timeline(data, EARLIER[split], ("user_id", column))
    user, values = columns["user_id"], columns[column]
    edges = np.searchsorted(user[order], np.arange(data.num_users + 2))
    edges[0] = edges[1]  # user 0 is many
    return _cut(values[order], edges[:-1], edges[1:], length)


def with_histories(data: Interactions, length: int) -> Interactions:
    """The same data whose validation and test rows have a history and its times.

    Args:
      data: with timestamps.
      length: how many items at most.

    Returns:
      Data whose `batches` of validation and test yield `history` and
      `history_timestamp` `[batch, length]`.

    Raises:
      ValueError: no timestamps or a length below 1.
    """
    added = {
        split: data.splits[split]
        | {
            "history": histories(data, split, length),
            "history_timestamp": histories(data, split, length, column="timestamp"),
        }
        for split in ("validation", "test")
    }
    return dataclasses.replace(data, splits=data.splits | added)


def training_windows(
    data: Interactions, length: int, *, stride: int | None = None
) -> Windows:
    """Cuts each user's training rows into windows, every item but the first a target.

    The newest window of a user ends with the newest item as its target; the others end
    `stride` targets earlier each. Where windows overlap, the later one has the shared
    items as history only: no target counts twice, and none but a user's first
    `length` has fewer than `length - stride` items before it.

    Args:
      data: with timestamps.
      length: items of a window.
      stride: targets of a window; `length` where None: windows do not overlap.

    Returns:
      The windows, ordered by user.

    Raises:
      ValueError: no timestamps, a length below 1, or a stride that is not in [1,
        `length`].
    """
    _check(length, "train", SPLIT_NAMES)
    stride = length if stride is None else stride
    if not 1 <= stride <= length:
        raise ValueError(f"`stride` must be from 1 to `length`. Got {stride}.")
    names = ("user_id", "item_id", "timestamp")
    columns, _, order = timeline(data, ("train",), names)
    user, item, time = (columns[name][order] for name in names)
    edges = np.searchsorted(user, np.arange(data.num_users + 2))
    owners, starts, firsts, ends = [], [], [], []
    for owner in range(1, data.num_users + 1):
        first, end = edges[owner], edges[owner + 1] - 1  # inputs: all but the newest
        while end > first:
            start = max(first, end - length)
            # The user's oldest window takes all that is left.
            target = start if start == first else max(start, end - stride)
            owners.append(owner), starts.append(start)
            firsts.append(target), ends.append(end)
            end = target
    starts, firsts, ends = (np.array(x, np.int64) for x in (starts, firsts, ends))
    targets = _cut(np.append(item[1:], 0), starts, ends, length)
    is_context = np.arange(length) < (firsts - starts)[:, None]
    return Windows(
        user_id=np.array(owners, np.int64),
        history=_cut(item, starts, ends, length),
        history_timestamp=_cut(time, starts, ends, length),
        item_id=np.where(is_context, 0, targets),
    )


def window_batches(
    data: Interactions,
    batch_size: int,
    *,
    length: int,
    stride: int | None = None,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Shuffled batches of training windows, for a model that learns at all positions.

    Args:
      data: with timestamps.
      batch_size: windows of a batch; the last one may have fewer.
      length: items of a window.
      stride: see `training_windows`.
      seed: of the order; None follows `tf.random.set_seed`.

    Returns:
      A dataset of dicts: `history`, `history_timestamp`, `item_id` and
      `candidate_sampling_probability` `[batch, length]`, `user_id` and the other user
      features `[batch, ...]`, and `known_items` `[batch, None]`: all train items of the
      user, no negatives then.

    Raises:
      ValueError: see `training_windows`; or there is nothing to predict.
    """
    windows = training_windows(data, length, stride=stride)
    if not len(windows.user_id):
        raise ValueError(
            "`data` must have a user with two train rows: the later is predicted from "
            "the earlier. Got none."
        )
    columns = {name: tf.constant(v) for name, v in windows._asdict().items()}
    users = {name: tf.constant(column) for name, column in data.users.items()}
    known = data.known_items("validation")
    add_probability = sampling_probability_lookup(data.candidate_probabilities)

    def join(row: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = {name: tf.gather(column, row) for name, column in columns.items()}
        user = batch["user_id"]
        of_user = {name: tf.gather(column, user) for name, column in users.items()}
        batch = {**of_user, **batch, "known_items": tf.gather(known, user)}
        return add_probability(batch)

    rows = row_batches(len(windows.user_id), batch_size, shuffle=True, seed=seed)
    return rows.map(join, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _check(length: int, split: str, allowed: tuple[str, ...]) -> None:
    if length < 1:
        raise ValueError(f"`length` must be at least 1. Got {length}.")
    if split not in allowed:
        raise ValueError(f"`split` must be one of {allowed}. Got {split!r}.")


def _cut(
    items: np.ndarray, starts: np.ndarray, ends: np.ndarray, length: int
) -> np.ndarray:
    """`[num_rows, length]`: `items[start:end]` of each row, the last `length` of it."""
    starts = np.maximum(starts, ends - length)
    places = starts[:, None] + np.arange(length)
    inside = places < ends[:, None]
    return np.where(inside, np.append(items, 0)[np.where(inside, places, -1)], 0)
