"""The vectors of all items, kept while the weights stand still."""

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf

_BLOCK = 8192  # items that are encoded at once


class KeptItems:
    """Encodes every item once for an evaluation, in which no weight changes.

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
        self._is_wanted = False
        self._is_filled = False
        self._looks_up = False  # what is traced meanwhile looks up, nothing else does

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """For an evaluation: its first step encodes all items, its end forgets them."""
        self._is_wanted = True
        try:
            yield
        finally:
            self._is_wanted = False
            if self._is_filled:
                self._is_filled = False
                self._is_full.assign(False)

    @contextlib.contextmanager
    def looked_up(self) -> Iterator[None]:
        """For a step of an evaluation, and no more: an export must not look up."""
        if self._is_wanted and not self._is_filled:
            self._fill()
        self._looks_up = self._vectors is not None
        try:
            yield
        finally:
            self._looks_up = False

    def _fill(self) -> None:
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
        self._is_filled = True

    def look_up(
        self, ids: tf.Tensor, otherwise: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        """Vectors of items, encoded by `otherwise` where none are kept."""
        if not self._looks_up:
            return otherwise(ids)
        return tf.cond(
            self._is_full,
            lambda: tf.gather(self._vectors.read_value(), ids),
            lambda: otherwise(ids),
        )
