"""Items of a history that an answer is owed to."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from tfrs_models.serving.live_history import HISTORY

NUM_REASONS = 3


def leave_one_out(
    query_model: Callable[[Mapping[str, tf.Tensor]], tf.Tensor],
    features: Mapping[str, tf.Tensor],
    candidates: tf.Tensor,
) -> tf.Tensor:
    """Computes how far the scores of candidates fall without each item of a history.

    Args:
      query_model: layer from the features to `[batch, embedding_dim]`.
      features: its input, `history` `[batch, length]` in which 0 is padding.
      candidates: `[batch, k, embedding_dim]` embeddings of each row's candidates.

    Returns:
      `[batch, k, length]` falls of the scores, 0 for padding.
    """
    history = features[HISTORY]
    size, length = tf.unstack(tf.shape(history))
    others = tf.cast(1 - tf.eye(length, dtype=tf.int32), history.dtype)
    # All histories without one item: [batch, length, length].
    shortened = history[:, None] * others
    repeated = {
        name: tf.repeat(values, length, axis=0) for name, values in features.items()
    }
    repeated[HISTORY] = tf.reshape(shortened, [size * length, length])
    whole = tf.cast(query_model(features), candidates.dtype)
    without = tf.cast(query_model(repeated), candidates.dtype)
    without = tf.reshape(without, [size, length, tf.shape(whole)[1]])
    falls = tf.einsum("bkd,bld->bkl", candidates, whole[:, None] - without)
    return tf.where(history[:, None] > 0, falls, tf.zeros_like(falls))


def reasons(falls: tf.Tensor, history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the items of the history that raise each score most.

    Args:
      falls: `[batch, k, length]` falls of the scores without each item.
      history: `[batch, length]` rows of the items.

    Returns:
      `[batch, k, NUM_REASONS]` rows, 0 for none, and their shares of all that items
      raise the score by.
    """
    raises = tf.maximum(falls, 0)
    raises = tf.pad(raises, [[0, 0], [0, 0], [0, NUM_REASONS]])  # of a short history
    items = tf.pad(tf.cast(history, tf.int64), [[0, 0], [0, NUM_REASONS]])
    shares = tf.math.divide_no_nan(raises, tf.reduce_sum(raises, axis=2, keepdims=True))
    largest, places = tf.math.top_k(shares, NUM_REASONS)
    rows = tf.gather(items, places, batch_dims=1)
    return tf.where(largest > 0, rows, tf.zeros_like(rows)), largest
