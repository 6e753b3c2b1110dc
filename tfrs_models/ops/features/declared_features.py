"""Reads declared features of a batch, with errors that name them."""

from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from tfrs_models.feature import Feature
from tfrs_models.ops.features.read_features import required
from tfrs_models.types import Features


def parse_features(
    declared: Iterable[Feature | Mapping], argument: str
) -> tuple[Feature, ...]:
    """Parses declarations of features, each a `Feature` or its config.

    Args:
      declared: declarations that a layer was given.
      argument: name of the layer's argument, for the error.

    Returns:
      The declarations as `Feature` objects.

    Raises:
      ValueError: there is no declaration, or two have the same name.
    """
    parsed = tuple(
        feature if isinstance(feature, Feature) else Feature(**feature)
        for feature in declared
    )
    if not parsed:
        raise ValueError(f"`{argument}` must hold at least one feature. Got none.")
    names = [feature.name for feature in parsed]
    if len(set(names)) < len(names):
        raise ValueError(f"`{argument}` must not repeat a feature. Got {names}.")
    return parsed


def num_vectors(feature: Feature) -> int:
    """Counts the rows of a feature's table.

    An id and a bag have a row for unknown values and one for each known value; a number
    has one; a vector has one for a missing vector and one for each component.
    """
    if feature.kind == "number":
        return 1
    return 1 + (feature.dim if feature.kind == "vector" else feature.num_values)


def pick_declared(features: Features, declared: Sequence[Feature]) -> Features:
    """Picks the declared features of a batch, which may hold others too.

    Raises:
      ValueError: a declared feature is missing.
    """
    return {feature.name: required(features, feature.name) for feature in declared}


def refuse_undeclared(features: Features, declared: Sequence[Feature]) -> None:
    """Raises a `ValueError` that names features of a batch without a declaration."""
    names = {feature.name for feature in declared}
    extra = sorted(set(features) - names)
    if extra:
        raise ValueError(
            f"Feature `{extra[0]}` is not declared. Got {sorted(features)}, declared "
            f"are {sorted(names)}."
        )


def declared_feature(features: Features, feature: Feature) -> tf.Tensor:
    """Reads the values of one feature.

    Args:
      features: features of a batch by name.
      feature: declaration of the feature.

    Returns:
      int64 indices, `[batch]` of an id and `[batch, length]` of a bag, or numbers,
      `[batch]` of a number and `[batch, dim]` of a vector.

    Raises:
      ValueError: the feature is missing or has the wrong dtype, rank or width.
    """
    value = required(features, feature.name)
    rank = 2 if feature.kind in ("bag", "vector") else 1
    if value.shape.rank != rank:
        raise ValueError(
            f"Feature `{feature.name}`, a {feature.kind}, must have rank {rank}. "
            f"Got shape {value.shape}."
        )
    is_number = feature.kind in ("number", "vector")
    if not is_number and not value.dtype.is_integer:
        raise ValueError(
            f"Feature `{feature.name}`, a {feature.kind}, must hold integer indices. "
            f"Got {value.dtype.name}."
        )
    if value.dtype == tf.string:
        raise ValueError(f"Feature `{feature.name}` must hold numbers. Got string.")
    if feature.kind == "vector":
        if value.shape[1] not in (None, feature.dim):
            raise ValueError(
                f"Feature `{feature.name}`, a vector, must have {feature.dim} "
                f"components, as declared by `dim`. Got shape {value.shape}."
            )
        return tf.ensure_shape(value, [None, feature.dim])
    return value if is_number else tf.cast(value, tf.int64)


def standardised(
    value: tf.Tensor, feature: Feature, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Standardises a number by the statistics of its declaration.

    Args:
      value: numbers, `[batch]`.
      feature: declaration with `mean` and `scale`.
      dtype: dtype of the result; float32 or float64, as half precision would round
        numbers such as times.

    Returns:
      `[batch]`.
    """
    return (tf.cast(value, dtype) - feature.mean) / feature.scale


def vector_inputs(value: tf.Tensor, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Scales vectors to unit length and marks missing ones, which are zeros.

    Args:
      value: vectors, `[batch, dim]`.
      dtype: dtype of the result; float32 or float64.

    Returns:
      `[batch, 1 + dim]`: 1 for a missing vector, else 0, and then the unit vector. They
      multiply a table of `num_vectors` rows.
    """
    value = tf.cast(value, dtype)
    # Squares of very large or small components would leave the range of floats.
    largest = tf.reduce_max(tf.abs(value), axis=1, keepdims=True)
    value = tf.math.divide_no_nan(value, largest)
    value = tf.math.divide_no_nan(value, tf.norm(value, axis=1, keepdims=True))
    return tf.concat([tf.cast(largest == 0, dtype), value], axis=1)


def known_values(value: tf.Tensor, feature: Feature) -> tuple[tf.Tensor, tf.Tensor]:
    """Maps indices to rows of a feature's table, 0 for unknown ones.

    Args:
      value: indices of an id or a bag, of any shape.
      feature: declaration with `num_values`.

    Returns:
      Rows of the same shape, and bool of the same shape, True for known values.
    """
    known = (value > 0) & (value <= feature.num_values)
    return tf.where(known, value, tf.zeros_like(value)), known
