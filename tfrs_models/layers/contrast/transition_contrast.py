"""A user's transitions of one kind are known by those of another."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.contrast.bilinear_contrast import BilinearContrast
from tfrs_models.ops.masks import masked_mean
from tfrs_models.ops.replicas import gather_rows
from tfrs_models.ops.softmax.contrasts import transition_contrast


@register
class TransitionContrast(BilinearContrast):
    """`losses.transition_contrast` of mean events, with a similarity that it learns.

    On several replicas, the users of all of them are told apart.

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    _temperature_of_original = "infoNCE_temp"

    def call(
        self,
        cross: tf.Tensor,
        own: tf.Tensor,
        valid: tf.Tensor,
        include: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Means over the users of all replicas.

        Args:
          cross: `[batch, seq_len, embedding_dim]`, events as they follow from those of
            another service.
          own: `[batch, seq_len, embedding_dim]`, as they follow from their own.
          valid: `[batch, seq_len]` bool, False for padding.
          include: `[batch]` bool, False for users who do not count; users without an
            event do not.

        Returns:
          Scalar float32, 0 where no user counts.
        """
        counts = tf.reduce_any(valid, axis=1)
        if include is not None:
            counts &= include
        cross, own, counts = (
            gather_rows(rows)
            for rows in (
                masked_mean(cross, valid),
                masked_mean(own, valid),
                tf.cast(counts, tf.int32),
            )
        )
        losses = transition_contrast(
            cross,
            own,
            counts > 0,
            weight=self.kernel,
            temperature=self.temperature,
        )
        count = tf.cast(tf.reduce_sum(counts), losses.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(losses), count)
