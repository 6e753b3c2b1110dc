"""Means of the metrics of ranked lists over an evaluation."""

from collections.abc import Callable

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.metrics import ranking
from tfrs_models.ops.lists import read_lists
from tfrs_models.ops.rank_metrics import check_ties


class ListMean(tf.keras.metrics.Mean):
    """Mean of a metric over the lists that have a relevant item."""

    _metric: Callable[..., tf.Tensor]

    def __init__(
        self,
        k: int | None = None,
        *,
        ties: str = "expected",
        name: str | None = None,
        **kwargs,
    ) -> None:
        """Initializes the metric.

        Args:
          k: Places that count; all where None.
          ties: `"expected"`, `"pessimistic"` or `"optimistic"`.
          name: Of the metric; with `k` where None.
          **kwargs: Of `tf.keras.metrics.Mean`.
        """
        self.k, self.ties = ranking.check_k(k), check_ties(ties)
        kind = type(self)._metric.__name__
        super().__init__(name=name or (f"{kind}_at_{k}" if k else kind), **kwargs)

    def update_state(
        self,
        labels: tf.Tensor,
        scores: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        *,
        mask: tf.Tensor | None = None,
    ) -> tf.Operation:
        """Adds lists; those without a relevant item, which have no order, are left out.

        Args:
          labels: `[batch, list_size]` relevance, -1 for padding.
          scores: `[batch, list_size]`.
          sample_weight: `[batch]`, of the lists.
          mask: `[batch, list_size]` bool, False where there is no item.
        """
        metric = type(self)._metric
        values = metric(labels, scores, k=self.k, ties=self.ties, mask=mask)
        lists = read_lists(labels, scores, mask)
        weight = tf.cast(tf.reduce_any(lists.labels > 0, axis=1), values.dtype)
        if sample_weight is not None:
            sample_weight = tf.cast(sample_weight, values.dtype)
            weight *= tf.reshape(sample_weight, tf.shape(values))
        return super().update_state(values, weight)

    def get_config(self) -> dict:
        return super().get_config() | {"k": self.k, "ties": self.ties}


@register
class NDCG(ListMean):
    """Mean `metrics.ndcg` of the lists that have a relevant item."""

    _metric = staticmethod(ranking.ndcg)


@register
class MeanReciprocalRank(ListMean):
    """Mean `metrics.reciprocal_rank` of the lists that have a relevant item."""

    _metric = staticmethod(ranking.reciprocal_rank)


@register
class MeanAveragePrecision(ListMean):
    """Mean `metrics.average_precision` of the lists that have a relevant item."""

    _metric = staticmethod(ranking.average_precision)


@register
class RecallAtK(ListMean):
    """Mean `metrics.recall` of the lists that have a relevant item."""

    _metric = staticmethod(ranking.recall)

    def __init__(self, k: int, **kwargs) -> None:
        """Initializes the metric.

        Args:
          k: Places that count.
          **kwargs: `ties` and `name`, as of `NDCG`.
        """
        super().__init__(k, **kwargs)


@register
class PrecisionAtK(ListMean):
    """Mean `metrics.precision` of the lists that have a relevant item."""

    _metric = staticmethod(ranking.precision)

    def __init__(self, k: int, **kwargs) -> None:
        """Initializes the metric.

        Args:
          k: Places that count.
          **kwargs: `ties` and `name`, as of `NDCG`.
        """
        super().__init__(k, **kwargs)
