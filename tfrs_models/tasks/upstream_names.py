"""What a subclass written for upstream's retrieval task finds on its task."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import UnsavedSum
from tfrs_models.tasks.corpus_metrics import as_list

Metrics = Sequence[tfrs.metrics.Factorized] | tfrs.metrics.Factorized | None


def _alias(name: str) -> property:
    return property(
        lambda self: getattr(self, name), lambda self, value: setattr(self, name, value)
    )


class UpstreamNames:
    """Attributes of upstream's task, to be read and assigned; a loss to be called."""

    _temperature = _alias("temperature")
    _num_hard_negatives = _alias("num_hard_negatives")
    _remove_accidental_hits = _alias("remove_accidental_hits")

    def _take_loss(self, loss: tf.keras.losses.Loss | None) -> None:
        self._default_loss = tf.keras.losses.CategoricalCrossentropy(
            from_logits=True, reduction=tf.keras.losses.Reduction.SUM
        )
        self._loss = self._default_loss if loss is None else loss

    def _count_queries_without_negatives(self) -> None:
        self.queries_without_negatives = UnsavedSum("queries_without_negatives")
        # Reported by our models, after what upstream's task reports.
        self._metrics.remove(self.queries_without_negatives)

    @property
    def reported_beside(self) -> list[tf.keras.metrics.Metric]:
        """Metrics that `tfrs_models.Model` reports and upstream's does not know."""
        return [self.queries_without_negatives]

    @property
    def has_loss(self) -> bool:
        """Whether a loss of labels and logits replaces the default."""
        return self._loss is not self._default_loss

    @property
    def factorized_metrics(self) -> list[tfrs.metrics.Factorized]:
        """The metrics over the whole corpus."""
        return self._factorized_metrics

    @factorized_metrics.setter
    def factorized_metrics(self, value: Metrics) -> None:
        self._factorized_metrics = as_list(value)
