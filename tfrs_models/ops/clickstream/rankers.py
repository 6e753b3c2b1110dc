"""How near an item is to a query."""

import tensorflow as tf

_LEAST_NORM = 1e-6


def cosine_rank(query: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """`q . x / (max(|q|, 1e-6) max(|x|, 1e-6))`: a zero vector ranks 0.

    Args:
      query: `[embedding_dim]` or `[1, embedding_dim]`, or one for each item.
      items: `[num_items, embedding_dim]`.

    Returns:
      `[num_items]` float32.
    """
    query, items = _vectors(query), _vectors(items)
    product = tf.reduce_sum(query * items, axis=-1)
    return product / (_norm(query) * _norm(items))


def euclidean_rank(query: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """`|q - x|`, a distance: smaller is nearer.

    Args:
      query: `[embedding_dim]` or `[1, embedding_dim]`, or one for each item.
      items: `[num_items, embedding_dim]`.

    Returns:
      `[num_items]` float32.
    """
    square = tf.reduce_sum((_vectors(query) - _vectors(items)) ** 2, axis=-1)
    return _safe_sqrt(square)


def _vectors(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.convert_to_tensor(values), tf.float32)


def _norm(values: tf.Tensor) -> tf.Tensor:
    square = tf.reduce_sum(values**2, axis=-1)
    return tf.maximum(_safe_sqrt(square), _LEAST_NORM)


def _safe_sqrt(square: tf.Tensor) -> tf.Tensor:
    """The root, with a gradient of 0 at 0 instead of NaN."""
    some = square > 0
    return tf.where(some, tf.sqrt(tf.where(some, square, 1.0)), 0.0)
