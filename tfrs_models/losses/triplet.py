"""The loss of a positive that is not nearer than a negative."""

import tensorflow as tf

from tfrs_models.losses.embeddings import (
    check_distance,
    read_embeddings,
    row_distances,
)
from tfrs_models.losses.margins import check_margin


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
