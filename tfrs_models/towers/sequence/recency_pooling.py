"""A tower that weighs a user's items by how recent they are."""

import math
from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.towers.sequence.history_tower import HistoryTower


@register
class RecencyPooling(HistoryTower):
    """Adds up the history at several rates of forgetting.

    `query = sum_k exp(g_k) A_k sum_j w_kj e_j / sqrt(sum_j w_kj)` with the weights
    `w_kj = 0.5^(age_j / h_k)`, where `age_j` is how many items came after item `j`,
    `e_j` its embedding scaled to length one, and `h_k` half-lives from "the last item
    only" to "all alike". All positions are one product with the decays: it learns as
    fast as a model without history, and there is nothing to unroll.
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        embedding_dim: int,
        *,
        half_lives: Sequence[float] = (0.0, 4.0, 16.0, 64.0, math.inf),
        dropout: float = 0.2,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: See `HistoryTower`.
          embedding_dim: Width of the item tower's output and of this one's.
          half_lives: In items, ascending: after so many further ones an item counts
            half. 0 is the last item only, infinity all alike.
          dropout: Share of the item embeddings' components that training drops.
          **kwargs: Of `HistoryTower`.
        """
        super().__init__(item_tower, **kwargs)
        half_lives = tuple(float(value) for value in half_lives)
        if not half_lives or not all(value >= 0 for value in half_lives):
            raise ValueError(
                "`half_lives` must hold at least one number, none negative. Got "
                f"{half_lives}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        self.embedding_dim = embedding_dim
        self.half_lives = half_lives
        self.dropout = dropout
        self._drop = tf.keras.layers.Dropout(dropout, dtype="float32")
        count = len(half_lives)
        self._projections = self.add_weight(
            "projections",
            (count, embedding_dim, embedding_dim),
            tf.float32,
            initializer=_identities,
            experimental_autocast=False,
        )
        self._log_scales = self.add_weight(
            "log_scales",
            (count,),
            tf.float32,
            initializer="zeros",
            experimental_autocast=False,
        )

    def encode(
        self, embeddings: tf.Tensor, real: tf.Tensor, training: bool
    ) -> tf.Tensor:
        return self._pool(embeddings, real, _counts(real), training)

    def encode_last(
        self, embeddings: tf.Tensor, real: tf.Tensor, training: bool
    ) -> tf.Tensor:
        pooled = self._pool(embeddings, real, _counts(real)[:, -1:], training)
        return tf.squeeze(pooled, axis=1)

    def _pool(
        self, embeddings: tf.Tensor, real: tf.Tensor, now: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """`[batch, num_positions, embedding_dim]` after `now` real items each."""
        items = tf.math.l2_normalize(tf.cast(embeddings, tf.float32), axis=-1)
        items = self._drop(items, training=training)
        ages = now[:, :, None] - _counts(real)[:, None, :]  # [batch, position, item]
        seen = (ages >= 0) & real[:, None, :]
        ages = tf.cast(tf.maximum(ages, 0), tf.float32)
        output = 0.0
        for place, half_life in enumerate(self.half_lives):
            kept = 0.5 ** (1 / half_life) if half_life else 0.0  # of an item, per item
            weights = tf.where(seen, tf.pow(kept, ages), 0.0)  # 0^0 is 1
            norm = tf.sqrt(tf.reduce_sum(weights, axis=2, keepdims=True))
            pooled = tf.math.divide_no_nan(tf.matmul(weights, items), norm)
            scale = tf.exp(self._log_scales[place])
            output += scale * tf.einsum("de,bse->bsd", self._projections[place], pooled)
        return output

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "half_lives": list(self.half_lives),
            "dropout": self.dropout,
        }


def _identities(shape: tuple[int, int, int], dtype: tf.DType) -> tf.Tensor:
    """The identity of each scale, of which all together are one."""
    return tf.eye(shape[1], batch_shape=shape[:1], dtype=dtype) / shape[0]


def _counts(real: tf.Tensor) -> tf.Tensor:
    """`[batch, seq_len]` real items up to each position, itself included."""
    return tf.cumsum(tf.cast(real, tf.int32), axis=1)
