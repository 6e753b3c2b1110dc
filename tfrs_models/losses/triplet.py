"""Triplet losses: a positive should be nearer than a negative."""

import tensorflow as tf

from tfrs_models.losses.embeddings import (
    all_distances,
    check_distance,
    read_embeddings,
    read_row_labels,
    row_distances,
)
from tfrs_models.losses.margin_ranking import check_margin

MINING = ("all", "hard", "semi_hard")


def triplet_loss(
    anchor: tf.Tensor,
    positive: tf.Tensor,
    negative: tf.Tensor,
    margin: float = 1.0,
    *,
    distance: str = "squared_euclidean",
) -> tf.Tensor:
    """Computes `max(0, d(a, p) - d(a, n) + margin)` of given triplets.

    Args:
      anchor: `[batch, embedding_dim]` embeddings.
      positive: `[batch, embedding_dim]` embeddings that should be near the anchors.
      negative: `[batch, embedding_dim]` embeddings that should be far from the anchors.
      margin: lead of the positive over the negative, below which a triplet costs.
      distance: `"squared_euclidean"`, `"euclidean"` or `"cosine"`, `1 - cos`.

    Returns:
      `[batch]` loss.

    Raises:
      ValueError: an unknown distance, a negative margin, or shapes that differ.

    Example:
      >>> anchor, positive, negative = [[0.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.5]]
      >>> tm.losses.triplet_loss(anchor, positive, negative, margin=1.0).numpy()
      array([0.75], dtype=float32)

    Reference:
      Schroff et al., FaceNet: a unified embedding for face recognition and clustering,
      CVPR 2015.
    """
    check_distance(distance)
    check_margin(margin)
    anchor, positive, negative = read_embeddings(
        anchor=anchor, positive=positive, negative=negative
    )
    near = row_distances(anchor, positive, distance=distance)
    far = row_distances(anchor, negative, distance=distance)
    return tf.nn.relu(near - far + margin)


def batch_triplet_loss(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    margin: float = 1.0,
    *,
    mining: str = "semi_hard",
    distance: str = "squared_euclidean",
) -> tf.Tensor:
    """Computes `max(0, d(a, p) - d(a, n) + margin)` over triplets of the batch.

    Every row is an anchor; its positives are the other rows of its label, its negatives
    the rows of other labels. Takes `[batch, batch]` of memory, not its cube.

    Args:
      embeddings: `[batch, embedding_dim]` embeddings.
      labels: `[batch]` labels of any dtype.
      margin: lead of the positive over the negative, below which a triplet costs.
      mining: `"all"`: the mean over the triplets of the batch whose loss is not 0;
        `"hard"`: the farthest positive and the nearest negative of every anchor;
        `"semi_hard"`: for each positive the nearest negative that is farther than it,
        or the farthest negative if none is, and the mean over the anchor's positives.
      distance: `"squared_euclidean"`, `"euclidean"` or `"cosine"`, `1 - cos`.

    Returns:
      `[batch]` loss of the anchors; 0 where an anchor has no positive or no negative.
      For `"all"` scaled so that the mean over the batch is that over the triplets.

    Raises:
      ValueError: an unknown option, a negative margin, or shapes that differ.

    Example:
      >>> embeddings, labels = [[0.0], [1.0], [3.0], [5.0]], ["a", "a", "b", "b"]
      >>> tm.losses.batch_triplet_loss(embeddings, labels, margin=6.0).numpy()
      array([0., 3., 1., 0.], dtype=float32)

    Reference:
      Schroff et al., FaceNet: a unified embedding for face recognition and clustering,
      CVPR 2015 (semi-hard); Hermans et al., In defense of the triplet loss for person
      re-identification, 2017 (all, hard).
    """
    if mining not in MINING:
        raise ValueError(f"`mining` must be one of {MINING}. Got {mining!r}.")
    check_distance(distance)
    check_margin(margin)
    (embeddings,) = read_embeddings(embeddings=embeddings)
    labels = read_row_labels(labels, embeddings)
    apart = all_distances(embeddings, distance=distance)
    negatives = tf.not_equal(labels[:, None], labels[None, :])
    positives = ~negatives & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    has_negative = tf.reduce_any(negatives, axis=1)
    positives &= has_negative[:, None]
    if mining == "hard":
        far, near = apart.dtype.max, apart.dtype.min
        farthest = tf.reduce_max(tf.where(positives, apart, near), axis=1)
        nearest = tf.reduce_min(tf.where(negatives, apart, far), axis=1)
        has_triplet = tf.reduce_any(positives, axis=1)
        losses = tf.nn.relu(
            tf.where(has_triplet, farthest, 0)
            - tf.where(has_triplet, nearest, 0)
            + margin
        )
        return tf.where(has_triplet, losses, 0)
    if mining == "semi_hard":
        beyond = _next_farther(apart, negatives)
        losses = tf.where(positives, tf.nn.relu(apart - beyond + margin), 0)
        numbers = tf.reduce_sum(tf.cast(positives, apart.dtype), axis=1)
        return tf.math.divide_no_nan(tf.reduce_sum(losses, axis=1), numbers)
    losses, numbers = _sums_over_nearer(apart, apart + margin, negatives)
    losses = tf.reduce_sum(tf.where(positives, losses, 0), axis=1)
    number = tf.reduce_sum(tf.where(positives, numbers, 0))
    return tf.math.divide_no_nan(
        losses * tf.cast(tf.shape(labels)[0], losses.dtype), number
    )


def _sorted(apart: tf.Tensor, negatives: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the negatives' distances of every row, ascending, and their number.

    `dtype.max` follows the distances.
    """
    ordered = tf.sort(tf.where(negatives, apart, apart.dtype.max), axis=1)
    return ordered, tf.math.count_nonzero(negatives, axis=1, dtype=tf.int32)


def _next_farther(apart: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """Returns the distance of the nearest negative that is farther than each row.

    `[batch, batch]`; the distance of the farthest negative if none is farther.
    """
    ordered, numbers = _sorted(apart, negatives)
    index = tf.searchsorted(ordered, apart, side="right")
    last = tf.maximum(numbers - 1, 0)
    return tf.gather(ordered, tf.minimum(index, last[:, None]), batch_dims=1)


def _sums_over_nearer(
    apart: tf.Tensor, reach: tf.Tensor, negatives: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `sum_n max(0, reach - d(a, n))` and the number of terms above 0.

    Both are `[batch, batch]`, for every anchor and each of its reaches.
    """
    ordered, numbers = _sorted(apart, negatives)
    index = tf.searchsorted(ordered, reach, side="left")
    index = tf.minimum(index, numbers[:, None])
    counted = tf.range(tf.shape(ordered)[1])[None, :] < numbers[:, None]
    sums = tf.cumsum(tf.where(counted, ordered, 0), axis=1)
    sums = tf.gather(tf.pad(sums, [[0, 0], [1, 0]]), index, batch_dims=1)
    count = tf.cast(index, reach.dtype)
    return count * reach - sums, count
