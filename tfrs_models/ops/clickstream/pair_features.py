"""Pairs of a clicked and an unclicked result, as equally long vectors."""

from typing import NamedTuple

import tensorflow as tf


class FineTuningFeatures(NamedTuple):
    """What a loss compares: one row for each (positive, negative) pair.

    Attributes:
      positive_ranks: `[num_pairs]` float32, of what was clicked.
      negative_ranks: `[num_pairs]` float32, of what was shown and not clicked.
      target: `[num_pairs]` float32, 1 where a larger rank is better, -1 where a smaller
        one is.
      positive_confidences: `[num_pairs]` float32 trust in the click.
      negative_confidences: `[num_pairs]` float32 trust in the missing click.
    """

    positive_ranks: tf.Tensor | None = None
    negative_ranks: tf.Tensor | None = None
    target: tf.Tensor | None = None
    positive_confidences: tf.Tensor | None = None
    negative_confidences: tf.Tensor | None = None


def make_features(
    positive_ranks: tf.Tensor | None = None,
    negative_ranks: tf.Tensor | None = None,
    target: tf.Tensor | None = None,
    positive_confidences: tf.Tensor | None = None,
    negative_confidences: tf.Tensor | None = None,
) -> FineTuningFeatures:
    """Checked features; a column that is not given stays absent.

    Args:
      positive_ranks: `[num_pairs]`.
      negative_ranks: `[num_pairs]`.
      target: `[num_pairs]`.
      positive_confidences: `[num_pairs]`.
      negative_confidences: `[num_pairs]`.

    Returns:
      The columns in float32.

    Raises:
      TypeError: a column that is not made of numbers.
      ValueError: a column that is not `[num_pairs]`, or columns of different lengths.
    """
    given = FineTuningFeatures(
        positive_ranks,
        negative_ranks,
        target,
        positive_confidences,
        negative_confidences,
    )
    columns = {
        name: _column(name, values)
        for name, values in given._asdict().items()
        if values is not None
    }
    lengths = {name: values.shape[0] for name, values in columns.items()}
    if len({length for length in lengths.values() if length is not None}) > 1:
        raise ValueError(f"Columns of pairs must be equally long. Got {lengths}.")
    return FineTuningFeatures(**columns)


def concat_features(
    a: FineTuningFeatures | None, b: FineTuningFeatures | None
) -> FineTuningFeatures:
    """The rows of both, in this order; what is absent contributes nothing.

    Args:
      a: Pairs.
      b: Pairs.
    """
    sides = [f for f in (a, b) if f is not None and any(c is not None for c in f)]
    if len(sides) < 2:
        return sides[0] if sides else FineTuningFeatures()
    return FineTuningFeatures(
        *(
            tf.concat([c for c in columns if c is not None], axis=0)
            if any(c is not None for c in columns)
            else None
            for columns in zip(*sides, strict=True)
        )
    )


def clamp_diff(f: FineTuningFeatures, lo: float, hi: float) -> FineTuningFeatures:
    """The pairs with `lo < |positive - negative| < hi`.

    Args:
      f: Pairs; unchanged where a rank is absent.
      lo: Differences up to this are dropped.
      hi: Differences from this are dropped.

    Raises:
      ValueError: no difference could pass.
    """
    check_band(lo, hi)
    if f.positive_ranks is None or f.negative_ranks is None:
        return f
    kept = in_band(f, lo, hi)
    return FineTuningFeatures(
        *(None if column is None else tf.boolean_mask(column, kept) for column in f)
    )


def in_band(f: FineTuningFeatures, lo: float, hi: float) -> tf.Tensor:
    """Which pairs `clamp_diff` keeps, `[num_pairs]` bool."""
    difference = tf.abs(f.positive_ranks - f.negative_ranks)
    return (difference > lo) & (difference < hi)


def check_band(lo: float, hi: float) -> None:
    """Raises a `ValueError` where no difference is between the thresholds."""
    if not lo >= 0:
        raise ValueError(
            f"`min_abs_difference_threshold` must not be negative. Got {lo}."
        )
    if not hi > 0:
        raise ValueError(f"`max_abs_difference_threshold` must be above 0. Got {hi}.")
    if not lo < hi:
        raise ValueError(
            "`min_abs_difference_threshold` must be below "
            f"`max_abs_difference_threshold`: no pair is between them. Got {lo} and "
            f"{hi}."
        )


def use_positive_from(
    irrelevant: FineTuningFeatures, relevant: FineTuningFeatures
) -> FineTuningFeatures:
    """Pairs the negatives of a search without a click with clicks of another.

    Args:
      irrelevant: Of the search without a click: negatives and targets.
      relevant: Of the other one.

    Returns:
      As many pairs as the shorter side has rows, from the front of both.
    """
    n = tf.minimum(
        tf.shape(irrelevant.negative_ranks)[0], tf.shape(relevant.positive_ranks)[0]
    )
    return FineTuningFeatures(
        relevant.positive_ranks[:n],
        irrelevant.negative_ranks[:n],
        irrelevant.target[:n],
        relevant.positive_confidences[:n],
        irrelevant.negative_confidences[:n],
    )


def _column(name: str, values: object) -> tf.Tensor:
    try:
        values = tf.convert_to_tensor(values)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be numbers. Got {values!r}.") from error
    if not (values.dtype.is_floating or values.dtype.is_integer):
        raise TypeError(f"`{name}` must be numbers. Got {values.dtype.name}.")
    if values.shape.rank != 1:
        raise ValueError(f"`{name}` must be [num_pairs]. Got shape {values.shape}.")
    return tf.cast(values, tf.float32)
