"""Histories that come with a request, as the input of a query model."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.layers.index.requests import id_lists

HISTORY = "history"
ITEM_TIMES = "history_timestamp"
REQUEST_TIME = "timestamp"
_PREFIX = "history_"
_LATEST = 10**11  # seconds, the year 5138; a time in milliseconds is above it

_FALLS = (
    "`history_time` must not fall from an item to the next: the newest item of "
    "`history` is the last one."
)
INPUTS = {
    "history": id_lists("history"),
    "history_time": id_lists("history_time", tf.int64),
    "time": tf.TensorSpec([None], tf.int64, "time"),
    "append": tf.TensorSpec([None], tf.bool, "append"),
}


class Joined(NamedTuple):
    """Features of a batch of requests with histories.

    Attributes:
      features: features of the histories and the time of the request.
      items: `[batch, n]` int64 rows of the request's items, 0 if unknown.
      has_items: `[batch]` bool, False if a row's history is empty.
      num_unknown: `[batch]` int32 numbers of ids that were skipped as unknown.
    """

    features: dict[str, tf.Tensor]
    items: tf.Tensor
    has_items: tf.Tensor
    num_unknown: tf.Tensor


def is_of_history(feature: str) -> bool:
    """Returns whether a feature of users has a value for each item of the history."""
    return feature == HISTORY or feature.startswith(_PREFIX)


def join_history(
    live: Mapping[str, tf.Tensor],
    items: tf.Tensor,
    past: Mapping[str, tf.Tensor],
    *,
    num_embedded: int | None = None,
) -> Joined:
    """Joins the histories of requests to the known past, newest items last.

    The result has the shape of the past, whose newest items it keeps: a query model
    gets the features that it gets for the same history in a batch of the data.

    - Without `append`, a request's history is all; a request without a known item is
      answered from the known past.
    - With `append`, items that are older than the newest item of the known past, or
      that are in it with the same time, are part of it and not added again.
    - A feature of the history that a request does not carry, such as `history_event`,
      is 0 (unknown) for its items, and 1 if it is floating, such as `history_weight`.
    - An item of unknown time has the time of the next item that has one, else that of
      the request, else that of the item before it.

    Args:
      live: tensors with the names and shapes of `INPUTS`.
      items: rows of the items `live["history"]`, `[batch, n]` int64, 0 if unknown.
      past: known past of each row; features `[batch, length]`, in which items of 0 are
        padding.
      num_embedded: largest row of an item that the query model embeds; others are
        skipped as unknown. None if it embeds all.

    Raises:
      InvalidArgumentError: an input has another number of rows or columns; a time is
        negative, not in seconds, or falls from an item to the next.
    """
    with tf.control_dependencies(_checks(live, tf.shape(past[HISTORY])[0])):
        items = tf.identity(items)
        text, times, now, append = (tf.identity(live[name]) for name in INPUTS)
    is_item = items > 0
    if num_embedded is not None:
        is_item &= items <= num_embedded
    unknown = (text != "") & ~is_item
    num_unknown = tf.math.count_nonzero(unknown, axis=1, dtype=tf.int32)
    use_past = (append | ~tf.reduce_any(is_item, axis=1))[:, None]
    past_items = tf.cast(past[HISTORY], tf.int64)
    past_times = tf.zeros_like(past_items)
    if ITEM_TIMES in past:
        past_times = tf.cast(past[ITEM_TIMES], tf.int64)
    past_items = tf.where(use_past, past_items, 0)
    is_added = is_item & ~_is_covered(items, times, past_items, past_times)
    joined = tf.concat([past_items, tf.where(is_added, items, 0)], axis=1)
    order, mask = newest_of(joined, past[HISTORY].shape[1])
    columns = {HISTORY: items, ITEM_TIMES: times}
    features = {}
    for name, old in past.items():
        if name in columns:
            new = tf.cast(columns[name], old.dtype)
        else:  # a weight of 1; 0 is the unknown id
            blank = 1 if old.dtype.is_floating else 0
            new = tf.cast(tf.fill(tf.shape(items), blank), old.dtype)
        rows = tf.gather(tf.concat([old, new], axis=1), order, batch_dims=1)
        features[name] = tf.where(mask, rows, tf.zeros_like(rows))
    if ITEM_TIMES in features:
        filled = fill_times(features[ITEM_TIMES], mask, now, _FALLS)
        features[ITEM_TIMES] = tf.where(mask, filled, tf.zeros_like(filled))
    features[REQUEST_TIME] = now
    return Joined(features, items, tf.reduce_any(mask, axis=1), num_unknown)


def _checks(live: Mapping[str, tf.Tensor], size: tf.Tensor) -> list[tf.Tensor]:
    """Checks the inputs at the price of a few operations if nothing is wrong."""
    sizes = tf.stack([tf.shape(live[name])[0] for name in INPUTS])
    same_shape = tf.shape(live["history_time"]) == tf.shape(live["history"])
    times = tf.concat([tf.reshape(live["history_time"], [-1]), live["time"]], axis=0)
    is_right = tf.reduce_all(
        tf.concat([sizes == size, same_shape, (times >= 0) & (times < _LATEST)], axis=0)
    )

    def say_what() -> tf.Tensor:
        with tf.control_dependencies(_errors(live, size)):
            return tf.constant(False)

    return [tf.cond(is_right, lambda: tf.constant(True), say_what)]


def _errors(live: Mapping[str, tf.Tensor], size: tf.Tensor) -> list[tf.Operation]:
    checks = [
        tf.debugging.assert_equal(
            tf.shape(live[name])[0],
            size,
            f"`{name}` must have a row for each `user_id`: another number of rows.",
        )
        for name in INPUTS
    ]
    checks.append(
        tf.debugging.assert_equal(
            tf.shape(live["history_time"]),
            tf.shape(live["history"]),
            "`history_time` must have a time for each item of `history`, 0 if unknown.",
        )
    )
    for name in ("history_time", "time"):
        seconds = f"`{name}` must be seconds since 1970, 0 if unknown: "
        limit = tf.constant(_LATEST, live[name].dtype)
        checks += [
            tf.debugging.assert_non_negative(live[name], f"{seconds}one is negative."),
            tf.debugging.assert_less(live[name], limit, f"{seconds}not milliseconds."),
        ]
    return [check for check in checks if check is not None]  # None in eager mode


def _is_covered(
    items: tf.Tensor, times: tf.Tensor, past_items: tf.Tensor, past_times: tf.Tensor
) -> tf.Tensor:
    """Returns which items of a request are part of the known past, `[batch, n]`."""
    past_times = tf.where(past_items > 0, past_times, 0)
    newest = tf.reduce_max(past_times, axis=1, keepdims=True)
    same = (items[:, :, None] == past_items[:, None]) & (
        times[:, :, None] == past_times[:, None]
    )
    return (times > 0) & ((times < newest) | tf.reduce_any(same, axis=2))


def newest_of(items: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the last items of each row that are not padding, oldest first.

    Args:
      items: `[batch, n]` items, 0 for padding, which may be anywhere.
      length: number of items that are kept, at most `n`.

    Returns:
      `[batch, length]` positions, and `[batch, length]` bool, True for items; they come
      before padding.
    """
    is_item = items > 0
    newer = tf.cumsum(tf.cast(is_item, tf.int32), axis=1, exclusive=True, reverse=True)
    is_kept = is_item & (newer < length)
    order = tf.argsort(tf.cast(~is_kept, tf.int32), axis=1, stable=True)[:, :length]
    order = tf.ensure_shape(order, [None, length])  # as in a batch of the data
    return order, tf.gather(is_kept, order, batch_dims=1)


