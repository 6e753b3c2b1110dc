"""Circular correlations of series, by Fourier transforms."""

import tensorflow as tf


def spectrum(series: tf.Tensor, length: tf.Tensor | int) -> tf.Tensor:
    """Computes the Fourier transform of series along time, at one common length.

    Args:
      series: `[batch, seq_len, ...]` floating; cut off after `length` steps, or
        padded with zeros up to `length`.
      length: number of steps of the transformed series.

    Returns:
      `[batch, ..., length // 2 + 1]` complex64, frequencies last. TensorFlow
      has no transform of half precision: a float16 is transformed as float32.
    """
    around, mean = _around_mean(series, length)
    level = tf.cast(mean * tf.cast(length, tf.float32), tf.complex64)
    # A large mean would leave rounding of its own size on every other frequency.
    return tf.concat([level, tf.signal.rfft(around)[..., 1:]], axis=-1)


def correlation(
    left: tf.Tensor, right: tf.Tensor, length: tf.Tensor | int
) -> tf.Tensor:
    """Computes `R[lag] = sum_t left[(t + lag) mod length] right[t]` of two spectra.

    Args:
      left: spectrum of the first series, `[..., length // 2 + 1]`.
      right: spectrum of the second series, `[..., length // 2 + 1]`.
      length: number of steps of the series; spectra of an even length and of the next
        odd one have the same size.

    Returns:
      `[..., length]` float32.
    """
    return tf.signal.irfft(left * tf.math.conj(right), fft_length=[length])


def mean_correlation(
    left: tf.Tensor, right: tf.Tensor, length: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the mean of `correlation` over all channels, with one transform.

    The means of the series add the same value to every lag. That value is returned
    apart: added to the lags, a large one would round their differences away in float32.

    Args:
      left: spectrum of the first series, `[batch, ..., length // 2 + 1]`.
      right: spectrum of the second series, `[batch, ..., length // 2 + 1]`.
      length: number of steps of the series.

    Returns:
      The difference of each lag's correlation from the mean over all lags, `[batch,
      length]` float32, and that mean, `[batch, 1]` float32.
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
    """Sums `out[t] = sum_i weights[i] values[(t + direction delays[i]) mod length]`.

    The weights at their delays are a series too, and the sum is one more correlation:
    time and memory do not grow with the number of delays. In return every value has an
    effect on all steps of its row and channel: a NaN makes all of them NaN, and a value
    that is far from the mean leaves about 1e-7 of its size on each.

    Args:
      values: series to be shifted, `[batch, seq_len, ...]`; cut off after `length`
        steps or padded with zeros.
      delays: shifts in steps, `[batch, num_delays]` int32 in `[0, length)`.
      weights: weights of the shifts, `[batch, num_delays]` float32.
      length: number of steps of the output.
      direction: 1 to read later steps, -1 to read earlier ones.

    Returns:
      `[batch, length, ...]` float32, differentiable by values and weights.
    """
    batch, count = tf.unstack(tf.shape(delays))
    rows = tf.tile(tf.range(batch)[:, None], [1, count])
    indices = tf.stack([rows, delays], axis=2)
    comb = tf.signal.rfft(tf.scatter_nd(indices, weights, [batch, length]))
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
    """Series minus their means over time, with time as last axis, and these means."""
    series = tf.cast(series, tf.float32)[:, :length]
    missing = length - tf.shape(series)[1]
    rank = series.shape.rank
    series = tf.pad(series, [[0, 0], [0, missing]] + [[0, 0]] * (rank - 2))
    series = tf.transpose(series, [0, *range(2, rank), 1])
    mean = tf.reduce_mean(series, axis=-1, keepdims=True)
    return series - mean, mean
