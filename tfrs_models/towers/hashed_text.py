"""A tower over texts, without a vocabulary."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.mlp import MLP
from tfrs_models.types import Features


@register
class HashedText(tf.keras.layers.Layer):
    """Embeds a text as a bag of its words.

    Words, in lower case and without punctuation, are hashed to the rows of a table; the
    sum of their vectors over the square root of their number goes through dense layers.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_buckets: int = 2**14,
        hidden_units: Sequence[int] = (),
        feature: str | None = None,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          embedding_dim: width of the output.
          num_buckets: number of rows of the table.
          hidden_units: widths of ReLU layers before a last linear one.
          feature: name of the text in a dict of features; None if the tower is called
            with the text itself.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        for name, value in (
            ("embedding_dim", embedding_dim),
            ("num_buckets", num_buckets),
        ):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1. Got {value}.")
        self.embedding_dim = embedding_dim
        self.num_buckets = num_buckets
        self.hidden_units = tuple(hidden_units)
        self.feature = feature
        self._table = self.add_weight(
            "words",
            (num_buckets, embedding_dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=0.05),
        )
        self._trunk = MLP([*self.hidden_units, embedding_dim])
        self._trunk.build((None, embedding_dim))

    def call(self, features: Features | tf.Tensor) -> tf.Tensor:
        """Embeds a batch.

        Args:
          features: texts, `[batch]` strings, or a dict with them.

        Returns:
          `[batch, embedding_dim]`.

        Raises:
          ValueError: the feature is missing, or is not a text.
        """
        text = features
        if self.feature is not None:
            if self.feature not in features:
                raise ValueError(
                    f"Feature `{self.feature}` is missing. Got {sorted(features)}."
                )
            text = features[self.feature]
        text = tf.convert_to_tensor(text)
        if text.dtype != tf.string or text.shape.rank != 1:
            raise ValueError(
                f"The text must be strings [batch]. Got {text.dtype.name} of shape "
                f"{text.shape}."
            )
        text = tf.strings.regex_replace(
            tf.strings.lower(text, encoding="utf-8"), r"[\p{P}\p{S}]", " "
        )
        words = tf.strings.split(text)
        rows = tf.strings.to_hash_bucket_fast(words.values, self.num_buckets)
        vectors = tf.gather(self._table, rows)
        total = tf.math.unsorted_segment_sum(
            vectors, words.value_rowids(), words.nrows()
        )
        count = tf.cast(words.row_lengths(), total.dtype)[:, None]
        return self._trunk(tf.math.divide_no_nan(total, tf.sqrt(count)))

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_buckets": self.num_buckets,
            "hidden_units": list(self.hidden_units),
            "feature": self.feature,
        }
