"""Values of all replicas of a `tf.distribute` strategy."""

import tensorflow as tf


def num_replicas() -> int:
    """How many replicas compute the same step; 1 outside of replicas."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def gather_rows(values: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, in the order of the replicas.

    Args:
      values: `[num_rows, ...]` numbers; replicas may have different numbers of rows.

    Returns:
      `[total_rows, ...]`, differentiable; `values` where there is one replica, and
      outside of replicas.
    """
    if num_replicas() == 1:
        return values
    context = tf.distribute.get_replica_context()
    shape = tf.TensorShape([None]).concatenate(values.shape[1:])
    return tf.ensure_shape(context.all_gather(values, axis=0), shape)


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """The sum of a number over all replicas, without gradient.

    Args:
      value: Scalar of this replica.

    Returns:
      Scalar; `value` where there is one replica, and outside of replicas.
    """
    if num_replicas() == 1:
        return value
    context = tf.distribute.get_replica_context()
    return tf.stop_gradient(context.all_reduce(tf.distribute.ReduceOp.SUM, value))
