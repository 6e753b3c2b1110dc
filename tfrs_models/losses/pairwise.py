"""Losses of the pairs that the labels of a list put in order."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.losses.margin_ranking import check_margin
from tfrs_models.losses.ordered_pairs import check_pair_options, pairwise_loss
from tfrs_models.ops.lists.list_shapes import read_lists


def pairwise_logistic_loss(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    positive: str = "graded",
    pairs: str = "mean",
    weights: str | None = None,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes the mean of `log(1 + exp(s_j - s_i))` over the pairs with `y_i > y_j`.

    The loss can be differentiated once, by the scores.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding.
      scores: `[batch, list_size]` predicted scores.
      positive: pairs that count: `"graded"`, all with `y_i > y_j`; `"binary"`, those
        with `y_i >= 1` and `y_j == 0`.
      pairs: `"mean"` or `"sum"` over the pairs of a list. A sum grows with the square
        of the list's length. Weights are no part of the mean's denominator.
      weights: factor of a pair's loss: None for 1, `"label_difference"` for
        `y_i - y_j`, `"delta_ndcg"` for the change of NDCG when the two items change
        positions (LambdaRank). Of equal scores the worse item is taken to rank first.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss; 0 for a list without such a pair.

    Raises:
      ValueError: an unknown option, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels = [[1.0, 0.0, 0.0], [1.0, 0.0, -1.0]]  # -1 is padding
      >>> scores = [[2.0, 0.0, 1.0], [2.0, 0.0, 9.0]]
      >>> tm.losses.pairwise_logistic_loss(labels, scores).numpy().round(2)
      array([0.22, 0.13], dtype=float32)

    Reference:
      Burges et al., Learning to rank using gradient descent, ICML 2005; Burges et al.,
      Learning to rank with nonsmooth cost functions, NIPS 2006 (the weights).
    """
    return pairwise_loss(
        read_lists(labels, scores, mask),
        "logistic",
        positive=positive,
        pairs=pairs,
        weights=weights,
    )


def pairwise_hinge_loss(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    margin: float = 1.0,
    positive: str = "graded",
    pairs: str = "mean",
    weights: str | None = None,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes the mean of `max(0, margin - (s_i - s_j))` over pairs with `y_i > y_j`.

    The loss can be differentiated once, by the scores.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding.
      scores: `[batch, list_size]` predicted scores.
      margin: lead of the better item over the worse, below which a pair costs.
      positive: pairs that count: `"graded"`, all with `y_i > y_j`; `"binary"`, those
        with `y_i >= 1` and `y_j == 0`.
      pairs: `"mean"` or `"sum"` over the pairs of a list. A sum grows with the square
        of the list's length. Weights are no part of the mean's denominator.
      weights: factor of a pair's loss: None for 1, `"label_difference"` for
        `y_i - y_j`, `"delta_ndcg"` for the change of NDCG when the two items change
        positions. Of equal scores the worse item is taken to rank first.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss; 0 for a list without such a pair.

    Raises:
      ValueError: an unknown option, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels, scores = [[1.0, 0.0, 0.0]], [[2.0, 1.5, 0.0]]
      >>> tm.losses.pairwise_hinge_loss(labels, scores).numpy()
      array([0.25], dtype=float32)

    Reference:
      Herbrich et al., Large margin rank boundaries for ordinal regression, 2000.
    """
    return pairwise_loss(
        read_lists(labels, scores, mask),
        "hinge",
        positive=positive,
        pairs=pairs,
        weights=weights,
        margin=check_margin(margin),
    )


class PairwiseLoss(ListLoss):
    """A Keras loss of pairs, with the options that all of them share."""

    def __init__(
        self, *, positive: str, pairs: str, weights: str | None, name: str, **kwargs
    ) -> None:
        super().__init__(name=name, **kwargs)
        check_pair_options(positive=positive, pairs=pairs, weights=weights)
        self.positive, self.pairs, self.weights = positive, pairs, weights

    def get_config(self) -> dict:
        return super().get_config() | self._options()

    def _options(self) -> dict:
        return {
            "positive": self.positive,
            "pairs": self.pairs,
            "weights": self.weights,
        }


@register
class PairwiseLogisticLoss(PairwiseLoss):
    """The Keras class of `pairwise_logistic_loss`, reduced over the batch.

    Example:
      >>> loss = tm.losses.PairwiseLogisticLoss()
      >>> labels, scores = [[1.0, 0.0, 0.0]], [[2.0, 0.0, 9.0]]
      >>> mask = [[True, True, False]]
      >>> round(float(loss(labels, scores, mask=tf.constant(mask))), 2)
      0.13
    """

    def __init__(
        self,
        *,
        positive: str = "graded",
        pairs: str = "mean",
        weights: str | None = None,
        name: str = "pairwise_logistic_loss",
        **kwargs,
    ) -> None:
        """Initializes the loss.

        Args:
          positive: pairs that count, `"graded"` or `"binary"`.
          pairs: `"mean"` or `"sum"` over the pairs of a list.
          weights: factor of a pair's loss: None, `"label_difference"` or
            `"delta_ndcg"`.
          name: name of the loss in logs.
          **kwargs: arguments of `tf.keras.losses.Loss`.
        """
        super().__init__(
            positive=positive, pairs=pairs, weights=weights, name=name, **kwargs
        )

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each list, `[batch]`."""
        return pairwise_logistic_loss(labels, scores, **self._options())


@register
class PairwiseHingeLoss(PairwiseLoss):
    """The Keras class of `pairwise_hinge_loss`, reduced over the batch.

    Example:
      >>> loss = tm.losses.PairwiseHingeLoss(margin=0.5)
      >>> float(loss([[1.0, 0.0], [1.0, 0.0]], [[2.0, 1.0], [1.0, 2.0]]))
      0.75
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        positive: str = "graded",
        pairs: str = "mean",
        weights: str | None = None,
        name: str = "pairwise_hinge_loss",
        **kwargs,
    ) -> None:
        """Initializes the loss.

        Args:
          margin: lead of the better item over the worse, below which a pair costs.
          positive: pairs that count, `"graded"` or `"binary"`.
          pairs: `"mean"` or `"sum"` over the pairs of a list.
          weights: factor of a pair's loss: None, `"label_difference"` or
            `"delta_ndcg"`.
          name: name of the loss in logs.
          **kwargs: arguments of `tf.keras.losses.Loss`.
        """
        super().__init__(
            positive=positive, pairs=pairs, weights=weights, name=name, **kwargs
        )
        self.margin = check_margin(margin)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each list, `[batch]`."""
        return pairwise_hinge_loss(
            labels, scores, margin=self.margin, **self._options()
        )

    def get_config(self) -> dict:
        return super().get_config() | {"margin": self.margin}
