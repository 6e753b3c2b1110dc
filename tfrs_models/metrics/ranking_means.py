"""Means of the metrics of ranked lists over an evaluation."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.metrics import ranking
from tfrs_models.ops.lists.list_shapes import masked_labels, read_lists
from tfrs_models.ops.ranks.rank_metrics import check_ties
from tfrs_models.ops.weights import checked_weights


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
        labels: tf.Tensor | Mapping[str, tf.Tensor] | None = None,
        scores: tf.Tensor | None = None,
        sample_weight: tf.Tensor | None = None,
        *,
        mask: tf.Tensor | None = None,
        y_true: tf.Tensor | Mapping[str, tf.Tensor] | None = None,
        y_pred: tf.Tensor | None = None,
    ) -> tf.Operation:
        """Adds lists; those without a relevant item, which have no order, are left out.

        Args:
          labels: `[batch, list_size]` relevance, -1 for padding; or ragged; or a dict
            of `labels` and `mask`.
          scores: `[batch, list_size]`; ragged where the labels are.
          sample_weight: `[batch]`, of the lists.
          mask: `[batch, list_size]` bool, False where there is no item.
          y_true: Keras's name of `labels`.
          y_pred: Keras's name of `scores`.

        Raises:
          ValueError: labels or scores are missing or given twice, or shapes differ.
          InvalidArgumentError: a label is below 0 and not -1, or a weight is negative.
        """
        labels = _one_of(labels=labels, y_true=y_true)
        scores = _one_of(scores=scores, y_pred=y_pred)
        labels = masked_labels(labels)
        metric = type(self)._metric
        values = metric(labels, scores, k=self.k, ties=self.ties, mask=mask)
        lists = read_lists(labels, scores, mask)
        weight = tf.cast(tf.reduce_any(lists.labels > 0, axis=1), values.dtype)
        if sample_weight is not None:
            weight *= _list_weights(sample_weight, values)
        return super().update_state(values, weight)

    def get_config(self) -> dict:
        return super().get_config() | {"k": self.k, "ties": self.ties}


def _one_of(**arguments: object) -> object:
    """What one of two names of an argument holds."""
    given = {name: value for name, value in arguments.items() if value is not None}
    if len(given) != 1:
        ours, of_keras = arguments
        raise ValueError(
            f"`{ours}` must be given, once: `{of_keras}` is another name for it. Got "
            f"{'both' if given else 'none'}."
        )
    return next(iter(given.values()))


def _list_weights(sample_weight: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`[batch]` weights of lists, float32."""
    weight = checked_weights(sample_weight)
    if weight.shape.rank not in (1, 2) or weight.shape[1:] not in ([], [1]):
        raise ValueError(
            "`sample_weight` must be [batch], one weight for each list: an order has "
            f"no weights of items. Got shape {weight.shape}."
        )
    check = tf.debugging.assert_equal(
        tf.size(weight),
        tf.size(values),
        "`sample_weight` must have one weight for each list.",
    )
    with tf.control_dependencies([] if check is None else [check]):
        return tf.cast(tf.reshape(weight, [-1]), values.dtype)


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
