"""Histories of requests to a model that takes them as features."""

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfrs_models.ops.numbers import is_whole
from tfrs_models.serving.live_history import fill_times, newest_of
from tfrs_models.types import Features


@dataclasses.dataclass(frozen=True)
class RequestHistory:
    """Features of a history, which a request may send as it is.

    The rules are those of the signature `history` of a `Recommender`: unknown ids are
    skipped and counted, padding may be anywhere, of a longer history the newest items
    are used, and an item of unknown time has that of the next one.

    Args:
      items: name of the ids `[batch, n]`, oldest first, 0 for padding; or of the times,
        of a history whose elements are no single items.
      times: name of the times `[batch, n]`, 0 if unknown.
      beside: names of other features `[batch, n, ...]` of the same elements.
      seq_len: number of elements that the model reads.
      largest: name of a feature of the history -> its largest known id.

    Raises:
      ValueError: the length or an id is below 1, or `largest` has another feature.

    Example:
      >>> history = tm.serving.RequestHistory("seen", times="at", seq_len=2,
      ...     largest={"seen": 9})
      >>> found, num_unknown = history.read({"seen": tf.constant([[3, 0, 12, 5, 8]]),
      ...     "at": tf.constant([[10, 0, 20, 0, 40]])})
      >>> {name: values.numpy().tolist() for name, values in found.items()}
      {'seen': [[5, 8]], 'at': [[40, 40]]}
    """

    items: str
    _: dataclasses.KW_ONLY
    times: str
    beside: Sequence[str] = ()
    seq_len: int = 50
    largest: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the arguments."""
        for name, value in {"seq_len": self.seq_len, **self.largest}.items():
            if not is_whole(value, 1):
                raise ValueError(f"`{name}` must be at least 1. Got {value!r}.")
        if others := self.largest.keys() - {*self.names}:
            raise ValueError(
                f"`largest` must be of features of the history, {list(self.names)}. "
                f"Got {sorted(others)} too."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all features of the history."""
        return tuple(dict.fromkeys((self.items, self.times, *self.beside)))

    def read(self, features: Features) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Brings the history of requests into the form of a batch of the data.

        Args:
          features: features of the requests by name.

        Returns:
          The features of the history, `[batch, seq_len, ...]` with padding last, and
          `[batch]` int32 numbers of unknown ids, those inside an element among them.

        Raises:
          ValueError: a feature is missing.
          InvalidArgumentError: a time falls from an element to the next, or a feature
            has another number of elements.
        """
        missing = [name for name in self.names if name not in features]
        if missing:
            raise ValueError(
                f"A request must have the features {list(self.names)} of its history. "
                f"Got none of the name {missing[0]}."
            )
        columns = {name: tf.convert_to_tensor(features[name]) for name in self.names}
        size = tf.shape(columns[self.items])[:2]
        checks = [
            tf.debugging.assert_equal(
                tf.shape(column)[:2],
                size,
                f"`{name}` must have an element for each of `{self.items}`.",
            )
            for name, column in columns.items()
        ]
        num_unknown = tf.zeros(size[:1], tf.int32)
        with tf.control_dependencies([check for check in checks if check is not None]):
            for name, largest in self.largest.items():
                column = columns[name]
                limit = tf.cast(largest, column.dtype)
                is_unknown = (column > limit) | (column < 0)
                axes = list(range(1, column.shape.rank))
                num_unknown += tf.math.count_nonzero(is_unknown, axes, dtype=tf.int32)
                columns[name] = tf.where(is_unknown, tf.zeros_like(column), column)
            # A batch of the data has this many columns at least.
            blank = {name: self._blank(column) for name, column in columns.items()}
            columns = {n: tf.concat([blank[n], c], axis=1) for n, c in columns.items()}
        order, mask = newest_of(columns[self.items], self.seq_len)
        found = {}
        for name, column in columns.items():
            rows = tf.gather(column, order, batch_dims=1)
            ones = [1] * (rows.shape.rank - 2)
            is_kept = tf.reshape(mask, tf.concat([tf.shape(mask), ones], axis=0))
            found[name] = tf.where(is_kept, rows, tf.zeros_like(rows))
        if self.times != self.items:
            # Times that are all unknown are one time: 0 would stand for padding.
            now = tf.ones(size[:1], found[self.times].dtype)
            message = (
                f"`{self.times}` must not fall from an item to the next: the newest "
                f"item of `{self.items}` is the last one."
            )
            filled = fill_times(found[self.times], mask, now, message)
            found[self.times] = tf.where(mask, filled, tf.zeros_like(filled))
        return found, num_unknown

    def _blank(self, column: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(column)
        shape = tf.concat([shape[:1], [self.seq_len], shape[2:]], axis=0)
        return tf.zeros(shape, column.dtype)
