"""Attention of each candidate over the items of a history."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.mlp import MLP
from tfrs_models.ops.numbers import is_whole


@register
class TargetAttention(tf.keras.layers.Layer):
    """Reads a history from the point of view of each candidate.

    Dense layers compute a logit `z_jk` of item `j` of the history for each head `k`
    from the features `p_j` of the pair of candidate and item, such as their similarity
    and the time since the item. A head gives the weighted sum of the pair features and
    the intensity of the interest:

        sum_j exp(z_jk) p_j / (1 + sum_j exp(z_jk)),    log(1 + sum_j exp(z_jk))

    The 1 stands for no item: weights do not sum to one, so that a candidate that no
    item calls for differs from one that all do, and an empty history gives zeros.

    Example:
      >>> layer = tm.layers.TargetAttention(num_heads=2)
      >>> pairs = tf.random.uniform([3, 5, 4, 6])  # 5 candidates, 4 items, 6 features
      >>> mask = tf.sequence_mask([4, 1, 0], 4)
      >>> layer(pairs, mask).shape  # 2 heads of 6 sums and 1 intensity
      TensorShape([3, 5, 14])

    Reference:
      Zhou et al., Deep interest network for click-through rate prediction, KDD 2018
      (weights of the history for each candidate, not scaled to sum to one).
    """

    def __init__(
        self, num_heads: int = 4, *, hidden_units: Sequence[int] = (16,), **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          num_heads: number of weightings of the history.
          hidden_units: widths of the ReLU layers before the logits.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if not is_whole(num_heads, 1):
            raise ValueError(f"`num_heads` must be at least 1. Got {num_heads}.")
        self.num_heads = num_heads
        self.hidden_units = tuple(hidden_units)
        self.logits = MLP([*self.hidden_units, num_heads])

    def call(self, pairs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Weighs the pair features of each candidate.

        Args:
          pairs: `[batch, num_candidates, seq_len, width]` features of the pairs.
          mask: `[batch, seq_len]` bool, True where the history has an item.

        Returns:
          `[batch, num_candidates, num_heads * (width + 1)]`: the weighted sums of each
          head, then the intensities of all heads.
        """
        mask = mask[:, None, :, None]
        logits = self.logits(pairs)  # [batch, num_candidates, seq_len, num_heads]
        logits = tf.where(mask, logits, logits.dtype.min)
        # The largest logit is subtracted; that of no item is 0.
        largest = tf.maximum(tf.reduce_max(logits, axis=2, keepdims=True), 0)
        largest = tf.stop_gradient(largest)
        weights = tf.where(mask, tf.exp(logits - largest), 0)
        total = tf.exp(-largest) + tf.reduce_sum(weights, axis=2, keepdims=True)
        pairs = tf.where(mask, pairs, 0)
        sums = tf.einsum("bnlk,bnlf->bnkf", weights / total, pairs)
        intensity = tf.squeeze(largest + tf.math.log(total), axis=2)
        shape = tf.shape(pairs)
        width = self.num_heads * pairs.shape[-1]
        sums = tf.reshape(sums, [shape[0], shape[1], width])
        return tf.concat([sums, intensity], axis=-1)

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_heads": self.num_heads,
            "hidden_units": list(self.hidden_units),
        }
