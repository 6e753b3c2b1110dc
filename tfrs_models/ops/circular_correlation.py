"""Correlations of series that begin again where they end, by Fourier transforms."""

import tensorflow as tf


def spectrum(series: tf.Tensor, length: tf.Tensor | int) -> tf.Tensor:
    """The transform of series along time, from a length that all of them have.

    Args:
      series: `[batch, seq_len, ...]` floating; cut off after `length` steps, or
        followed by zeros up to them.
      length: Steps.

    Returns:
      `[batch, ..., length // 2 + 1]` complex64, frequencies last. There are no
      transforms of half precision: those of a float16 are those of its float32.
    """
    around, mean = _around_mean(series, length)
    level = tf.cast(mean * tf.cast(length, tf.float32), tf.complex64)
    # A large mean would leave rounding of its own size on every other frequency.
    return tf.concat([level, tf.signal.rfft(around)[..., 1:]], axis=-1)


def correlation(
    left: tf.Tensor, right: tf.Tensor, length: tf.Tensor | int
) -> tf.Tensor:
    """`R[lag] = sum_t left[(t + lag) mod length] right[t]` of two spectra.

    Args:
      left: `[..., length // 2 + 1]`, of `spectrum`.
      right: The same.
      length: Steps of the series; the transform back of an odd number would be another
        one without it.

    Returns:
      `[..., length]` float32.
    """
    return tf.signal.irfft(left * tf.math.conj(right), fft_length=[length])


def mean_correlation(
    left: tf.Tensor, right: tf.Tensor, length: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean of `correlation` over all channels, with one transform for all of them.

    The means of the series add the same to every lag. That is apart: beside a large one
    float32 would not tell the lags from each other.

    Args:
      left: `[batch, ..., length // 2 + 1]`, of `spectrum`.
      right: The same.
      length: Steps of the series.

    Returns:
      How much each lag is above the mean of all lags, `[batch, length]` float32, and
      that mean, `[batch, 1]` float32.
    """
    channels = list(range(1, left.shape.rank - 1))
    mean = tf.reduce_mean(left * tf.math.conj(right), axis=channels)
    level = tf.math.real(mean[:, :1]) / tf.cast(length, tf.float32)
    mean = tf.concat([tf.zeros_like(mean[:, :1]), mean[:, 1:]], axis=1)
    return tf.signal.irfft(mean, fft_length=[length]), level


def rolled_sum(
    values: tf.Tensor,
    delays: tf.Tensor,
    weights: tf.Tensor,
    *,
    length: tf.Tensor | int,
    direction: int = 1,
) -> tf.Tensor:
    """`out[t] = sum_i weights[i] values[(t + direction delays[i]) mod length]`.

    The weights at their delays are a series too, and the sum is one more correlation:
    time and memory do not grow with the number of delays. In return a value reaches all
    steps of its row and channel: a NaN makes all of them NaN, and one that is far from
    the mean leaves about 1e-7 of its size on each.

    Args:
      values: `[batch, seq_len, ...]`; cut off or followed by zeros as in `spectrum`.
      delays: `[batch, num_delays]` int32 in `[0, length)`.
      weights: `[batch, num_delays]` float32.
      length: Steps of the output.
      direction: 1, or -1 to look back.

    Returns:
      `[batch, length, ...]` float32, differentiable by values and weights.
    """
    batch, count = tf.unstack(tf.shape(delays))
    rows = tf.tile(tf.range(batch)[:, None], [1, count])
    places = tf.stack([rows, delays], axis=2)
    comb = tf.signal.rfft(tf.scatter_nd(places, weights, [batch, length]))
    comb = tf.math.conj(comb) if direction == 1 else comb
    rank = values.shape.rank
    channels = (slice(None), *[None] * (rank - 2), slice(None))
    around, mean = _around_mean(values, length)
    out = tf.signal.irfft(tf.signal.rfft(around) * comb[channels], fft_length=[length])
    out += mean * tf.reduce_sum(weights, axis=1, keepdims=True)[channels]
    return tf.transpose(out, [0, rank - 1, *range(1, rank - 1)])


def _around_mean(
    series: tf.Tensor, length: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Series of a length around their means over time, time last, and these means."""
    series = tf.cast(series, tf.float32)[:, :length]
    missing = length - tf.shape(series)[1]
    rank = series.shape.rank
    series = tf.pad(series, [[0, 0], [0, missing]] + [[0, 0]] * (rank - 2))
    series = tf.transpose(series, [0, *range(2, rank), 1])
    mean = tf.reduce_mean(series, axis=-1, keepdims=True)
    return series - mean, mean
