"""Features of a batch as their declarations say, or an error that names them."""

from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from tfrs_models.feature import Feature
from tfrs_models.ops.features.read_features import required
from tfrs_models.types import Features


def parse_features(
    declared: Iterable[Feature | Mapping], argument: str
) -> tuple[Feature, ...]:
    """Declarations, from themselves or their configs.

    Args:
      declared: What a layer was given.
      argument: Its name there, for the error.

    Raises:
      ValueError: there is none, or one has the name of another.
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
    """Rows of a feature's table: known values and the unknown, or a number's one."""
    return 1 if feature.kind == "number" else feature.num_values + 1


def pick_declared(features: Features, declared: Sequence[Feature]) -> Features:
    """The declared features of a batch that may hold others.

    Raises:
      ValueError: one is missing.
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
    """The values of one feature.

    Args:
      features: Of the batch.
      feature: Its declaration.

    Returns:
      Int64 indices, `[batch]` of an id and `[batch, length]` of a bag, or numbers
      `[batch]`.

    Raises:
      ValueError: the feature is missing or has the wrong dtype or rank.
    """
    value = required(features, feature.name)
    rank = 2 if feature.kind == "bag" else 1
    if value.shape.rank != rank:
        raise ValueError(
            f"Feature `{feature.name}`, a {feature.kind}, must have rank {rank}. "
            f"Got shape {value.shape}."
        )
    if feature.kind != "number" and not value.dtype.is_integer:
        raise ValueError(
            f"Feature `{feature.name}`, a {feature.kind}, must hold integer indices. "
            f"Got {value.dtype.name}."
        )
    if value.dtype == tf.string:
        raise ValueError(f"Feature `{feature.name}` must hold numbers. Got string.")
    return value if feature.kind == "number" else tf.cast(value, tf.int64)


def standardised(
    value: tf.Tensor, feature: Feature, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """A number by the statistics of its declaration; not below float32's precision."""
    return (tf.cast(value, dtype) - feature.mean) / feature.scale


def known_values(value: tf.Tensor, feature: Feature) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows of the feature's table, 0 where unknown, and where they are known."""
    known = (value > 0) & (value <= feature.num_values)
    return tf.where(known, value, tf.zeros_like(value)), known
