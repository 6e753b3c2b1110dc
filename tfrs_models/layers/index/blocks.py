"""What blocks of candidates promise a query, and what is hidden in them."""

import tensorflow as tf

_SPREAD = 2.0  # standard deviations above a block's mean that its best may score


def promises(rows: tf.Tensor, in_slot: tf.Tensor) -> tf.Tensor:
    """What a product with (query, its length, 1) makes the promise of each block.

    Args:
      rows: `[num_blocks, block_size, embedding_dim]`.
      in_slot: `[num_blocks, block_size]` bool, whether there is a candidate.

    Returns:
      `[num_blocks, embedding_dim + 2]` float32: the mean, two standard deviations per
      dimension, and 0, or `-inf` for an empty block.
    """
    rows = tf.cast(rows, tf.float32)
    used = tf.cast(in_slot, tf.float32)[:, :, None]
    count = tf.reduce_sum(used, axis=1)
    mean = tf.math.divide_no_nan(tf.reduce_sum(rows * used, axis=1), count)
    apart = (rows - mean[:, None]) * used
    # Squares of shares of the largest entry fit into their type.
    largest = tf.reduce_max(tf.abs(apart), axis=[1, 2])
    shares = tf.math.divide_no_nan(apart, largest[:, None, None])
    squares = tf.reduce_sum(shares**2, axis=[1, 2])
    entries = count[:, 0] * rows.shape[2]
    spread = _SPREAD * largest * tf.sqrt(tf.math.divide_no_nan(squares, entries))
    empty = tf.where(count > 0, 0.0, -float("inf"))
    return tf.concat([mean, spread[:, None], empty], axis=1)


def rows_of(embeddings: tf.Tensor, blocks: tf.Tensor, *, size: int) -> tf.Tensor:
    """Embeddings `[n, size, embedding_dim]` of blocks.

    Args:
      embeddings: `[num_slots, embedding_dim]`.
      blocks: `[n]` numbers of blocks.
      size: candidates of a block.
    """
    return tf.gather(tf.reshape(embeddings, [-1, size, embeddings.shape[1]]), blocks)


def hide(
    scores: tf.Tensor, blocks: tf.Tensor, slots: tf.Tensor, *, size: int
) -> tf.Tensor:
    """Gives slots the score `-inf` where their block was probed.

    Args:
      scores: `[batch, probes * size]`.
      blocks: `[batch, probes]`, those that were probed.
      slots: `[batch, width]`, -1 for none.
      size: Of a block.
    """
    owner = tf.where(slots >= 0, slots // size, -1)
    same = owner[:, :, None] == blocks[:, None, :]  # [batch, width, probes]
    here = tf.where(tf.reduce_any(same, axis=2))
    probe = tf.argmax(tf.cast(same, tf.int32), axis=2, output_type=tf.int32)
    probe = tf.gather_nd(probe, here)
    columns = probe * size + tf.gather_nd(slots, here) % size
    places = tf.stack([tf.cast(here[:, 0], tf.int32), columns], axis=1)
    lows = tf.fill(tf.shape(columns), tf.constant(-float("inf"), scores.dtype))
    return tf.tensor_scatter_nd_update(scores, places, lows)
