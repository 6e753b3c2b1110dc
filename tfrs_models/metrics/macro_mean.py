"""A mean in which every group counts alike, whatever its number of rows."""

import tensorflow as tf

from tfrs_models._keras import register


@register
class MacroMean(tf.keras.metrics.Metric):
    """The mean over groups of the means of their rows.

    One number to watch in a model of several services, of which one has ten times the
    rows of the other.
    """

    def __init__(self, num_groups: int, name: str = "macro_mean", **kwargs) -> None:
        """Initializes the metric.

        Args:
          num_groups: number of groups; groups without a row do not count.
          name: name of the metric in logs.
          **kwargs: arguments of `tf.keras.metrics.Metric`.
        """
        super().__init__(name=name, **kwargs)
        if num_groups < 1:
            raise ValueError(f"`num_groups` must be at least 1. Got {num_groups}.")
        self.num_groups = num_groups
        self._totals, self._counts = (
            self.add_weight(kind, (num_groups,), initializer="zeros")
            for kind in ("totals", "counts")
        )

    def update_state(self, values: tf.Tensor, group: int) -> tf.Operation:
        """Adds rows of a group.

        Args:
          values: `[batch]` values of the rows.
          group: index of the group, from 0.
        """
        values = tf.cast(values, self._totals.dtype)
        one_hot = tf.one_hot(group, self.num_groups, dtype=values.dtype)
        count = tf.cast(tf.size(values), values.dtype)
        return tf.group(
            self._totals.assign_add(one_hot * tf.reduce_sum(values)),
            self._counts.assign_add(one_hot * count),
        )

    def result(self) -> tf.Tensor:
        """Returns the mean so far; 0 without a row."""
        means = tf.math.divide_no_nan(self._totals, self._counts)
        num_groups = tf.math.count_nonzero(self._counts, dtype=means.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(means), num_groups)

    def reset_state(self) -> None:
        """Removes all rows."""
        for variable in self.variables:  # Keras resets scalars only
            variable.assign(tf.zeros_like(variable))

    def get_config(self) -> dict:
        return super().get_config() | {"num_groups": self.num_groups}
