"""Leaves excluded candidates out of a list of retrieved ones."""

import tensorflow as tf

from tfrs_models.ops.ranks.lookup import comparable
from tfrs_models.types import Tensor


def keep_allowed(
    scores: tf.Tensor, identifiers: tf.Tensor, exclusions: Tensor, *, k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The first `k` candidates of each row that are not excluded.

    Args:
      scores: `[batch, num_retrieved]`, descending.
      identifiers: `[batch, num_retrieved]`.
      exclusions: `[batch, None]` ids, dense or ragged; repeats are harmless.
      k: How many to keep.

    Returns:
      Scores and identifiers `[batch, min(k, num_retrieved)]`. A place for which no
      candidate is left has the score `-inf` and the id -1, or "" for strings.
    """
    excluded, given = dense_exclusions(exclusions, identifiers.dtype)
    own = comparable(identifiers, excluded.dtype)
    same = tf.equal(own[:, :, None], excluded[:, None, :])
    out = tf.reduce_any(same & given[:, None, :], axis=2)
    scores = tf.where(out, -float("inf"), scores)
    scores, places = tf.math.top_k(scores, k=tf.minimum(k, tf.shape(scores)[1]))
    return blank_missing(scores, tf.gather(identifiers, places, batch_dims=1))


def blank_missing(
    scores: tf.Tensor, identifiers: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Replaces the ids of places without a candidate (score `-inf`) by -1 or ""."""
    none = "" if identifiers.dtype == tf.string else -1
    missing = tf.constant(none, identifiers.dtype)
    return scores, tf.where(is_missing(scores), missing, identifiers)


def is_missing(scores: tf.Tensor) -> tf.Tensor:
    """Where there is no candidate: the score `-inf`, and no other."""
    return scores == tf.constant(-float("inf"), scores.dtype)


def pad_places(
    scores: tf.Tensor, identifiers: tf.Tensor, *, k: int | tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Appends places without a candidate until there are `k`."""
    missing = tf.maximum(k - tf.shape(scores)[-1], 0)
    leading = tf.zeros([tf.rank(scores) - 1, 2], tf.int32)
    paddings = tf.concat([leading, [[0, missing]]], axis=0)
    scores = tf.pad(scores, paddings, constant_values=-float("inf"))
    blank = tf.constant("" if identifiers.dtype == tf.string else 0)
    blank = tf.cast(blank, identifiers.dtype)
    identifiers = tf.pad(identifiers, paddings, constant_values=blank)
    return blank_missing(scores, identifiers)


def dense_exclusions(
    exclusions: Tensor, dtype: tf.DType
) -> tuple[tf.Tensor, tf.Tensor]:
    """Exclusions as a `[batch, width]` matrix and the mask of its real entries."""
    if isinstance(exclusions, tf.RaggedTensor):
        width = exclusions.bounding_shape(axis=1)
        given = tf.sequence_mask(exclusions.row_lengths(), width)
        exclusions = exclusions.with_values(comparable(exclusions.values, dtype))
        return exclusions.to_tensor(), given
    exclusions = comparable(exclusions, dtype)
    return exclusions, tf.ones_like(exclusions, tf.bool)
