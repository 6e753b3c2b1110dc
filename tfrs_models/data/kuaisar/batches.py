"""Batches of samples joined with their histories."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.data.kuaisar.checks import Histories


def joined_batches(
    rows: tf.data.Dataset,
    columns: Mapping[str, np.ndarray],
    sessions: Mapping[str, np.ndarray],
    histories: Mapping[str, tuple[Histories, int]],
) -> tf.data.Dataset:
    """Joins batches of sample numbers with the columns and histories of the samples.

    Args:
      rows: dataset of `[batch]` sample numbers.
      columns: name -> `[num_samples, ...]` columns of the samples.
      sessions: table of the search sessions.
      histories: "item" and "session" -> histories of all users, and the number of
        latest events to keep.

    Returns:
      A dataset of dicts of int64 tensors.
    """
    columns = {name: tf.constant(column) for name, column in columns.items()}
    tables = {
        "session_query": tf.constant(sessions["keyword"]),
        "session_items": tf.constant(sessions["pos_items"]),
    }
    parts = {}
    for name, (history, length) in histories.items():
        if length < 1:
            raise ValueError(
                f"`{name}_history_length` must be at least 1. Got {length}."
            )
        padded = Histories(
            np.append(history.ids, 0), np.append(history.times, 0), history.row_splits
        )
        parts[name] = Histories(*map(tf.constant, padded)), length

    def join(row: tf.Tensor) -> dict[str, tf.Tensor]:
        sample = {name: tf.gather(column, row) for name, column in columns.items()}
        latest = {
            name: _latest(part, sample["user_id"], sample[f"num_{name}s"], length)
            for name, (part, length) in parts.items()
        }
        items = [sample["item_id"][:, None], sample["negatives"]]
        batch = {
            "user_id": sample["user_id"],
            "item_id": tf.concat([tf.cast(part, tf.int64) for part in items], axis=1),
            "item_history": latest["item"][0],
            "item_history_time": latest["item"][1],
            "session_time": latest["session"][1],
            **{
                name: tf.gather(table, latest["session"][0])
                for name, table in tables.items()
            },
        }
        if "query" in sample:
            batch["query"] = sample["query"]
        return {name: tf.cast(value, tf.int64) for name, value in batch.items()}

    return rows.map(join, num_parallel_calls=tf.data.AUTOTUNE)


def random_batches(
    num_items: int, queries: np.ndarray, num_random: int, *, seed: int | None
) -> tf.data.Dataset:
    """Makes endless batches of uniformly drawn items and queries.

    Args:
      num_items: number of items; their ids are 1 to this number.
      queries: `[num_queries, num_words]` queries to draw from.
      num_random: number of items, and of queries, in a batch.
      seed: seed of the draws.

    Returns:
      A dataset of dicts: `item_id` `[num_random]` and `query` `[num_random,
      num_words]`.
    """
    if num_random < 1:
        raise ValueError(f"`num_random` must be at least 1. Got {num_random}.")
    if not len(queries):
        raise ValueError(
            "`queries` must have a query to draw. Got none: every search of the data "
            "is without words."
        )
    table = tf.constant(queries)

    def draw(seed: tf.Tensor) -> dict[str, tf.Tensor]:
        def numbers(stop: int, stream: int) -> tf.Tensor:
            return tf.random.stateless_uniform(
                [num_random], [seed, stream], 0, stop, tf.int64
            )

        query = tf.gather(table, numbers(len(queries), 1))
        return {"item_id": 1 + numbers(num_items, 0), "query": tf.cast(query, tf.int64)}

    return tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).map(draw)


def side_by_side(
    streams: Mapping[str, tf.data.Dataset],
) -> tf.data.Dataset:
    """Combines batches of several streams, each of which is read once.

    Args:
      streams: name -> batches of known cardinality.

    Returns:
      A dataset of dicts of batches. A stream that has ended has zero rows in the
      remaining batches.
    """

    def without_rows(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: values[:0] for name, values in batch.items()}

    num_batches = max(len(stream) for stream in streams.values())
    lasting = {
        name: stream.concatenate(stream.take(1).map(without_rows).repeat())
        for name, stream in streams.items()
    }
    return tf.data.Dataset.zip(lasting).take(num_batches)


def _latest(
    histories: Histories, user: tf.Tensor, count: tf.Tensor, length: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Ids and times `[batch, length]` of the last of each user's first `count` events.

    The last of all ids and times is padding.
    """
    count = tf.cast(count, tf.int64)
    kept = tf.minimum(count, length)
    first = tf.gather(histories.row_splits, user) + count - kept
    steps = tf.range(length, dtype=tf.int64)
    padding = tf.size(histories.ids, tf.int64) - 1
    index = tf.where(steps < kept[:, None], first[:, None] + steps, padding)
    return tf.gather(histories.ids, index), tf.gather(histories.times, index)
