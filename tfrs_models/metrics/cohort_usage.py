"""Whether a cohort tower uses its cohorts."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.entropy import relative_entropy


class _CohortUsage(tf.keras.metrics.Metric):
    """Counts how much the rows belong to each cohort."""

    def __init__(self, num_cohorts: int, name: str, **kwargs) -> None:
        super().__init__(name=name, **kwargs)
        if num_cohorts < 1:
            raise ValueError(f"`num_cohorts` must be at least 1. Got {num_cohorts}.")
        self.num_cohorts = num_cohorts
        self._usage = self.add_weight("usage", (num_cohorts,), initializer="zeros")

    def reset_state(self) -> None:
        self._usage.assign(tf.zeros_like(self._usage))

    def get_config(self) -> dict:
        return super().get_config() | {"num_cohorts": self.num_cohorts}


@register
class CohortEntropy(_CohortUsage):
    """Entropy of the cohorts' shares of the users, over that of equal shares.

    1 where all cohorts are used alike, 0 where everybody is in the same one.
    """

    def __init__(
        self, num_cohorts: int, name: str = "cohort_entropy", **kwargs
    ) -> None:
        """Initializes the metric.

        Args:
          num_cohorts: How many there are.
          name: Of the metric.
          **kwargs: Of `tf.keras.metrics.Metric`.
        """
        super().__init__(num_cohorts, name, **kwargs)

    def update_state(self, affinity: tf.Tensor) -> tf.Operation:
        """Adds users.

        Args:
          affinity: `[batch, num_cohorts]`, rows that sum to 1 (`Cohort.affinity`).
        """
        affinity = tf.cast(affinity, tf.float32)
        return self._usage.assign_add(tf.reduce_sum(affinity, axis=0))

    def result(self) -> tf.Tensor:
        """Scalar in [0, 1]; 1 of a single cohort, 0 before the first user."""
        usage = tf.convert_to_tensor(self._usage)
        if self.num_cohorts == 1:
            return tf.cast(tf.reduce_sum(usage) > 0, tf.float32)
        return relative_entropy(tf.math.divide_no_nan(usage, tf.reduce_sum(usage)))


@register
class DeadCohorts(_CohortUsage):
    """Share of the cohorts that no user belongs to as much as to the average one."""

    def __init__(self, num_cohorts: int, name: str = "dead_cohorts", **kwargs) -> None:
        """Initializes the metric.

        Args:
          num_cohorts: How many there are.
          name: Of the metric.
          **kwargs: Of `tf.keras.metrics.Metric`.
        """
        super().__init__(num_cohorts, name, **kwargs)

    def update_state(self, affinity: tf.Tensor) -> tf.Operation:
        """Adds users.

        Args:
          affinity: `[batch, num_cohorts]`, rows that sum to 1 (`Cohort.affinity`).
        """
        above = tf.cast(affinity, tf.float32) * self.num_cohorts > 1 - 1e-5
        return self._usage.assign_add(tf.reduce_sum(tf.cast(above, tf.float32), axis=0))

    def result(self) -> tf.Tensor:
        """Scalar in [0, 1]; 1 before the first user."""
        dead = tf.convert_to_tensor(self._usage) == 0
        return tf.reduce_mean(tf.cast(dead, tf.float32))
