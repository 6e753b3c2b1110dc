"""Checks and distances of the embeddings that losses compare."""

import numpy as np
import tensorflow as tf

DISTANCES = ("squared_euclidean", "euclidean", "cosine")
_ULPS = 16  # rounding leaves squares below so many for two equal vectors


def read_embeddings(**embeddings: tf.Tensor) -> list[tf.Tensor]:
    """Checks embeddings that belong together row by row.

    Args:
      **embeddings: `[batch, embedding_dim]` each, by their names in errors.

    Returns:
      The embeddings in float32 or float64.

    Raises:
      ValueError: shapes that differ.
    """
    values = [tf.convert_to_tensor(value) for value in embeddings.values()]
    shapes = [value.shape for value in values]
    if not all(s.rank == 2 and s.is_compatible_with(shapes[0]) for s in shapes):
        names = ", ".join(f"`{name}`" for name in embeddings)
        raise ValueError(
            f"{names} must be [batch, embedding_dim], one shape for all. Got "
            f"{', '.join(map(str, shapes))}."
        )
    for value in values[1:]:
        if not (value.shape.is_fully_defined() and shapes[0].is_fully_defined()):
            tf.debugging.assert_equal(
                tf.shape(value),
                tf.shape(values[0]),
                f"{', '.join(embeddings)} must have one shape for all.",
            )
    wide = any(value.dtype == tf.float64 for value in values)
    return [tf.cast(value, tf.float64 if wide else tf.float32) for value in values]


def read_row_labels(labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
    """Checks that there is one label for each row.

    Args:
      labels: `[batch]` labels of any dtype.
      embeddings: `[batch, embedding_dim]` embeddings.

    Returns:
      The labels as a tensor.

    Raises:
      ValueError: shapes that differ.
      tf.errors.InvalidArgumentError: sizes that turn out to differ.
    """
    labels = tf.convert_to_tensor(labels)
    rows = embeddings.shape[:1]
    if labels.shape.rank != 1 or not labels.shape.is_compatible_with(rows):
        raise ValueError(
            f"`labels` must be [batch], a label for each of {rows[0]} embeddings. Got "
            f"the shape {labels.shape}."
        )
    tf.debugging.assert_equal(
        tf.shape(labels),
        tf.shape(embeddings)[:1],
        "`labels` must have a label for each row.",
    )
    return labels


def check_distance(distance: str) -> None:
    """Raises a `ValueError` for an unknown distance."""
    if distance not in DISTANCES:
        raise ValueError(f"`distance` must be one of {DISTANCES}. Got {distance!r}.")


def row_distances(left: tf.Tensor, right: tf.Tensor, *, distance: str) -> tf.Tensor:
    """Computes `[batch]` distances of the rows of two `[batch, embedding_dim]`."""
    if distance == "cosine":
        return 1 - tf.reduce_sum(_directions(left) * _directions(right), axis=1)
    squares = tf.reduce_sum((left - right) ** 2, axis=1)
    return squares if distance == "squared_euclidean" else _root(squares)


def all_distances(embeddings: tf.Tensor, *, distance: str) -> tf.Tensor:
    """Computes `[batch, batch]` distances of all rows of `[batch, embedding_dim]`."""
    if distance == "cosine":
        directions = _directions(embeddings)
        return 1 - tf.matmul(directions, directions, transpose_b=True)
    # Far from the origin the squares of differences would drown in those of lengths.
    embeddings -= tf.stop_gradient(tf.reduce_mean(embeddings, axis=0))
    lengths = tf.reduce_sum(embeddings**2, axis=1)
    lengths = lengths[:, None] + lengths[None, :]
    squares = lengths - 2 * tf.matmul(embeddings, embeddings, transpose_b=True)
    rounding = _ULPS * np.finfo(squares.dtype.as_numpy_dtype).eps
    squares = tf.where(squares > rounding * lengths, squares, 0)
    return squares if distance == "squared_euclidean" else _root(squares)


def _root(squares: tf.Tensor) -> tf.Tensor:
    """Computes the square root, with a gradient of 0 at 0."""
    apart = squares > 0
    return tf.where(apart, tf.sqrt(tf.where(apart, squares, 1)), 0)


def _directions(embeddings: tf.Tensor) -> tf.Tensor:
    """Scales vectors to length 1; a vector of zeros stays as it is."""
    lengths = _root(tf.reduce_sum(embeddings**2, axis=1, keepdims=True))
    return embeddings / tf.where(lengths > 0, lengths, 1)
