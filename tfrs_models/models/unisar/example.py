"""What UniSAR reads of a batch of one service."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.features.checks import require, same_shape
from tfrs_models.ops.features.read_features import integers, known_ids
from tfrs_models.types import Features


class Example(NamedTuple):
    """A batch of one service, checked; what padding holds is 0.

    Attributes:
      user_id: `[batch]`.
      item_history: `[batch, num_items]`.
      item_time: `[batch, num_items]`, 0 for padding.
      session_query: `[batch, num_sessions, num_words]` words.
      session_items: `[batch, num_sessions, num_clicks]`.
      session_time: `[batch, num_sessions]`, 0 for padding.
      query: `[batch, num_words]` words; None where there is no search.
    """

    user_id: tf.Tensor
    item_history: tf.Tensor
    item_time: tf.Tensor
    session_query: tf.Tensor
    session_items: tf.Tensor
    session_time: tf.Tensor
    query: tf.Tensor | None


def read_example(
    features: Features,
    *,
    num_users: int,
    num_items: int,
    num_words: int,
    history_length: int,
    num_sessions: int,
    is_search: bool,
) -> Example:
    """Reads and checks a batch.

    Args:
      features: See `models.UniSAR`.
      num_users: Users there are.
      num_items: Items there are, from 1 on.
      num_words: Words there are, from 1 on.
      history_length: Items of a history, at most.
      num_sessions: Searches of a history, at most.
      is_search: Whether there is a query.

    Raises:
      ValueError: a feature is missing, of another kind, or too long.
      InvalidArgumentError: an id is beyond its table, a time below 0, or a history not
        oldest first with its padding last.
    """
    user_id = known_ids(features, "user_id", num_users - 1, rank=1)
    history = known_ids(features, "item_history", num_items, rank=2)
    item_time = _times(features, "item_history_time", history)
    words = known_ids(features, "session_query", num_words, rank=3)
    clicks = known_ids(features, "session_items", num_items, rank=3)
    session_time = _times(features, "session_time", words[:, :, 0])
    clicks = _same_slots("session_items", clicks, "session_query", session_time)
    _not_longer("item_history", history, history_length)
    _not_longer("session_query", words, num_sessions)
    query = None
    if is_search:
        query = known_ids(features, "query", num_words, rank=2)
        query = same_rows("query", query, user_id)
    history = same_rows("item_history", history, user_id)
    session_time = same_rows("session_query", session_time, user_id)
    item_time = _in_order("item_history_time", tf.where(history > 0, item_time, 0))
    session_time = _in_order("session_time", session_time)
    real = (session_time > 0)[:, :, None]
    return Example(
        user_id,
        tf.where(item_time > 0, history, 0),
        item_time,
        tf.where(real, words, 0),
        tf.where(real, clicks, 0),
        session_time,
        query,
    )


def _times(features: Features, name: str, slots: tf.Tensor) -> tf.Tensor:
    times = integers(features, name, rank=2)
    times = _same_slots(name, times, name.removesuffix("_time"), slots)
    check = tf.debugging.assert_non_negative(
        times, f"Feature `{name}` must hold times above 0, and 0 for padding."
    )
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(times)


def _in_order(name: str, times: tf.Tensor) -> tf.Tensor:
    """The times, once none but padding follows padding or a later time."""
    before, after = times[:, :-1], times[:, 1:]
    ok = (after == 0) | ((before > 0) & (before <= after))
    message = (
        f"Feature `{name}` must not go back, and padding must come last (time 0, or "
        "item 0): sort each history by its times"
    )
    check = require(after, ok, message)
    with tf.control_dependencies([check]):
        return tf.identity(times)


def with_positive(items: tf.Tensor) -> tf.Tensor:
    """The candidates, once column 0 has an item in every row.

    Args:
      items: `[batch, num_candidates]`, 0 for padding.

    Raises:
      InvalidArgumentError: a row has padding there.
    """
    ok = (items > 0) | (tf.range(tf.shape(items)[1]) > 0)
    message = (
        "Feature `item_id` must have the positive in column 0, not padding: leave rows "
        "without one out"
    )
    return require(items, ok, message)


def same_rows(name: str, values: tf.Tensor, user_id: tf.Tensor) -> tf.Tensor:
    """The values, once they have a row for each of `user_id`.

    Args:
      name: Of the feature.
      values: `[batch, ...]`.
      user_id: `[batch]`.

    Raises:
      ValueError, InvalidArgumentError: another number of rows; nothing is broadcast.
    """
    message = f"Feature `{name}` must have a row for each of `user_id`"
    return same_shape(values, user_id, message)


def _same_slots(
    name: str, values: tf.Tensor, other: str, slots: tf.Tensor
) -> tf.Tensor:
    message = f"Feature `{name}` must have a value for each slot of `{other}`"
    return same_shape(values, slots, message)


def _not_longer(name: str, values: tf.Tensor, length: int) -> None:
    message = (
        f"Feature `{name}` must have at most {length} slots, which the model has "
        "positions for: keep the newest"
    )
    size = values.shape[1]
    if size is not None and size > length:
        raise ValueError(f"{message}. Got {size}.")
    if size is None:
        tf.debugging.assert_less_equal(tf.shape(values)[1], length, message)
