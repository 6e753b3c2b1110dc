"""Two lists of events as one, by time."""

import tensorflow as tf


def places_by_time(times: tf.Tensor) -> tf.Tensor:
    """Where each event stands when all are in the order of their times.

    Args:
      times: `[batch, num_events]` integers above 0; 0 is padding. Events of
        several lists lie one list after the other.

    Returns:
      `[batch, num_events]` int32 places from 0 on. Events of the same time keep their
      order, and padding comes last, in its order too.
    """
    times = tf.cast(times, tf.int64)
    keys = tf.where(times > 0, times, times.dtype.max)
    order = tf.argsort(keys, axis=1, stable=True)
    return tf.argsort(order, axis=1)
