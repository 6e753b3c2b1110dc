"""Auto-correlation: attention to lags instead of positions."""

import math
from typing import NamedTuple

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.circular_correlation import (
    correlation,
    mean_correlation,
    rolled_sum,
    spectrum,
)
from tfrs_models.ops.numbers import real_number, true_or_false, whole_number
from tfrs_models.ops.replicas import sum_over_replicas


class Lags(NamedTuple):
    """The lags at which two series have the largest correlation.

    Attributes:
      delays: `[batch, num_lags]` int32 lags in steps, the most correlated first.
      weights: `[batch, num_lags]` float32 softmax of their correlations.
      correlation: `[batch, seq_len]` float32 mean over all channels at every lag.
    """

    delays: tf.Tensor
    weights: tf.Tensor
    correlation: tf.Tensor


@register
class AutoCorrelation(tf.keras.layers.Layer):
    """Finds the lags at which query and key agree, and adds up the values at them.

    `R[lag] = sum_t query[(t + lag) mod L] key[t]` for every channel, `m` its mean over
    the channels, and `out[t] = sum_i softmax(m)[i] value[(t + lag_i) mod L]` over the
    `max(min_lags, floor(factor log L))` lags of the largest `m`, at most `L` of them.
    It takes `O(L log L)`, whatever the number of lags. Heads share their lags: the
    number of heads changes nothing but shapes.

    Time is a circle of `L` steps, the length of the query; keys and values are cut off
    there, or followed by zeros. In training all rows of a batch (of all replicas) share
    the lags of their mean correlation, each with weights of its own; else each row has
    its own lags.

    A constant added to query, key or values costs no precision. Transforms are in
    float32, and each step of the values reaches all steps of its row and channel: one
    NaN makes them all NaN, and an outlier adds an error of about 1e-7 of its size.

    The correlation of a series with itself is symmetric, `R[lag] = R[L - lag]`: lags
    tie in pairs, and rounding decides which of a pair is the last to count. Therefore
    `AutoCorrelationLayer` initializes query and key a little differently.

    Example:
      >>> layer = tm.layers.AutoCorrelation()
      >>> query = tf.reshape([1.0, 0.0, 0.0, 0.0], [1, 4, 1, 1])  # one channel
      >>> key = tf.roll(query, 3, axis=1)  # three steps later
      >>> int(layer.lags(query, key).delays[0, 0])  # 3 + 1 is the circle
      1
      >>> layer(query, key, value=key)[0, :, 0, 0].numpy()  # rolled by the lag
      array([0., 0., 1., 0.], dtype=float32)

    Reference:
      Wu et al., Autoformer: decomposition transformers with auto-correlation for
      long-term series forecasting, NeurIPS 2021.
    """

    def __init__(
        self,
        *,
        factor: float = 1.0,
        min_lags: int = 1,
        shared_lags: bool | None = None,
        direction: int = 1,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          factor: lags per natural logarithm of the length. One lag alone has weight 1,
            so that query and key get no gradient: use more if `L` is below 8.
          min_lags: the fewest lags. The original has no lag if `factor log L` is below
            1, and returns 0 then: so does `min_lags=0`.
          shared_lags: whether the rows of a batch share their lags; None for training
            only. Without shared lags, a row does not depend on other rows.
          direction: 1 as in the original, where step `t` gets the value `lag` steps
            later; -1 for the value `lag` steps earlier.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if direction not in (1, -1):
            raise ValueError(f"`direction` must be 1 or -1. Got {direction}.")
        self.factor = real_number("factor", factor, above=0)
        self.min_lags = whole_number("min_lags", min_lags)
        if shared_lags is not None:
            shared_lags = true_or_false("shared_lags", shared_lags)
        self.shared_lags = shared_lags
        self.direction = direction

    def call(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        training: bool = False,
        return_correlation: bool = False,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """Adds up the values at the lags of query and key.

        Args:
          query: `[batch, seq_len, num_heads, key_dim]` queries.
          key: `[batch, key_len, num_heads, key_dim]` keys.
          value: `[batch, key_len, num_heads, value_dim]` values.
          training: whether rows share their lags if `shared_lags` is None.
          return_correlation: whether to return the correlation of every channel too.

        Returns:
          `[batch, seq_len, num_heads, value_dim]`; with `return_correlation` also
          `[batch, seq_len, num_heads, key_dim]` float32.

        Raises:
          ValueError: a shape is wrong.
          InvalidArgumentError: a shape that is known only at run time is wrong.
        """
        query, key, value = _checked(query, key, value)
        seq_len = _seq_len(query)
        spectra = spectrum(query, seq_len), spectrum(key, seq_len)
        lags = self._lags(*mean_correlation(*spectra, seq_len), seq_len, training)
        out = rolled_sum(
            value, lags.delays, lags.weights, length=seq_len, direction=self.direction
        )
        out = tf.cast(out, value.dtype)
        if not return_correlation:
            return out
        return out, tf.transpose(correlation(*spectra, seq_len), [0, 3, 1, 2])

    def lags(self, query: tf.Tensor, key: tf.Tensor, training: bool = False) -> Lags:
        """Computes the lags at which `call` adds up the values.

        Args:
          query: `[batch, seq_len, num_heads, key_dim]` queries.
          key: `[batch, key_len, num_heads, key_dim]` keys.
          training: whether rows share their lags if `shared_lags` is None.
        """
        query, key, _ = _checked(query, key, key)
        seq_len = _seq_len(query)
        spectra = spectrum(query, seq_len), spectrum(key, seq_len)
        return self._lags(*mean_correlation(*spectra, seq_len), seq_len, training)

    def num_lags(self, seq_len: tf.Tensor | int) -> tf.Tensor | int:
        """Returns the number of lags that count in a series.

        Args:
          seq_len: number of steps of the series.
        """
        if isinstance(seq_len, int):
            wanted = int(min(self.factor * math.log(seq_len), seq_len))  # it may be inf
            return min(max(wanted, self.min_lags), seq_len)
        size = tf.cast(seq_len, tf.float64)
        wanted = tf.minimum(self.factor * tf.math.log(size), size)  # fits an integer
        wanted = tf.maximum(tf.cast(wanted, tf.int32), self.min_lags)
        return tf.minimum(wanted, seq_len)

    def _lags(
        self,
        correlations: tf.Tensor,
        level: tf.Tensor,
        seq_len: tf.Tensor | int,
        training: bool,
    ) -> Lags:
        """Picks the lags of the largest correlations; `level` is added to them all."""
        shared = training if self.shared_lags is None else self.shared_lags
        count = self.num_lags(seq_len)
        if shared:
            mean = sum_over_replicas(tf.reduce_sum(correlations, axis=0))
            delays = tf.math.top_k(mean, count).indices
            batch = tf.shape(correlations)[0]
            delays = tf.tile(delays[None], [batch, 1])
        else:
            delays = tf.math.top_k(correlations, count).indices
        weights = tf.nn.softmax(tf.gather(correlations, delays, batch_dims=1))
        return Lags(delays, weights, correlations + level)

    def get_config(self) -> dict:
        return super().get_config() | {
            "factor": self.factor,
            "min_lags": self.min_lags,
            "shared_lags": self.shared_lags,
            "direction": self.direction,
        }


def _seq_len(query: tf.Tensor) -> tf.Tensor | int:
    return tf.shape(query)[1] if query.shape[1] is None else query.shape[1]


def _checked(*tensors: tf.Tensor) -> list[tf.Tensor]:
    """Returns query, key and value after a check of their shapes."""
    tensors = [tf.convert_to_tensor(tensor) for tensor in tensors]
    shapes = [tensor.shape for tensor in tensors]
    fits = (
        all(shape.rank == 4 for shape in shapes)
        and shapes[0][2:].is_compatible_with(shapes[1][2:])
        and shapes[1][1:3].is_compatible_with(shapes[2][1:3])
        and all(shapes[0][:1].is_compatible_with(shape[:1]) for shape in shapes)
        and all(shape[1] != 0 for shape in shapes)
    )
    if not fits:
        got = ", ".join(map(str, shapes))
        raise ValueError(
            "`query` must be [batch, seq_len, num_heads, key_dim], `key` [batch, "
            "key_len, num_heads, key_dim] and `value` [batch, key_len, num_heads, "
            f"value_dim], with a step or more. Got shapes {got}."
        )
    if all(shape[:2].is_fully_defined() for shape in shapes):
        return tensors
    rows, steps = tf.unstack(tf.stack([tf.shape(t)[:2] for t in tensors]), axis=1)
    checks = [
        # A transform of no steps would end the process.
        tf.debugging.assert_positive(
            steps, "`query` and `key` must have a step or more."
        ),
        tf.debugging.assert_equal(
            rows, rows[0], "`key` and `value` must have a row for each of `query`."
        ),
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return [tf.identity(tensor) for tensor in tensors]
