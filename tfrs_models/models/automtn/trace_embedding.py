"""Check-ins as vectors: who, what, at which hour, on which day."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.features.checks import require

HOURS, WEEKDAYS = 24, 7


@register
class TraceEmbedding(tf.keras.layers.Layer):
    """The sum of the embeddings of user, id, hour and weekday of every step.

    Ids count from 1; 0 is unknown and has the embedding 0.
    """

    def __init__(
        self, num_users: int, num_ids: int, embedding_dim: int, **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          num_users: The largest user id.
          num_ids: The largest id of what a step is: a place, or a category.
          embedding_dim: Width.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        for name, size in (("num_users", num_users), ("num_ids", num_ids)):
            if size < 1:
                raise ValueError(f"`{name}` must be at least 1. Got {size}.")
        self.num_users = num_users
        self.num_ids = num_ids
        self.embedding_dim = embedding_dim
        self.users = self._table("users", num_users)
        self.ids = self._table("ids", num_ids)
        self.hours = self._table("hours", HOURS)
        self.weekdays = self._table("weekdays", WEEKDAYS)

    def call(
        self, users: tf.Tensor, ids: tf.Tensor, hours: tf.Tensor, weekdays: tf.Tensor
    ) -> tf.Tensor:
        """Embeds traces.

        Args:
          users: `[batch]` or `[batch, seq_len]` integers.
          ids: `[batch, seq_len]` integers.
          hours: `[batch, seq_len]` integers from 0 to 23.
          weekdays: `[batch, seq_len]` integers from 0 to 6.

        Returns:
          `[batch, seq_len, embedding_dim]`.

        Raises:
          InvalidArgumentError: a number outside of its table.
        """
        if users.shape.rank == 1:
            users = users[:, None]
        return (
            _rows(self.users, users, "user ids", first=1)
            + _rows(self.ids, ids, f"ids of `{self.name}`", first=1)
            + _rows(self.hours, hours, "hours")
            + _rows(self.weekdays, weekdays, "weekdays")
        )

    @property
    def tables(self) -> list[tf.Variable]:
        """Of users, ids, hours and weekdays."""
        return [self.users, self.ids, self.hours, self.weekdays]

    def _table(self, name: str, size: int) -> tf.Variable:
        initializer = tf.keras.initializers.RandomNormal(
            stddev=self.embedding_dim**-0.5
        )
        shape = (size, self.embedding_dim)
        return self.add_weight(name, shape, initializer=initializer)

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_users": self.num_users,
            "num_ids": self.num_ids,
            "embedding_dim": self.embedding_dim,
        }


def _rows(
    table: tf.Tensor, numbers: tf.Tensor, what: str, *, first: int = 0
) -> tf.Tensor:
    """Rows of a table for numbers from `first` on; 0 for a 0 before the first."""
    numbers = tf.cast(numbers, tf.int64)
    last = table.shape[0] + first - 1
    ok = (numbers >= 0) & (numbers <= last)
    numbers = require(numbers, ok, f"The {what} must be from 0 to {last}")
    rows = tf.gather(table, tf.maximum(numbers - first, 0))
    return tf.where((numbers >= first)[..., None], rows, 0) if first else rows
