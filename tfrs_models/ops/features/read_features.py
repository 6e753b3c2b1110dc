"""Reads features of a batch, with errors that name them."""

from collections.abc import Mapping

import tensorflow as tf

from tfrs_models.ops.features.checks import require_ids
from tfrs_models.types import Features


def check_named(features: Features) -> None:
    """Raises a `ValueError` if a batch is not a dict of features.

    Args:
      features: batch as the dataset yields it.
    """
    if not isinstance(features, Mapping):
        parts = features if isinstance(features, (tuple, list)) else [features]
        got = ", ".join(type(part).__name__ for part in parts)
        raise ValueError(
            "A batch must be a dict of features by name, with labels and "
            '`sample_weight` among them: `data.map(lambda x, y: {**x, "label": y})`. '
            "`class_weight` and `sample_weight` of `fit` have no meaning beside it. "
            f"Got ({got})."
        )


def required(features: Features, name: str) -> tf.Tensor:
    """Reads a feature of any kind.

    Args:
      features: features of a batch by name.
      name: name of the feature.

    Returns:
      The feature as a tensor.

    Raises:
      ValueError: the batch is not a dict, or the feature is missing.
    """
    check_named(features)
    if name not in features:
        raise ValueError(f"Feature `{name}` is missing. Got {sorted(features)}.")
    return tf.convert_to_tensor(features[name])


def id_feature(features: Features, name: str) -> tf.Tensor:
    """Reads a feature of ids.

    Args:
      features: features of a batch by name.
      name: name of the feature.

    Returns:
      `[batch]` strings, or int64 for integers of any width.

    Raises:
      ValueError: the feature is missing, of another dtype, or not `[batch]`.
    """
    ids = required(features, name)
    if not (ids.dtype.is_integer or ids.dtype == tf.string):
        raise ValueError(
            f"Feature `{name}` must be integers or strings. Got {ids.dtype.name}."
        )
    if ids.shape.rank != 1:
        raise ValueError(f"Feature `{name}` must be [batch]. Got shape {ids.shape}.")
    return ids if ids.dtype == tf.string else tf.cast(ids, tf.int64)


def dense_feature(features: Features, name: str, width: int | None = None) -> tf.Tensor:
    """Reads a dense feature.

    Args:
      features: features of a batch by name.
      name: name of the feature.
      width: required width; None allows any.

    Returns:
      `[batch, width]` numbers, in their own floating dtype, else float32.

    Raises:
      ValueError: the feature is missing, not numeric, or of another width.
    """
    values = required(features, name)
    if not (values.dtype.is_floating or values.dtype.is_integer):
        raise ValueError(f"Feature `{name}` must be numbers. Got {values.dtype.name}.")
    if values.shape.rank != 2 or values.shape[1] is None:
        raise ValueError(
            f"Feature `{name}` must be [batch, width] with a known width. "
            f"Got shape {values.shape}."
        )
    if width is not None and values.shape[1] != width:
        raise ValueError(
            f"Feature `{name}` must have width {width}, which the model was built for. "
            f"Got {values.shape[1]}."
        )
    return values if values.dtype.is_floating else tf.cast(values, tf.float32)


def dense_through(
    layer: "tf.keras.layers.Dense", features: Features, name: str
) -> tf.Tensor:
    """Puts a dense feature through a dense layer; its first batch fixes the width.

    For a feature of width 0 the output is that of the bias alone.

    Args:
      layer: dense layer, built or not.
      features: features of a batch by name.
      name: name of the feature.

    Returns:
      `[batch, layer.units]`.

    Raises:
      ValueError: the feature is missing, not numeric, or of another width.
    """
    width = layer.kernel.shape[0] if layer.built else None
    values = dense_feature(features, name, width)
    if values.shape[1] > 0:
        return layer(values)
    # A matrix product over no column would end the process.
    if not layer.built:
        layer.build(values.shape)
    row = tf.reduce_sum(layer.kernel, axis=0)  # zeros, but the kernel has a gradient
    row = layer.activation(row if layer.bias is None else row + layer.bias)
    return tf.tile(tf.cast(row, layer.compute_dtype)[None], [tf.shape(values)[0], 1])


def known_ids(features: Features, name: str, largest: int, *, rank: int) -> tf.Tensor:
    """Reads a feature of ids from 0 to `largest`, the rows of a table.

    Args:
      features: features of a batch by name.
      name: name of the feature.
      largest: last row of the table.
      rank: number of axes of the feature, with that of the batch.

    Returns:
      The feature as int64.

    Raises:
      ValueError: the feature is missing, not of integers, or of another rank.
      InvalidArgumentError: an id is not in the table; the error names its rows.
    """
    return require_ids(integers(features, name, rank=rank), name, largest)


def integers(features: Features, name: str, *, rank: int) -> tf.Tensor:
    """Reads a feature of integers.

    Args:
      features: features of a batch by name.
      name: name of the feature.
      rank: number of axes of the feature, with that of the batch.

    Returns:
      The feature as int64.

    Raises:
      ValueError: the feature is missing, not of integers, or of another rank.
    """
    values = required(features, name)
    if not values.dtype.is_integer:
        raise ValueError(
            f"Feature `{name}` must hold integers. Got {values.dtype.name}."
        )
    if values.shape.rank != rank:
        raise ValueError(
            f"Feature `{name}` must have rank {rank}. Got shape {values.shape}."
        )
    return tf.cast(values, tf.int64)
