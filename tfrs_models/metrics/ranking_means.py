"""Keras means of the metrics of ranked lists."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.metrics import ranking
from tfrs_models.ops.lists.list_shapes import read_lists
from tfrs_models.ops.ranks.rank_metrics import check_ties
from tfrs_models.ops.weights import checked_weights


class ListMean(tf.keras.metrics.Mean):
    """The mean of a metric over the lists that have a relevant item."""

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
          k: number of ranks that count; all where None.
          ties: value of tied scores: `"expected"` over a random order,
            `"pessimistic"` or `"optimistic"`.
          name: name of the metric in logs; the kind of metric with `k` where None.
          **kwargs: arguments of `tf.keras.metrics.Mean`.
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
        """Adds lists; lists without a relevant item have no order and do not count.

        Args:
          labels: `[batch, list_size]` relevance, -1 for padding; or ragged; or a dict
            of `labels` and `mask`.
          scores: `[batch, list_size]` predicted scores; ragged where the labels are.
          sample_weight: `[batch]` weights of the lists.
          mask: `[batch, list_size]` bool, False for padding.
          y_true: other name of `labels`, the one of Keras.
          y_pred: other name of `scores`, the one of Keras.

        Raises:
          ValueError: labels or scores are missing or given twice, or shapes differ.
          InvalidArgumentError: a label is below 0 and not -1, or a weight is negative.
        """
        labels = _one_of(labels=labels, y_true=y_true)
        scores = _one_of(scores=scores, y_pred=y_pred)
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
    """Returns the one value that was given under two names of an argument."""
    given = {name: value for name, value in arguments.items() if value is not None}
    if len(given) != 1:
        ours, of_keras = arguments
        raise ValueError(
            f"`{ours}` must be given, once: `{of_keras}` is another name for it. Got "
            f"{'both' if given else 'none'}."
        )
    return next(iter(given.values()))


def _list_weights(sample_weight: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns `[batch]` float32 weights, once there is one for each list."""
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
    """The mean of `metrics.ndcg` over the lists that have a relevant item.

    Example:
      >>> metric = tm.metrics.NDCG(k=10)
      >>> _ = metric.update_state([[1.0, 0.0]], [[0.2, 0.7]])
      >>> _ = metric.update_state(y_true=[[1.0, 0.0]], y_pred=[[0.7, 0.2]])
      >>> metric.name, round(float(metric.result()), 3)
      ('ndcg_at_10', 0.815)
    """

    _metric = staticmethod(ranking.ndcg)


@register
class MeanReciprocalRank(ListMean):
    """The mean of `metrics.reciprocal_rank` over the lists with a relevant item.

    Example:
      >>> metric = tm.metrics.MeanReciprocalRank()
      >>> _ = metric.update_state([[1, 0], [0, 1]], [[0.9, 0.1], [0.9, 0.1]])
      >>> float(metric.result())
      0.75
    """

    _metric = staticmethod(ranking.reciprocal_rank)


@register
class MeanAveragePrecision(ListMean):
    """The mean of `metrics.average_precision` over the lists with a relevant item.

    Example:
      >>> metric = tm.metrics.MeanAveragePrecision(k=2)
      >>> _ = metric.update_state([[1, 0, 1]], [[0.9, 0.5, 0.1]])
      >>> float(metric.result())
      0.5
    """

    _metric = staticmethod(ranking.average_precision)


@register
class RecallAtK(ListMean):
    """The mean of `metrics.recall` over the lists that have a relevant item.

    Example:
      >>> metric = tm.metrics.RecallAtK(1)
      >>> labels = {"labels": [[1, 0, 1]], "mask": [[True, True, False]]}
      >>> _ = metric.update_state(labels, [[0.9, 0.5, 0.1]])
      >>> float(metric.result())
      1.0
    """

    _metric = staticmethod(ranking.recall)

    def __init__(self, k: int, **kwargs) -> None:
        """Initializes the metric.

        Args:
          k: number of ranks that count.
          **kwargs: `ties`, `name` and the arguments of `tf.keras.metrics.Mean`.
        """
        super().__init__(k, **kwargs)


@register
class PrecisionAtK(ListMean):
    """The mean of `metrics.precision` over the lists that have a relevant item.

    Example:
      >>> metric = tm.metrics.PrecisionAtK(2)
      >>> labels = tf.ragged.constant([[1, 0, 1], [0, 1]])
      >>> scores = tf.ragged.constant([[0.9, 0.5, 0.1], [0.5, 0.2]])
      >>> _ = metric.update_state(labels, scores)
      >>> float(metric.result())
      0.5
    """

    _metric = staticmethod(ranking.precision)

    def __init__(self, k: int, **kwargs) -> None:
        """Initializes the metric.

        Args:
          k: number of ranks that count.
          **kwargs: `ties`, `name` and the arguments of `tf.keras.metrics.Mean`.
        """
        super().__init__(k, **kwargs)
