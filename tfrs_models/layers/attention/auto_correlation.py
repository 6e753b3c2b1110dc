"""Attention to lags instead of positions."""

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
    """The lags at which a series is most like another.

    Attributes:
      delays: `[batch, num_lags]` int32 steps, the most correlated first.
      weights: `[batch, num_lags]` float32, a softmax.
      correlation: `[batch, seq_len]` float32, the mean over all channels at every lag.
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
    NaN makes them all NaN, and an outlier leaves about 1e-7 of its size on each.

    A series that is correlated with itself is like itself both ways round, `R[lag] =
    R[L - lag]`: lags tie in pairs, and rounding says which of a pair is the last to
    count. `AutoCorrelationLayer` draws query and key a little apart for that.

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
          factor: Lags per natural logarithm of the length. One lag alone has weight 1
            and teaches query and key nothing: take more where `L` is below 8.
          min_lags: The fewest lags. The original has none where `factor log L` is below
            1, and then answers 0: `min_lags=0` does so too.
          shared_lags: Whether the rows of a batch share their lags; None for training
            only. A row whose lags are its own does not depend on the others.
          direction: 1 as in the original, where step `t` gets what comes `lag` steps
            later; -1 for what came `lag` steps before.
          **kwargs: Of `tf.keras.layers.Layer`.
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
          query: `[batch, seq_len, num_heads, key_dim]`.
          key: `[batch, key_len, num_heads, key_dim]`.
          value: `[batch, key_len, num_heads, value_dim]`.
          training: Says where None was given whether rows share their lags.
          return_correlation: Whether to return the correlation of every channel too.

        Returns:
          `[batch, seq_len, num_heads, value_dim]`; with the correlation `[batch,
          seq_len, num_heads, key_dim]` float32, where asked for.

        Raises:
          ValueError: a shape that does not fit.
          InvalidArgumentError: the same, where only the run knows.
        """
        query, key, value = _checked(query, key, value)
        length = _length(query)
        spectra = spectrum(query, length), spectrum(key, length)
        lags = self._lags(*mean_correlation(*spectra, length), length, training)
        out = rolled_sum(
            value, lags.delays, lags.weights, length=length, direction=self.direction
        )
        out = tf.cast(out, value.dtype)
        if not return_correlation:
            return out
        return out, tf.transpose(correlation(*spectra, length), [0, 3, 1, 2])

    def lags(self, query: tf.Tensor, key: tf.Tensor, training: bool = False) -> Lags:
        """The lags that `call` adds up.

        Args:
          query: As in `call`.
          key: As in `call`.
          training: As in `call`.
        """
        query, key, _ = _checked(query, key, key)
        length = _length(query)
        spectra = spectrum(query, length), spectrum(key, length)
        return self._lags(*mean_correlation(*spectra, length), length, training)

    def num_lags(self, length: tf.Tensor | int) -> tf.Tensor | int:
        """How many lags count in series of a length."""
        if isinstance(length, int):
            wanted = int(min(self.factor * math.log(length), length))  # it may be inf
            return min(max(wanted, self.min_lags), length)
        size = tf.cast(length, tf.float64)
        wanted = tf.minimum(self.factor * tf.math.log(size), size)  # fits an integer
        wanted = tf.maximum(tf.cast(wanted, tf.int32), self.min_lags)
        return tf.minimum(wanted, length)

    def _lags(
        self,
        correlations: tf.Tensor,
        level: tf.Tensor,
        length: tf.Tensor | int,
        training: bool,
    ) -> Lags:
        """The lags of the largest correlations; `level` is added to those of all."""
        shared = training if self.shared_lags is None else self.shared_lags
        count = self.num_lags(length)
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


def _length(query: tf.Tensor) -> tf.Tensor | int:
    return tf.shape(query)[1] if query.shape[1] is None else query.shape[1]


def _checked(*tensors: tf.Tensor) -> list[tf.Tensor]:
    """Query, key and value."""
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
