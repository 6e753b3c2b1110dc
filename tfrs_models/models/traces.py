"""Traces of check-ins as a model reads them."""

import tensorflow as tf

from tfrs_models.ops.newest_steps import newest_steps
from tfrs_models.ops.read_features import required
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
    """
    trace = {}
    for name in (*_STEPS, "user_id"):
        values = required(features, name)
        ranks = (1, 2) if name == "user_id" else (2,)
        if not values.dtype.is_integer or values.shape.rank not in ranks:
            raise ValueError(
                f"Feature `{name}` must be [batch, num_steps] integers. Got "
                f"{values.dtype.name} of shape {values.shape}."
            )
        trace[name] = tf.cast(values, tf.int64)
    places, mask = newest_steps(trace["poi_id"] != 0, seq_len)
    found = {
        name: tf.where(mask, tf.gather(values, places, batch_dims=1), 0)
        for name, values in trace.items()
        if values.shape.rank == 2
    }
    return {**trace, **found, "mask": mask}
