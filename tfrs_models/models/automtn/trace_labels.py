"""What comes after traces of check-ins, as training and evaluation read it."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.features.checks import require, same_shape
from tfrs_models.ops.features.read_features import known_ids, required
from tfrs_models.types import Features


class TraceLabels(NamedTuple):
    """Labels of a batch, checked.

    Attributes:
      place: `[batch]` int32 from 0, -1 for none.
      category: `[batch]` int32 from 0, -1 for none.
      weight: `[batch]` float32.
    """

    place: tf.Tensor
    category: tf.Tensor
    weight: tf.Tensor


def trace_labels(
    features: Features, rows: tf.Tensor, *, num_pois: int, num_categories: int
) -> TraceLabels:
    """Reads and checks what comes after traces.

    Args:
      features: `next_poi_id` and `next_category_id` `[batch]` integers, 0 for none; may
        have `sample_weight` `[batch]`.
      rows: `[batch]`, anything that has a value for each trace.
      num_pois: The largest id of a place.
      num_categories: The largest id of a category.

    Raises:
      ValueError: a feature is missing, of another kind or shape.
      InvalidArgumentError: an id that the model has no row for, or a weight that is
        not finite or negative; it names the rows.
    """
    place, category = (
        _for_each(name, known_ids(features, name, largest, rank=1), rows)
        for name, largest in (
            ("next_poi_id", num_pois),
            ("next_category_id", num_categories),
        )
    )
    weight = tf.ones_like(place, tf.float32)
    if "sample_weight" in features:
        weight = _weight(features, rows)
    return TraceLabels(
        tf.cast(place, tf.int32) - 1, tf.cast(category, tf.int32) - 1, weight
    )


def _weight(features: Features, rows: tf.Tensor) -> tf.Tensor:
    weight = required(features, "sample_weight")
    is_number = weight.dtype.is_floating or weight.dtype.is_integer
    if not is_number or weight.shape.rank != 1:
        raise ValueError(
            "Feature `sample_weight` must be [batch] numbers. Got "
            f"{weight.dtype.name} of shape {weight.shape}."
        )
    weight = tf.cast(weight, tf.float32)
    ok = tf.math.is_finite(weight) & (weight >= 0)
    message = "Feature `sample_weight` must be finite, not negative"
    return _for_each("sample_weight", require(weight, ok, message), rows)


def _for_each(name: str, values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    message = f"Feature `{name}` must have a value for each trace"
    return same_shape(values, rows, message)
