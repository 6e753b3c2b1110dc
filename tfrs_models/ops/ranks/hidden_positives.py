"""The rule for a positive that is itself among the exclusions of its query."""

import tensorflow as tf

from tfrs_models.ops.ranks.lookup import comparable

MISS, LEAVE_OUT = "miss", "leave-out"


def hidden_positives(
    positives: tf.Tensor, exclusions: tf.RaggedTensor | None
) -> tf.Tensor:
    """Finds the positives that are among the exclusions of their own query.

    An item that is excluded is not recommended. The rank of such a positive among the
    items that are not excluded would be better than any answer that is served, and best
    for a model that only tells the user's own items from the others. So a hidden
    positive has no rank: it is a miss, or its query is left out of the metrics and
    counted.

    Args:
      positives: ids or row numbers of the positives, `[batch]`.
      exclusions: ids or row numbers of the same kind, `[batch, None]`; None for none.

    Returns:
      `[batch]` bool.
    """
    if exclusions is None:
        return tf.zeros_like(positives, tf.bool)
    owners = exclusions.value_rowids()
    own = tf.gather(positives, owners)
    same = tf.equal(
        comparable(exclusions.values, own.dtype), comparable(own, exclusions.dtype)
    )
    same = tf.cast(same, tf.int32)
    return tf.math.unsorted_segment_sum(same, owners, tf.shape(positives)[0]) > 0


def check_hidden(hidden: str) -> str:
    """Returns `hidden`, or raises a `ValueError` that lists the choices."""
    if hidden not in (MISS, LEAVE_OUT):
        raise ValueError(
            f"`hidden` must be {MISS!r} or {LEAVE_OUT!r}: what a positive counts that "
            f"is among the exclusions of its query. Got {hidden!r}."
        )
    return hidden
