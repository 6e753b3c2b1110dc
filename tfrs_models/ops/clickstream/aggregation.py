"""One number out of those of an object's parts, and soft forms of it."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

AGGREGATORS = ("mean", "max", "min")
_SEGMENTS = {
    "mean": tf.math.unsorted_segment_mean,
    "max": tf.math.unsorted_segment_max,
    "min": tf.math.unsorted_segment_min,
}
_LEAST_WEIGHT = 1e-10


def check_aggregator(mode: str, name: str = "mode") -> None:
    """Raises a `ValueError` that lists what an aggregator can be."""
    if mode not in AGGREGATORS:
        raise ValueError(f"`{name}` must be one of {AGGREGATORS}. Got {mode!r}.")


def aggregate_ranks(
    ranks: Sequence[float],
    mode: str = "mean",
    if_empty_value: float = 0.0,
    if_zeroes_value: float = 0.0,
) -> float:
    """Mean, largest or smallest rank of an object's parts.

    Args:
      ranks: Of the parts.
      mode: "mean", "max" or "min".
      if_empty_value: Of an object without parts.
      if_zeroes_value: The mean of ranks whose sum is 0.

    Raises:
      ValueError: an unknown mode.
    """
    check_aggregator(mode)
    values = [float(rank) for rank in ranks]
    if not values:
        return if_empty_value
    if mode != "mean":
        return max(values) if mode == "max" else min(values)
    total = sum(values)
    return total / len(values) if total else if_zeroes_value


def aggregate_clicks(group_clicks: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """An object was clicked where one of its parts was.

    Args:
      group_clicks: Object -> the clicks of its parts, 0 or 1.
    """
    return {
        group: int(max(clicks, default=0)) for group, clicks in group_clicks.items()
    }


def segment_ranks(
    ranks: tf.Tensor, objects: tf.Tensor, num_objects: tf.Tensor, mode: str
) -> tf.Tensor:
    """`aggregate_ranks` of many objects at once, differentiable.

    Args:
      ranks: `[num_parts]`.
      objects: `[num_parts]` numbers of the parts' objects.
      num_objects: Scalar.
      mode: "mean", "max" or "min".

    Returns:
      `[num_objects]`; what an object without parts has is not defined.
    """
    return _SEGMENTS[mode](ranks, objects, num_objects)


def differentiable_extreme(
    x: tf.Tensor, beta: float = 1e5, mode: str = "max"
) -> tf.Tensor:
    """`sum(softmax(beta x) x)`, of `-beta` for the smallest.

    Args:
      x: `[n]`.
      beta: How hard the extreme is; of 10 to 100 more than the winner gets a gradient.
      mode: "max" or "min".

    Raises:
      ValueError: an unknown mode.
    """
    if mode not in ("max", "min"):
        raise ValueError(f"`mode` must be 'max' or 'min'. Got {mode!r}.")
    x = tf.convert_to_tensor(x, dtype_hint=tf.float32)
    sign = 1.0 if mode == "max" else -1.0
    return tf.reduce_sum(tf.nn.softmax(sign * beta * x) * x)


def soft_indicator(
    x: tf.Tensor, threshold: float = 0.01, steepness: float = 100.0
) -> tf.Tensor:
    """`sigmoid(steepness (threshold - |x|))`: close to 1 where `x` is small.

    Args:
      x: `[n]`.
      threshold: Where it is one half.
      steepness: How fast it falls.
    """
    x = tf.convert_to_tensor(x, dtype_hint=tf.float32)
    return tf.sigmoid(steepness * (threshold - tf.abs(x)))


def differentiable_mean_small_values(
    x: tf.Tensor, threshold: float = 0.01, steepness: float = 100.0
) -> tf.Tensor:
    """The mean of `|x|` weighted by `soft_indicator`: of the small ones only.

    Args:
      x: `[n]`.
      threshold: Of the indicator.
      steepness: Of the indicator.
    """
    x = tf.convert_to_tensor(x, dtype_hint=tf.float32)
    weight = soft_indicator(x, threshold, steepness)
    return tf.reduce_sum(tf.abs(x) * weight) / (tf.reduce_sum(weight) + _LEAST_WEIGHT)
