"""Distances on the earth."""

import tensorflow as tf

EARTH_RADIUS = 6371.0088  # km, the mean


def haversine(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Computes great-circle distances.

    Args:
      left: latitudes and longitudes in degrees, `[..., 2]` floating.
      right: latitudes and longitudes in degrees, `[..., 2]`; leading axes broadcast
        with those of `left`.

    Returns:
      `[...]` kilometres, in the dtype of the coordinates. float32 is good to metres,
      and to kilometres where two points are nearly opposite each other.
    """
    left, right = (
        tf.unstack(degrees * 0.017453292519943295, axis=-1) for degrees in (left, right)
    )
    across, along = (tf.sin((a - b) / 2) ** 2 for a, b in zip(left, right, strict=True))
    chord = across + tf.cos(left[0]) * tf.cos(right[0]) * along
    return 2 * EARTH_RADIUS * tf.asin(tf.sqrt(tf.clip_by_value(chord, 0.0, 1.0)))