def fill_times(
    times: tf.Tensor, mask: tf.Tensor, now: tf.Tensor, message: str
) -> tf.Tensor:
    """Fills unknown times with that of the next item, else `now` or the one before.

    Args:
      times: `[batch, n]` times, 0 if unknown.
      mask: `[batch, n]` bool, True for items; they come before padding.
      now: `[batch]` times of the requests, 0 if unknown.
      message: message of the error.

    Raises:
      InvalidArgumentError: a time falls from an item to the next.
    """
    is_known = mask & (times > 0)
    count = tf.cast(is_known, tf.int32)
    order = tf.argsort(1 - count, axis=1, stable=True)
    known = tf.gather(tf.where(is_known, times, 0), order, batch_dims=1)
    latest = tf.reduce_max(known, axis=1)
    last = tf.where(now > 0, tf.maximum(tf.cast(now, times.dtype), latest), latest)
    known = tf.concat([known, tf.zeros_like(known[:, :1])], axis=1)
    known = tf.where(known > 0, known, last[:, None])  # after the last known time
    following = tf.cumsum(count, axis=1, exclusive=True)
    filled = tf.where(is_known, times, tf.gather(known, following, batch_dims=1))
    falls = mask[:, 1:] & (filled[:, 1:] < filled[:, :-1])
    check = tf.debugging.assert_equal(tf.reduce_any(falls), False, message)
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(filled)
