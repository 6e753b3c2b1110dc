"""A tower that weighs the items of a history by their age."""

import math
from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.towers.sequence.history_tower import HistoryTower
from tfrs_models.types import Features

MINUTE = 60.0


@register
class RecencyPooling(HistoryTower):
    """Embeds a history as sums of its items with several half-lives.

    `query = sum_k exp(g_k) A_k sum_j w_kj e_j / sqrt(sum_j w_kj)` with the weights
    `w_kj = 0.5^(age_j / h_k)`, where `age_j` is the number of items after item `j`,
    `e_j` its embedding scaled to length one, and `h_k` are half-lives from 0 (the last
    item only) to infinity (all items alike). All positions are one matrix product with
    the weights, without a recurrence, so that it learns as fast as a model without
    history.

    With times the weights are `w_kj = 0.5^(age_j / h_k) (1 + gap_j)^(-p_k)`, where
    `gap_j` is the time from item `j` to the newest item in minutes, and the powers
    `p_k` are learned: items of earlier sessions count less.

    Example:
      >>> item = tm.data.Feature("item_id", "id", num_values=9)
      >>> items = tm.towers.FeatureTower([item], embedding_dim=4)
      >>> tower = tm.towers.RecencyPooling(items, 4)
      >>> history = {"history": np.array([[3, 1, 7], [5, 0, 0]])}  # 0 is padding
      >>> tower(history).shape, tower(history, return_sequences=True).shape
      (TensorShape([2, 4]), TensorShape([2, 3, 4]))
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        embedding_dim: int,
        *,
        half_lives: Sequence[float] = (0.0, 4.0, 16.0, 64.0, math.inf),
        dropout: float = 0.2,
        timestamp: str | None = None,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: candidate tower, from `{item_id: [num_items]}` to `[num_items,
            embedding_dim]`.
          embedding_dim: width of the item tower's output and of this one's.
          half_lives: numbers of items after which the weight of an item is halved; 0
            for the last item only, infinity for equal weights.
          dropout: share of the item embeddings' components that training drops.
          timestamp: name of the feature of the items' times, `[batch, seq_len]` integer
            seconds; None to use no times.
          **kwargs: `history` and `item_id`, names of the features of the items of a
            history and of an item's id, and arguments of `tf.keras.layers.Layer`.
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
        self.timestamp = timestamp
        self._drop = tf.keras.layers.Dropout(dropout, dtype="float32")
        count = len(half_lives)
        self._projections = self._add_float32(
            "projections", (count, embedding_dim, embedding_dim), _identities
        )
        self._log_scales = self._add_float32("log_scales", (count,), "zeros")
        if timestamp is not None:
            self._powers = self._add_float32("powers", (count,), "zeros")

    def call(
        self,
        features: Features,
        training: bool = False,
        return_sequences: bool = False,
    ) -> tf.Tensor:
        items = self._checked(features)
        embeddings, mask = self.embed(items, training)
        items = tf.math.l2_normalize(tf.cast(embeddings, tf.float32), axis=-1)
        items = self._drop(items, training=training)
        counts = tf.cumsum(tf.cast(mask, tf.int32), axis=1)
        now = counts if return_sequences else counts[:, -1:]
        ages = now[:, :, None] - counts[:, None, :]  # [batch, position, item]
        seen = (ages >= 0) & mask[:, None, :]
        log_gaps = None
        if self.timestamp is not None:
            times = self._checked_times(features, mask)
            log_gaps = tf.math.log1p(_gaps(times, seen) / MINUTE)
        pooled = self._pool(items, tf.maximum(ages, 0), seen, log_gaps)
        return pooled if return_sequences else tf.squeeze(pooled, axis=1)

    def _pool(
        self,
        items: tf.Tensor,
        ages: tf.Tensor,
        seen: tf.Tensor,
        log_gaps: tf.Tensor | None,
    ) -> tf.Tensor:
        """Sums the items up to each position, `[batch, seq_len, embedding_dim]`."""
        output = 0.0
        for k, half_life in enumerate(self.half_lives):
            decay = 0.5 ** (1 / half_life) if half_life else 0.0
            weights = tf.pow(decay, tf.cast(ages, tf.float32))  # 0^0 is 1
            if log_gaps is not None:
                weights *= tf.exp(-self._powers[k] * log_gaps)
            weights = tf.where(seen, weights, 0.0)
            norm = tf.sqrt(tf.reduce_sum(weights, axis=2, keepdims=True))
            pooled = tf.math.divide_no_nan(tf.matmul(weights, items), norm)
            scale = tf.exp(self._log_scales[k])
            output += scale * tf.einsum("de,bse->bsd", self._projections[k], pooled)
        return output

    def _checked_times(self, features: Features, mask: tf.Tensor) -> tf.Tensor:
        if self.timestamp not in features:
            raise ValueError(
                f"Feature `{self.timestamp}`, the times of the history, is missing: "
                f"give the data one with `data.with_histories`. Got {sorted(features)}."
            )
        times = tf.convert_to_tensor(features[self.timestamp])
        if not (times.dtype.is_integer and times.shape.is_compatible_with(mask.shape)):
            raise ValueError(
                f"Feature `{self.timestamp}` must be whole seconds, one for each item "
                f"of `{self.history}`, {mask.shape}. Got {times.dtype.name} of shape "
                f"{times.shape}."
            )
        return tf.cast(times, tf.int64)

    def _add_float32(
        self, name: str, shape: tuple[int, ...], initializer: object
    ) -> tf.Variable:
        """Adds a weight that stays float32 under mixed precision."""
        return self.add_weight(
            name,
            shape,
            tf.float32,
            initializer=initializer,
            experimental_autocast=False,
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "half_lives": list(self.half_lives),
            "dropout": self.dropout,
            "timestamp": self.timestamp,
        }


def _identities(shape: tuple[int, int, int], dtype: tf.DType) -> tf.Tensor:
    """Initializes each projection so that their sum is the identity."""
    return tf.eye(shape[1], batch_shape=shape[:1], dtype=dtype) / shape[0]


def _gaps(times: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
    """Computes seconds from each item to the newest one, `[batch, position, item]`."""
    times = times[:, None, :]
    newest = tf.reduce_max(
        tf.where(seen, times, times.dtype.min), axis=2, keepdims=True
    )
    return tf.cast(tf.where(seen, newest - times, 0), tf.float32)
