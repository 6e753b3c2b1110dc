"""The vectors of all items, kept while the weights stand still."""

from collections.abc import Callable

import tensorflow as tf

_BLOCK = 8192  # items that are encoded at once


class KeptItems:
    """Encodes every item once, for as long as no weight changes.

    Its variables are deliberately out of Keras's sight: they are no part of a model.
    """

    def __init__(self, encode: Callable[[tf.Tensor], tf.Tensor], num_rows: int) -> None:
        """Initializes the store, which holds nothing yet.

        Args:
          encode: From ids `[n]` int64 to vectors `[n, width]`.
          num_rows: Items are 0 to `num_rows - 1`.
        """
        self._encode = tf.function(
            encode, input_signature=[tf.TensorSpec([None], tf.int64)]
        )
        self._num_rows = num_rows
        self._vectors = None
        self._is_kept = False  # what is traced meanwhile looks up, nothing else does

    def fill(self) -> None:
        """Encodes all items; until `forget` they are looked up."""
        self._is_kept = False
        ids = tf.range(self._num_rows, dtype=tf.int64)
        blocks = [
            self._encode(ids[first : first + _BLOCK])
            for first in range(0, self._num_rows, _BLOCK)
        ]
        vectors = tf.concat(blocks, axis=0)
        if self._vectors is None:
            self._is_full = tf.Variable(True, trainable=False)
            self._vectors = tf.Variable(vectors, trainable=False)
        else:
            self._is_full.assign(True)
            self._vectors.assign(vectors)
        self._is_kept = True

    def forget(self) -> None:
        """Lets the vectors be stale."""
        self._is_kept = False
        self._is_full.assign(False)

    def look_up(
        self, ids: tf.Tensor, otherwise: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        """Vectors of items, encoded by `otherwise` where none are kept."""
        if not self._is_kept:
            return otherwise(ids)
        return tf.cond(
            self._is_full,
            lambda: tf.gather(self._vectors.read_value(), ids),
            lambda: otherwise(ids),
        )
