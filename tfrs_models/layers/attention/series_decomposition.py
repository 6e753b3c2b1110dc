"""Decomposition of a time series into its trend and the rest."""

import tensorflow as tf

from tfrs_models._keras import register


@register
class SeriesDecomposition(tf.keras.layers.Layer):
    """Splits a series into its moving average and the rest.

    Before its first step and after its last one a series is continued by its first and
    last value. With a mask, the average is over the real steps of the window instead.

    Example:
      >>> layer = tm.layers.SeriesDecomposition(window=3)
      >>> rest, trend = layer(tf.constant([[[3.0], [6.0], [0.0]]]))
      >>> trend[0, :, 0].numpy()
      array([4., 3., 2.], dtype=float32)
      >>> rest[0, :, 0].numpy()
      array([-1.,  3., -2.], dtype=float32)

    Reference:
      Wu et al., Autoformer: decomposition transformers with auto-correlation for
      long-term series forecasting, NeurIPS 2021.
    """

    def __init__(self, window: int = 25, **kwargs) -> None:
        """Initializes the layer.

        Args:
          window: number of steps of the average, centred on the step; an even window
            has one more step before the centre than after it.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if window < 1:
            raise ValueError(f"`window` must be at least 1. Got {window}.")
        self.window = window

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decomposes series.

        Args:
          inputs: `[batch, seq_len, width]` series.
          mask: `[batch, seq_len]` bool, False for padding.

        Returns:
          The rest and the trend, which add up to the series, `[batch, seq_len, width]`
          each; both are 0 at padding.
        """
        after = (self.window - 1) // 2
        before = self.window - 1 - after
        if mask is None:
            first, last = inputs[:, :1], inputs[:, -1:]
            steps = [tf.repeat(first, before, 1), inputs, tf.repeat(last, after, 1)]
            trend = self._average(tf.concat(steps, axis=1))
            return inputs - trend, trend
        real = tf.cast(mask, inputs.dtype)[:, :, None]
        ends = [[0, 0], [before, after], [0, 0]]
        inputs = tf.where(mask[:, :, None], inputs, 0)
        total = self._average(tf.pad(inputs, ends))
        trend = tf.math.divide_no_nan(total, self._average(tf.pad(real, ends))) * real
        return inputs - trend, trend

    def _average(self, series: tf.Tensor) -> tf.Tensor:
        averages = tf.nn.avg_pool1d(
            tf.cast(series, tf.float32), self.window, strides=1, padding="VALID"
        )
        return tf.cast(averages, series.dtype)

    def get_config(self) -> dict:
        return super().get_config() | {"window": self.window}
