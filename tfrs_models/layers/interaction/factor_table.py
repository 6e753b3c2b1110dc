"""The weights of a factorisation machine."""

import tensorflow as tf

STDDEV = 0.05


def add_bias_and_table(
    layer: tf.keras.layers.Layer, num_rows: int, width: int
) -> tuple[tf.Variable, tf.Variable]:
    """Adds a bias and one table over all fields to a layer.

    A row of the table is the value's weight, 0 at first, and then its vectors, so that
    one gather reads both. Neither is cast in mixed precision: a sum of squares less
    the squares does not survive float16.

    Args:
      layer: To be given the weights.
      num_rows: Of the table.
      width: Of all vectors of a value together.

    Returns:
      The bias `[]` and the table `[num_rows, 1 + width]`.
    """

    def initial(shape: tf.TensorShape, dtype: tf.DType, **_) -> tf.Tensor:
        vectors = tf.random.normal([shape[0], shape[1] - 1], stddev=STDDEV, dtype=dtype)
        return tf.pad(vectors, [[0, 0], [1, 0]])

    with tf.name_scope(layer.name):  # HDF5 files want distinct names
        bias = layer.add_weight(
            "bias", (), initializer="zeros", experimental_autocast=False
        )
        table = layer.add_weight(
            "table",
            (num_rows, 1 + width),
            initializer=initial,
            experimental_autocast=False,
        )
    return bias, table
