"""The floating-point type in which an index computes."""

import tensorflow as tf


def keep_precision(index: tf.keras.layers.Layer) -> None:
    """Has Keras cut neither queries nor candidates to the half of a mixed policy.

    Such a policy is for the training of towers: a score has few digits in half, and a
    floating id becomes another one.
    """
    compute = tf.as_dtype(index.compute_dtype or tf.float32)
    index._set_dtype_policy(scoring_dtype(compute).name)


def scoring_dtype(dtype: tf.DType) -> tf.DType:
    """The type of products with embeddings: half precision would overflow at 65,504."""
    return tf.float32 if dtype.size < 4 else dtype
