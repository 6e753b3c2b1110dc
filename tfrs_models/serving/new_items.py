"""Embeddings of items that a recommender gets without training."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.types import Tensor

_ITEM_ID = "item_id"


def embeddings_of(
    rows: tf.Tensor,
    *,
    tower: tf.keras.layers.Layer | None,
    num_trained: int,
    features: Mapping[str, Tensor] | None,
    embeddings: Tensor | None,
    embedding_dim: int,
) -> tf.Tensor:
    """Returns the embeddings of items, given or made of their features.

    Args:
      rows: `[n]` int64 rows of the items, 0 for new items.
      tower: layer from the features to embeddings; None if there is none.
      num_trained: largest row that the tower has learned.
      features: values of the features by name, `[n, ...]`; None with `embeddings`.
      embeddings: `[n, embedding_dim]`; None with `features`.
      embedding_dim: width of the index.

    Returns:
      `[n, embedding_dim]`.

    Raises:
      ValueError: both or none are given, or they have another number of rows, another
        width or a value that is not finite.
    """
    if (features is None) == (embeddings is None):
        raise ValueError(
            "Items must come with either `features` or `embeddings`. Got "
            f"{'both' if embeddings is not None else 'none'}."
        )
    number = rows.shape[0]
    argument = "embeddings"
    if features is not None:
        argument = "features"
        embeddings = _embed(rows, tower, num_trained, features)
    embeddings = tf.convert_to_tensor(embeddings)
    if embeddings.shape != (number, embedding_dim):
        raise ValueError(
            f"`{argument}` must give [{number}, {embedding_dim}] embeddings, one for "
            f"each of `ids`. Got shape {embeddings.shape}."
        )
    is_finite = embeddings.dtype.is_floating and np.isfinite(embeddings).all()
    if not is_finite:
        raise ValueError(
            f"`{argument}` must give finite embeddings of floating numbers. Got "
            f"{embeddings.dtype.name}"
            + (" with NaN or infinity." if embeddings.dtype.is_floating else ".")
        )
    return embeddings


def _embed(
    rows: tf.Tensor,
    tower: tf.keras.layers.Layer | None,
    num_trained: int,
    features: Mapping[str, Tensor],
) -> tf.Tensor:
    if tower is None:
        raise ValueError(
            "`features` need a tower: give the constructor an `item_tower`, or give "
            "`embeddings`."
        )
    features = {name: tf.convert_to_tensor(value) for name, value in features.items()}
    for name, values in features.items():
        if values.shape.rank == 0 or values.shape[0] != rows.shape[0]:
            raise ValueError(
                f"`features['{name}']` must have a row for each of `ids`, "
                f"{rows.shape[0]}. Got shape {values.shape}."
            )
    is_learned = rows <= num_trained
    item_id = tf.where(is_learned, rows, tf.zeros_like(rows))
    return tower({_ITEM_ID: item_id, **features}, training=False)
