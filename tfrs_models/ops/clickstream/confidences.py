"""Confidences in clicks and missing clicks, from 0 (ignored) to 1 (trusted)."""

import tensorflow as tf

_EPSILON = 1e-9
_DECAY = 3.0
_SHIFT = 0.3
_FLOOR = 0.25


def dummy_confidences(
    ranks: tf.Tensor | tf.RaggedTensor,
    events: tf.Tensor | tf.RaggedTensor,  # noqa: ARG001  the signature of all of them
) -> tf.Tensor | tf.RaggedTensor:
    """Gives every result the full confidence 1.

    Args:
      ranks: scores of the results, `[n]` or ragged `[batch, (n)]`.
      events: clicks of the results, the same shape, 1 for a click; not used.

    Returns:
      Float32 ones of the same shape.

    Example:
      >>> tm.data.clickstream.dummy_confidences([0.9, 0.2], [1, 0]).numpy()
      array([1., 1.], dtype=float32)
    """
    return tf.ones_like(ranks, tf.float32)


def windowed_confidences(
    ranks: tf.Tensor | tf.RaggedTensor,
    events: tf.Tensor | tf.RaggedTensor,
    window_size: int = 3,
    *,
    rank_floor: float | None = None,
) -> tf.Tensor | tf.RaggedTensor:
    """Computes the confidence in each result from its neighbours on the page.

    `m` and `p` are the means of scores and clicks over the window around a result, and
    `s = |rank - m| / m`. A click has `c = (1 - s) p + (1 - p) s`, a missing click has
    `c = (1 - p) (1 - s) + p s`. This is multiplied by `exp(-3 i / n - 0.3) + 0.25` for
    the i-th of `n` positions and scaled to [0, 1] over the session. The least trusted
    result has confidence 0.

    Args:
      ranks: scores of the results in display order, `[n]` or ragged `[batch, (n)]`.
      events: clicks of the results, the same shape, 1 for a click.
      window_size: number of results in a window. It reaches half of that to each side
        and is cut at the ends; an even number reaches as far as the next odd one.
      rank_floor: least `|m|` to divide by. With None the divisor is `m` itself, which
        may be negative or close to 0.

    Returns:
      Float32 of the same shape, without gradient.

    Raises:
      ValueError: a window of fewer than two results.

    Example:
      >>> scores, clicks = [0.9, 0.8, 0.5, 0.4, 0.1], [1, 0, 0, 1, 0]
      >>> trust = tm.data.clickstream.windowed_confidences(scores, clicks)
      >>> trust.numpy().round(2)
      array([1.  , 0.86, 0.53, 0.  , 0.08], dtype=float32)
    """
    check_window(window_size)
    if isinstance(ranks, tf.RaggedTensor):
        values = _windowed(
            ranks.values, events.values, ranks.row_splits, window_size, rank_floor
        )
        return ranks.with_values(values)
    ranks = tf.convert_to_tensor(ranks, dtype_hint=tf.float32)
    splits = tf.stack([0, tf.size(ranks, tf.int64)])
    return _windowed(ranks, events, splits, window_size, rank_floor)


def check_window(window_size: int) -> None:
    """Raises `ValueError` if `window_size` is not a whole number above 1."""
    is_number = isinstance(window_size, int) and not isinstance(window_size, bool)
    if not (is_number and window_size > 1):
        raise ValueError(
            "`window_size` must be a whole number above 1: a result alone has no "
            f"neighbours. Got {window_size!r}."
        )


def _windowed(
    ranks: tf.Tensor,
    events: tf.Tensor,
    row_splits: tf.Tensor,
    window_size: int,
    rank_floor: float | None,
) -> tf.Tensor:
    """Handles all sessions at once: window sums are differences of running sums."""
    ranks, events = tf.cast(ranks, tf.float64), tf.cast(events, tf.float64)
    row_splits = tf.cast(row_splits, tf.int64)
    row = tf.ragged.row_splits_to_segment_ids(row_splits)
    num_rows = tf.size(row_splits, tf.int64) - 1
    start, limit = tf.gather(row_splits, row), tf.gather(row_splits, row + 1)
    position = tf.range(tf.size(row, tf.int64))
    half = window_size // 2
    left = tf.maximum(start, position - half)
    right = tf.minimum(limit, position + half + 1)

    def window_mean(values: tf.Tensor) -> tf.Tensor:
        sums = tf.concat([[0.0], tf.cumsum(values)], axis=0)
        total = tf.gather(sums, right) - tf.gather(sums, left)
        return total / tf.cast(right - left, total.dtype)

    mean = window_mean(ranks) + _EPSILON
    share = window_mean(events)
    scale = mean if rank_floor is None else tf.maximum(tf.abs(mean), rank_floor)
    spread = tf.abs(ranks - mean) / scale
    trust = tf.where(
        events > 0,
        (1 - spread) * share + (1 - share) * spread,
        (1 - share) * (1 - spread) + share * spread,
    )
    depth = tf.cast(position - start + 1, tf.float64) / tf.cast(
        limit - start, tf.float64
    )
    trust *= tf.exp(-_DECAY * depth - _SHIFT) + _FLOOR
    least = tf.gather(tf.math.unsorted_segment_min(trust, row, num_rows), row)
    most = tf.gather(tf.math.unsorted_segment_max(trust, row, num_rows), row)
    scaled = (trust - least) / (most - least + _EPSILON)
    return tf.stop_gradient(tf.cast(scaled, tf.float32))
