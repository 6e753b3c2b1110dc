"""Lists of items with labels and scores, padded to one length."""

from typing import NamedTuple

import tensorflow as tf


class Lists(NamedTuple):
    """Lists that have been checked.

    Attributes:
      labels: `[batch, list_size]` relevance, 0 where there is no item.
      scores: `[batch, list_size]` float32 or float64, 0 where there is no item.
      valid: `[batch, list_size]` bool, True where there is an item.
    """

    labels: tf.Tensor
    scores: tf.Tensor
    valid: tf.Tensor


def read_lists(
    labels: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None = None
) -> Lists:
    """Checks labels and scores, and blanks the places that hold no item.

    Args:
      labels: `[batch, list_size]` relevance, 0 or more; -1 marks padding.
      scores: `[batch, list_size]`; half precision becomes float32.
      mask: `[batch, list_size]` bool, False where there is no item, whatever the label
        and the score there.

    Raises:
      ValueError: shapes that differ.
      tf.errors.InvalidArgumentError: a label that is neither 0 or more nor -1, or
        shapes that turn out to differ.
    """
    scores, valid = read_scores(scores, mask)
    labels = same_lists("labels", labels, scores)
    padding = tf.equal(labels, -1)
    wrong = valid & ~(padding | (labels >= 0))  # a NaN is wrong too
    tf.debugging.Assert(
        ~tf.reduce_any(wrong),
        [
            "`labels` must be 0 or more, or exactly -1 for padding. Got",
            tf.reduce_min(tf.where(wrong, labels, 0)),
        ],
    )
    valid &= ~padding
    return Lists(tf.where(valid, labels, 0), tf.where(valid, scores, 0), valid)


def read_scores(
    scores: tf.Tensor, mask: tf.Tensor | None = None, *, name: str = "scores"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Checks scores without labels.

    Args:
      scores: `[batch, list_size]`.
      mask: `[batch, list_size]` bool, False where there is no item.
      name: What errors call the scores.

    Returns:
      The scores in float32 or float64, 0 where there is no item, and where there is
      one, `[batch, list_size]` each.
    """
    scores = tf.convert_to_tensor(scores)
    if scores.shape.rank != 2:
        raise ValueError(
            f"`{name}` must be [batch, list_size]. Got the shape {scores.shape}."
        )
    if scores.dtype != tf.float64:
        scores = tf.cast(scores, tf.float32)
    if mask is None:
        return scores, tf.ones_like(scores, tf.bool)
    mask = tf.convert_to_tensor(mask)
    if mask.dtype != tf.bool:
        raise ValueError(f"`mask` must be bool. Got {mask.dtype.name}.")
    mask = same_lists("mask", mask, scores, dtype=tf.bool)
    return tf.where(mask, scores, 0), mask


def same_lists(
    name: str, values: tf.Tensor, scores: tf.Tensor, *, dtype: tf.DType | None = None
) -> tf.Tensor:
    """Checks that values belong to the same lists as scores.

    Args:
      name: What errors call the values.
      values: `[batch, list_size]`.
      scores: `[batch, list_size]`.
      dtype: Of the result; that of the scores where None.

    Returns:
      `[batch, list_size]` the values.
    """
    values = tf.convert_to_tensor(values)
    rule = f"`{name}` must have the shape of the scores, [batch, list_size]."
    if not values.shape.is_compatible_with(scores.shape):
        raise ValueError(f"{rule} Got {values.shape} and {scores.shape}.")
    if not (values.shape.is_fully_defined() and scores.shape.is_fully_defined()):
        tf.debugging.assert_equal(tf.shape(values), tf.shape(scores), message=rule)
    return tf.cast(values, dtype or scores.dtype)
