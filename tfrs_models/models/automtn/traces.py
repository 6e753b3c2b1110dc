"""Traces of check-ins as a model reads them."""

import tensorflow as tf

from tfrs_models.ops.features.checks import same_shape
from tfrs_models.ops.features.read_features import required
from tfrs_models.towers.sequence.history_tower import newest_steps
from tfrs_models.types import Features

_STEPS = ("poi_id", "category_id", "hour", "weekday")


def newest_trace(features: Features, seq_len: int) -> dict[str, tf.Tensor]:
    """The newest check-ins of each row, the last one at the end.

    Args:
      features: `poi_id` (0 for padding), `category_id`, `hour` and `weekday` `[batch,
        num_steps]` integers, and `user_id`, the same or `[batch]`.
      seq_len: Check-ins of a trace.

    Returns:
      The features as int64 `[batch, seq_len]`, 0 where padded, and their bool `mask`.

    Raises:
      ValueError: a feature is missing or has the wrong dtype or shape.
      InvalidArgumentError: a shape is not that of `poi_id`, where only the run knows.
    """
    trace = {name: _integers(features, name) for name in (*_STEPS, "user_id")}
    real = trace["poi_id"] != 0
    for name, values in trace.items():
        whole = values.shape.rank == 2
        slots = real if whole else tf.reduce_any(real, axis=1)
        rule = f"a {'value for each step' if whole else 'row for each'} of `poi_id`"
        trace[name] = same_shape(values, slots, f"Feature `{name}` must have {rule}")
    places, mask = newest_steps(real, seq_len)
    found = {
        # A step more: place 0 is there in traces of none, too.
        name: tf.gather(tf.pad(values, [[0, 0], [0, 1]]), places, batch_dims=1)
        for name, values in trace.items()
        if values.shape.rank == 2
    }
    found = {name: tf.where(mask, values, 0) for name, values in found.items()}
    return {**trace, **found, "mask": mask}


def _integers(features: Features, name: str) -> tf.Tensor:
    values = required(features, name)
    ranks = (1, 2) if name == "user_id" else (2,)
    if not values.dtype.is_integer or values.shape.rank not in ranks:
        raise ValueError(
            f"Feature `{name}` must be [batch, num_steps] integers. Got "
            f"{values.dtype.name} of shape {values.shape}."
        )
    return tf.cast(values, tf.int64)
