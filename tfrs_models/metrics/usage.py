"""Metrics of how evenly a model uses its cohorts and its experts."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.weights import checked_weights


class _CohortUsage(tf.keras.metrics.Metric):
    """A metric that sums how much the rows belong to each cohort."""

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
    """The entropy of the cohorts' shares of the users, over that of equal shares.

    It is 1 if all cohorts are used alike, and 0 if all users are in one cohort.
    """

    def __init__(
        self, num_cohorts: int, name: str = "cohort_entropy", **kwargs
    ) -> None:
        """Initializes the metric.

        Args:
          num_cohorts: number of cohorts.
          name: name of the metric in logs.
          **kwargs: arguments of `tf.keras.metrics.Metric`.
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
        """Returns a scalar in [0, 1]; 1 for one cohort, 0 before the first user."""
        usage = tf.convert_to_tensor(self._usage)
        if self.num_cohorts == 1:
            return tf.cast(tf.reduce_sum(usage) > 0, tf.float32)
        return relative_entropy(tf.math.divide_no_nan(usage, tf.reduce_sum(usage)))


@register
class DeadCohorts(_CohortUsage):
    """The share of cohorts to which no user belongs as much as to the average one."""

    def __init__(self, num_cohorts: int, name: str = "dead_cohorts", **kwargs) -> None:
        """Initializes the metric.

        Args:
          num_cohorts: number of cohorts.
          name: name of the metric in logs.
          **kwargs: arguments of `tf.keras.metrics.Metric`.
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
        """Returns a scalar in [0, 1]; 1 before the first user."""
        dead = tf.convert_to_tensor(self._usage) == 0
        return tf.reduce_mean(tf.cast(dead, tf.float32))


@register
class GateEntropy(tf.keras.metrics.Mean):
    """The mean entropy of a gate's weights, over that of equal weights.

    It is 1 if the gate weighs all experts alike, and 0 if it chooses one for each row.

    Example:
      >>> metric = tm.metrics.GateEntropy()
      >>> _ = metric.update_state([[0.5, 0.5], [1.0, 0.0]])
      >>> float(metric.result())
      0.5
    """

    def __init__(self, name: str = "gate_entropy", **kwargs) -> None:
        """Initializes the metric.

        Args:
          name: name of the metric in logs.
          **kwargs: arguments of `tf.keras.metrics.Mean`.
        """
        super().__init__(name, **kwargs)

    def update_state(
        self, weights: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Operation:
        """Adds rows.

        Args:
          weights: `[batch, num_experts]` weights of one task's gate, rows that sum to 1
            (`gates` of an expert layer).
          sample_weight: `[batch]` weights of the rows.

        Raises:
          ValueError: a single expert, among which no gate chooses.
        """
        weights = tf.cast(weights, tf.float32)
        num_experts = weights.shape[-1]
        if num_experts < 2:
            raise ValueError(
                f"`weights` must be of two experts or more. Got {num_experts}."
            )
        return super().update_state(
            relative_entropy(weights), checked_weights(sample_weight)
        )


def relative_entropy(shares: tf.Tensor) -> tf.Tensor:
    """Computes the entropy of shares over that of equal shares.

    Args:
      shares: `[..., n]` that sum to 1, `n` at least 2.

    Returns:
      `[...]` in [0, 1].
    """
    terms = tf.math.multiply_no_nan(tf.math.log(shares), shares)
    return -tf.reduce_sum(terms, axis=-1) / tf.math.log(float(shares.shape[-1]))
