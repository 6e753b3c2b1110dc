"""Values of all replicas of a `tf.distribute` strategy."""

from collections.abc import Mapping

import tensorflow as tf


def num_replicas() -> int:
    """Returns how many replicas compute the same step; 1 outside of replicas."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def gather_rows(values: tf.Tensor) -> tf.Tensor:
    """Gathers the rows of all replicas, in the order of the replicas.

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
    """Sums a number over all replicas, without gradient.

    Args:
      value: number of this replica, a scalar.

    Returns:
      Scalar; `value` where there is one replica, and outside of replicas.
    """
    if num_replicas() == 1:
        return value
    context = tf.distribute.get_replica_context()
    return tf.stop_gradient(context.all_reduce(tf.distribute.ReduceOp.SUM, value))


def share_of_rows(features: object) -> tf.Tensor:
    """Computes the share of a batch's rows that this replica has.

    Args:
      features: one replica's batch, a nested structure of dense, ragged or sparse
        tensors.

    Returns:
      Scalar float32 in [0, 1]; the shares of all replicas sum to 1. It is 1 where there
      is one replica, and outside of replicas.
    """
    if num_replicas() == 1:
        return tf.ones([])
    rows = num_rows(features)
    # Without a tensor that has rows, and without any row, replicas share alike.
    rows = tf.ones([]) if rows is None else tf.cast(rows, tf.float32)
    total = sum_over_replicas(rows)
    return tf.where(total > 0, tf.math.divide_no_nan(rows, total), 1 / num_replicas())


def num_rows(features: object) -> tf.Tensor | None:
    """Counts the rows of a batch.

    Args:
      features: nested structure of dense, ragged or sparse tensors. The first tensor
        of the outermost level counts; where that level only has structures, such as
        the examples of two services, their rows add up.

    Returns:
      Scalar int64; None without a tensor that has rows.
    """
    if not isinstance(features, (Mapping, tuple, list)):
        return _leading_dimension(features)
    values = features.values() if isinstance(features, Mapping) else features
    counts = {False: [], True: []}
    for value in values:
        if (count := num_rows(value)) is not None:
            counts[isinstance(value, (Mapping, tuple, list))].append(count)
    if counts[False]:
        return counts[False][0]
    return tf.add_n(counts[True]) if counts[True] else None


def _leading_dimension(value: object) -> tf.Tensor | None:
    if isinstance(value, tf.RaggedTensor):
        return tf.cast(value.nrows(), tf.int64)
    if isinstance(value, tf.SparseTensor):
        return value.dense_shape[0]
    has_rows = tf.TensorShape(getattr(value, "shape", ())).rank
    return tf.shape(value, out_type=tf.int64)[0] if has_rows else None
