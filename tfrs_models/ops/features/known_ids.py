"""Ids of a batch that a table has rows for, or an error that names the feature."""

import tensorflow as tf

from tfrs_models.ops.features.finite import require
from tfrs_models.ops.features.read_features import required
from tfrs_models.types import Features


def known_ids(features: Features, name: str, largest: int, *, rank: int) -> tf.Tensor:
    """Integers from 0 to `largest`.

    Args:
      features: Of the batch.
      name: Of the feature.
      largest: Last row of the table.
      rank: Axes, the batch's among them.

    Returns:
      The feature as int64.

    Raises:
      ValueError: it is missing, no integers, or of another rank.
      InvalidArgumentError: an id is beyond the table; it names the rows.
    """
    ids = integers(features, name, rank=rank)
    message = (
        f"Feature `{name}` must hold ids from 0 to {largest}, which the model is made "
        "for: leave others out or make a larger model"
    )
    return require(ids, (ids >= 0) & (ids <= largest), message)


def integers(features: Features, name: str, *, rank: int) -> tf.Tensor:
    """A feature of integers, as int64.

    Raises:
      ValueError: it is missing, no integers, or of another rank.
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
