"""Reads and checks a batch of one service."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.features.checks import require, require_ids, same_shape
from tfrs_models.ops.features.read_features import integers
from tfrs_models.types import Features

RECOMMENDATION, SEARCH = TASKS = ("recommendation", "search")
_RANKS = {
    "user_id": 1,
    "item_history": 2,
    "item_history_time": 2,
    "session_query": 3,
    "session_items": 3,
    "session_time": 2,
}
_NO_POSITIVE = (
    "Feature `item_id` must have the positive in column 0, not padding: leave rows "
    "without one out"
)
_NEGATIVE_TIME = "Feature `{}` must hold times above 0, and 0 for padding"
_NOT_IN_ORDER = (
    "Feature `{}` must not go back, and padding must come last (time 0, or item 0): "
    "sort each history by its times"
)


class Limits(NamedTuple):
    """Largest ids and lengths that the tables of a model have rows for.

    Attributes:
      num_users: number of users; ids are 0 to `num_users - 1`.
      num_items: number of items; ids are 1 to `num_items`.
      num_words: number of words; ids are 1 to `num_words`.
      seq_len: items of a history, at most.
      num_sessions: searches of a history, at most.
    """

    num_users: int
    num_items: int
    num_words: int
    seq_len: int
    num_sessions: int


class Example(NamedTuple):
    """A checked batch of one service, in which all padding is 0.

    Attributes:
      user_id: `[batch]` users.
      item_history: `[batch, seq_len]` items.
      item_time: `[batch, seq_len]` times of the items, 0 for padding.
      session_query: `[batch, num_sessions, num_words]` words of each search.
      session_items: `[batch, num_sessions, num_clicks]` items clicked in each search.
      session_time: `[batch, num_sessions]` times of the searches, 0 for padding.
      query: `[batch, num_words]` words of the current search; None in a recommendation.
      item_id: `[batch, num_candidates]` candidates, 0 for padding; None if not read.
    """

    user_id: tf.Tensor
    item_history: tf.Tensor
    item_time: tf.Tensor
    session_query: tf.Tensor
    session_items: tf.Tensor
    session_time: tf.Tensor
    query: tf.Tensor | None
    item_id: tf.Tensor | None


def read_example(
    features: Features,
    limits: Limits,
    task: str,
    *,
    candidates: bool = True,
    positive_first: bool = False,
) -> Example:
    """Reads a batch of one service.

    Args:
      features: features by name, as in `models.UniSAR`.
      limits: largest ids and lengths.
      task: `"recommendation"` or `"search"`, which has a query.
      candidates: whether to read `item_id`.
      positive_first: whether column 0 of `item_id` must not be padding.

    Raises:
      ValueError: a feature is missing, of another kind, or too long.
      InvalidArgumentError: an id is beyond its table, a time is negative, a history is
        not in the order of time with its padding last, or a positive is padding.
    """
    ranks = _RANKS | {"query": 2} if task == SEARCH else dict(_RANKS)
    ranks |= {"item_id": 2} if candidates else {}
    read = {name: integers(features, name, rank=rank) for name, rank in ranks.items()}
    _check_length("item_history", read["item_history"], limits.seq_len)
    _check_length("session_query", read["session_query"], limits.num_sessions)
    rules = _shape_rules(read)
    largest = _largest_ids(limits)
    read |= {name: same_shape(read[name], *rule) for name, rule in rules.items()}
    read |= {n: require_ids(read[n], n, largest[n]) for n in read if n in largest}
    if positive_first:
        items = read["item_id"]
        ok = (items > 0) | (tf.range(tf.shape(items)[1]) > 0)
        read["item_id"] = require(items, ok, _NO_POSITIVE)
    history = read["item_history"]
    item_time = read["item_history_time"]
    item_time = tf.where((history > 0) | (item_time < 0), item_time, 0)
    times = {"item_history_time": item_time, "session_time": read["session_time"]}
    for name, values in times.items():
        values = require(values, values >= 0, _NEGATIVE_TIME.format(name))
        before, after = values[:, :-1], values[:, 1:]
        in_order = (after == 0) | ((before > 0) & (before <= after))
        check = require(after, in_order, _NOT_IN_ORDER.format(name))
        with tf.control_dependencies([check]):
            times[name] = tf.identity(values)
    item_time, session_time = times.values()
    is_session = (session_time > 0)[:, :, None]
    return Example(
        read["user_id"],
        tf.where(item_time > 0, history, 0),
        item_time,
        tf.where(is_session, read["session_query"], 0),
        tf.where(is_session, read["session_items"], 0),
        session_time,
        read.get("query"),
        read.get("item_id"),
    )


def read_random(features: Features, limits: Limits) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads the random negatives of a batch.

    Args:
      features: `query` and `item_id`.
      limits: largest ids.

    Returns:
      `[m, num_words]` words of queries and `[n]` items.
    """
    words, items = (
        integers(features, name, rank=rank)
        for name, rank in (("query", 2), ("item_id", 1))
    )
    words = require_ids(words, "query", limits.num_words)
    return words, require_ids(items, "item_id", limits.num_items)


def no_rows() -> Features:
    """Makes an example of either service without a row."""
    row = tf.zeros([0, 1], tf.int64)
    return {
        "user_id": row[:, 0],
        "item_history": row,
        "item_history_time": row,
        "session_query": row[..., None],
        "session_items": row[..., None],
        "session_time": row,
        "item_id": row,
        "query": row,
    }


def _shape_rules(read: dict[str, tf.Tensor]) -> dict[str, tuple[tf.Tensor, str]]:
    """Returns, by feature, the feature whose shape it must have and a message."""
    sessions = read["session_query"][:, :, 0]
    slots = {
        "item_history_time": ("item_history", read["item_history"]),
        "session_items": ("session_query", sessions),
        "session_time": ("session_query", sessions),
    }
    rules = {
        name: (values, f"Feature `{name}` must have a value for each slot of `{other}`")
        for name, (other, values) in slots.items()
    }
    others = [name for name in read if name != "user_id" and name not in slots]
    return rules | {
        name: (
            read["user_id"],
            f"Feature `{name}` must have a row for each of `user_id`",
        )
        for name in others
    }


def _largest_ids(limits: Limits) -> dict[str, int]:
    return {
        "user_id": limits.num_users - 1,
        "item_history": limits.num_items,
        "session_query": limits.num_words,
        "session_items": limits.num_items,
        "query": limits.num_words,
        "item_id": limits.num_items,
    }


def _check_length(name: str, values: tf.Tensor, seq_len: int) -> None:
    message = (
        f"Feature `{name}` must have at most {seq_len} slots, which the model has "
        "positions for: keep the newest"
    )
    size = values.shape[1]
    if size is not None and size > seq_len:
        raise ValueError(f"{message}. Got {size}.")
    if size is None:
        tf.debugging.assert_less_equal(tf.shape(values)[1], seq_len, message)
