"""The loss of a positive that is not nearer than a negative."""

import tensorflow as tf

from tfrs_models.losses.embeddings import (
    all_distances,
    check_distance,
    read_embeddings,
    read_row_labels,
    row_distances,
)
from tfrs_models.losses.margin_ranking import check_margin


def triplet_loss(
    anchor: tf.Tensor,
    positive: tf.Tensor,
    negative: tf.Tensor,
    margin: float = 1.0,
    *,
    distance: str = "squared_euclidean",
) -> tf.Tensor:
    """`max(0, d(a, p) - d(a, n) + margin)`.

    Args:
      anchor: `[batch, embedding_dim]`.
      positive: `[batch, embedding_dim]`.
      negative: `[batch, embedding_dim]`.
      margin: By how much the positive should be nearer.
      distance: `"squared_euclidean"`, `"euclidean"` or `"cosine"`, `1 - cos`.

    Returns:
      `[batch]`.

    Raises:
      ValueError: an unknown distance, or shapes that differ.

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


MINING = ("all", "hard", "semi_hard")


def batch_triplet_loss(
    embeddings: tf.Tensor,
    labels: tf.Tensor,
    margin: float = 1.0,
    *,
    mining: str = "semi_hard",
    distance: str = "squared_euclidean",
) -> tf.Tensor:
    """`max(0, d(a, p) - d(a, n) + margin)` over triplets of the batch.

    Every row is an anchor; its positives are the other rows of its label, its negatives
    the rows of other labels. Takes `[batch, batch]` of memory, not its cube.

    Args:
      embeddings: `[batch, embedding_dim]`.
      labels: `[batch]` of any dtype.
      margin: By how much the positive should be nearer.
      mining: `"all"`: the mean over the triplets of the batch whose loss is not 0;
        `"hard"`: the farthest positive and the nearest negative of every anchor;
        `"semi_hard"`: for each positive the nearest negative that is farther than it,
        the farthest negative where none is, and the mean over the anchor's positives.
      distance: `"squared_euclidean"`, `"euclidean"` or `"cosine"`, `1 - cos`.

    Returns:
      `[batch]` loss of the anchors; 0 where an anchor has no positive or no negative.
      For `"all"` scaled so that the mean over the batch is that over the triplets.

    Raises:
      ValueError: an unknown option, or shapes that differ.

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
    """The negatives' distances of every row, ascending, and how many there are.

    Behind them comes `dtype.max`.
    """
    ordered = tf.sort(tf.where(negatives, apart, apart.dtype.max), axis=1)
    return ordered, tf.math.count_nonzero(negatives, axis=1, dtype=tf.int32)


def _next_farther(apart: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """`[batch, batch]` distance of the nearest negative that is farther than each row.

    That of the farthest negative where none is.
    """
    ordered, numbers = _sorted(apart, negatives)
    place = tf.searchsorted(ordered, apart, side="right")
    last = tf.maximum(numbers - 1, 0)
    return tf.gather(ordered, tf.minimum(place, last[:, None]), batch_dims=1)


def _sums_over_nearer(
    apart: tf.Tensor, reach: tf.Tensor, negatives: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """`sum_n max(0, reach - d(a, n))` and how many of its terms are not 0.

    Both `[batch, batch]`, for every anchor and every reach of it.
    """
    ordered, numbers = _sorted(apart, negatives)
    place = tf.searchsorted(ordered, reach, side="left")
    place = tf.minimum(place, numbers[:, None])
    counted = tf.range(tf.shape(ordered)[1])[None, :] < numbers[:, None]
    sums = tf.cumsum(tf.where(counted, ordered, 0), axis=1)
    sums = tf.gather(tf.pad(sums, [[0, 0], [1, 0]]), place, batch_dims=1)
    count = tf.cast(place, reach.dtype)
    return count * reach - sums, count
