"""Lists of items with labels and scores, padded to one length."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

_RAGGED = (
    "A `mask` has no meaning beside ragged `labels`, which end with their lists: give "
    "them alone."
)


class Lists(NamedTuple):
    """Labels, scores and mask of lists, after all checks.

    Attributes:
      labels: relevance, `[batch, list_size]`, 0 where there is no item.
      scores: float32 or float64, `[batch, list_size]`, 0 where there is no item.
      valid: True where there is an item, `[batch, list_size]` bool.
    """

    labels: tf.Tensor
    scores: tf.Tensor
    valid: tf.Tensor


def split_labels(
    labels: tf.Tensor | Mapping[str, tf.Tensor], mask: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Separates labels from their mask, if both are given as one dict.

    Args:
      labels: relevance, `[batch, list_size]`; or a dict of `labels` and `mask`, the
        form of Keras RS.
      mask: True for items, `[batch, list_size]` bool, beside labels that are not a
        dict.

    Returns:
      The labels, and their mask or None.

    Raises:
      ValueError: the dict has other keys, there are two masks, or a mask is given
        beside ragged labels.
    """
    if not isinstance(labels, Mapping):
        return labels, mask
    if "labels" not in labels or set(labels) > {"labels", "mask"}:
        raise ValueError(
            "`labels` must be a tensor, or a dict of `labels` and `mask`. Got a dict "
            f"of {sorted(labels)}."
        )
    if mask is not None and labels.get("mask") is not None:
        raise ValueError("`mask` must be given once. Got it beside the dict's.")
    if labels.get("mask") is not None:
        mask = labels["mask"]
        if isinstance(mask, tf.RaggedTensor):
            raise ValueError(_RAGGED)
        mask = tf.cast(mask, tf.bool)
    if mask is not None and isinstance(labels["labels"], tf.RaggedTensor):
        raise ValueError(_RAGGED)
    return labels["labels"], mask


def read_lists(
    labels: tf.Tensor | Mapping[str, tf.Tensor],
    scores: tf.Tensor,
    mask: tf.Tensor | None = None,
) -> Lists:
    """Checks labels and scores, and sets positions without an item to 0.

    Args:
      labels: relevance, 0 or more, -1 for padding, `[batch, list_size]`; or a dict of
        `labels` and `mask`.
      scores: predicted scores, `[batch, list_size]`; half precision becomes float32.
        Ragged if the labels are ragged.
      mask: True where there is an item, `[batch, list_size]` bool; labels and scores
        at other positions do not count.

    Returns:
      The checked lists.

    Raises:
      ValueError: shapes that differ.
      tf.errors.InvalidArgumentError: a label that is neither 0 or more nor -1, or
        shapes that turn out to differ.
    """
    labels, mask = split_labels(labels, mask)
    labels, scores, mask = _dense(labels, scores, mask)
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


def _dense(
    labels: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Pads ragged lists to the longest one; returns dense lists as they are."""
    is_ragged = [isinstance(values, tf.RaggedTensor) for values in (labels, scores)]
    if not any(is_ragged):
        return labels, scores, mask
    if not all(is_ragged) or mask is not None:
        raise ValueError(
            "`labels` and `scores` must both be ragged or both be dense, and a `mask` "
            "has no meaning beside ragged ones. Got "
            f"{' and '.join(type(v).__name__ for v in (labels, scores))}"
            f"{'' if mask is None else ' with a mask'}."
        )
    check = tf.debugging.assert_equal(
        tf.cast(labels.row_lengths(), tf.int64),
        tf.cast(scores.row_lengths(), tf.int64),
        "`labels` and `scores` must be ragged lists of the same lengths.",
    )
    with tf.control_dependencies([] if check is None else [check]):
        return labels.to_tensor(-1), scores.to_tensor(0), None


def read_scores(
    scores: tf.Tensor, mask: tf.Tensor | None = None, *, name: str = "scores"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Checks scores without labels.

    Args:
      scores: predicted scores, `[batch, list_size]`.
      mask: True where there is an item, `[batch, list_size]` bool.
      name: name of the scores in errors.

    Returns:
      The scores in float32 or float64, 0 where there is no item, and bool, True where
      there is one, `[batch, list_size]` each.
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
    """Checks that values have the shape of the scores.

    Args:
      name: name of the values in errors.
      values: one value for each item, `[batch, list_size]`.
      scores: predicted scores, `[batch, list_size]`.
      dtype: dtype of the result; None for that of the scores.

    Returns:
      The values, `[batch, list_size]`.
    """
    values = tf.convert_to_tensor(values)
    rule = f"`{name}` must have the shape of the scores, [batch, list_size]."
    if not values.shape.is_compatible_with(scores.shape):
        raise ValueError(f"{rule} Got {values.shape} and {scores.shape}.")
    if not (values.shape.is_fully_defined() and scores.shape.is_fully_defined()):
        tf.debugging.assert_equal(tf.shape(values), tf.shape(scores), message=rule)
    return tf.cast(values, dtype or scores.dtype)
