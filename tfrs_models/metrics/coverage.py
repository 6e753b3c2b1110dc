"""How much of the catalogue the recommendations show, and how popular it is."""

import tensorflow as tf

from tfrs_models._keras import register


@register
class Coverage(tf.keras.metrics.Metric):
    """Share of the candidates that were recommended to anyone at all.

    Near 0 is a collapse: everybody gets the same items.
    """

    def __init__(self, name: str = "coverage", **kwargs) -> None:
        super().__init__(name=name, **kwargs)
        self._seen = tf.Variable(
            tf.zeros([0]),
            shape=[None],
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )

    def update_state(self, rows: tf.Tensor, num_candidates: tf.Tensor) -> tf.Operation:
        """Counts recommendations.

        Args:
          rows: Corpus rows of recommended candidates, any shape.
          num_candidates: Scalar, rows of the corpus.
        """
        seen = self._seen.read_value()
        seen = tf.pad(seen, [[0, num_candidates - tf.size(seen)]])
        rows = tf.reshape(rows, [-1, 1])
        shown = tf.ones(tf.shape(rows)[:1])
        return self._seen.assign(tf.tensor_scatter_nd_max(seen, rows, shown))

    def result(self) -> tf.Tensor:
        """Scalar share in [0, 1]; 0 before the first update."""
        seen = tf.convert_to_tensor(self._seen)
        shown = tf.math.count_nonzero(seen, dtype=tf.float32)
        return tf.math.divide_no_nan(shown, tf.cast(tf.size(seen), tf.float32))

    def reset_state(self) -> None:
        self._seen.assign(tf.zeros([0]))
