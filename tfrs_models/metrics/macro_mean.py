"""A mean in which every group counts alike, however many rows it has."""

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
          num_groups: How many there are; those without a row are left out.
          name: Of the metric.
          **kwargs: Of `tf.keras.metrics.Metric`.
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
          values: `[batch]`.
          group: From 0 on.
        """
        values = tf.cast(values, self._totals.dtype)
        place = tf.one_hot(group, self.num_groups, dtype=values.dtype)
        count = tf.cast(tf.size(values), values.dtype)
        return tf.group(
            self._totals.assign_add(place * tf.reduce_sum(values)),
            self._counts.assign_add(place * count),
        )

    def result(self) -> tf.Tensor:
        """The mean so far; 0 without a row."""
        means = tf.math.divide_no_nan(self._totals, self._counts)
        num_groups = tf.math.count_nonzero(self._counts, dtype=means.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(means), num_groups)

    def reset_state(self) -> None:
        """Forgets all rows."""
        for variable in self.variables:  # Keras resets scalars only
            variable.assign(tf.zeros_like(variable))

    def get_config(self) -> dict:
        return super().get_config() | {"num_groups": self.num_groups}
