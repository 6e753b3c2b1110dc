"""The logistic loss of the pairs that the labels of a list order."""

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
    """Mean of `log(1 + exp(s_j - s_i))` over the pairs where `y_i > y_j`.

    Can be differentiated once, by the scores.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding.
      scores: `[batch, list_size]`.
      positive: Which pairs: `"graded"`, all with `y_i > y_j`; `"binary"`, those with
        `y_i >= 1` and `y_j == 0`.
      pairs: `"mean"` or `"sum"` over a list's pairs. A sum grows with the square of
        the list's length. Weights are no part of the mean's denominator.
      weights: What a pair's loss is multiplied by: nothing, `"label_difference"`
        `y_i - y_j`, or `"delta_ndcg"`, how much NDCG changes when the two items change
        places (LambdaRank). Of equal scores the worse item is taken to stand first.
      mask: `[batch, list_size]` bool, False where there is no item.

    Returns:
      `[batch]` loss; 0 for a list without such a pair.

    Raises:
      ValueError: an unknown option, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

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


@register
class PairwiseLogisticLoss(ListLoss):
    """`pairwise_logistic_loss`, reduced over the batch."""

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
          positive: As in `pairwise_logistic_loss`.
          pairs: As there.
          weights: As there.
          name: Of the loss.
          **kwargs: Of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        check_pair_options(positive=positive, pairs=pairs, weights=weights)
        self.positive, self.pairs, self.weights = positive, pairs, weights

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """`[batch]` losses."""
        return pairwise_logistic_loss(
            labels,
            scores,
            positive=self.positive,
            pairs=self.pairs,
            weights=self.weights,
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "positive": self.positive,
            "pairs": self.pairs,
            "weights": self.weights,
        }


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
    """Mean of `max(0, margin - (s_i - s_j))` over the pairs where `y_i > y_j`.

    Can be differentiated once, by the scores.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding.
      scores: `[batch, list_size]`.
      margin: By how much the better item should be above the worse.
      positive: Which pairs: `"graded"`, all with `y_i > y_j`; `"binary"`, those with
        `y_i >= 1` and `y_j == 0`.
      pairs: `"mean"` or `"sum"` over a list's pairs. A sum grows with the square of
        the list's length. Weights are no part of the mean's denominator.
      weights: What a pair's loss is multiplied by: nothing, `"label_difference"`
        `y_i - y_j`, or `"delta_ndcg"`, how much NDCG changes when the two items change
        places. Of equal scores the worse item is taken to stand first.
      mask: `[batch, list_size]` bool, False where there is no item.

    Returns:
      `[batch]` loss; 0 for a list without such a pair.

    Raises:
      ValueError: an unknown option, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

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


@register
class PairwiseHingeLoss(ListLoss):
    """`pairwise_hinge_loss`, reduced over the batch."""

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
          margin: As in `pairwise_hinge_loss`.
          positive: As there.
          pairs: As there.
          weights: As there.
          name: Of the loss.
          **kwargs: Of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        check_pair_options(positive=positive, pairs=pairs, weights=weights)
        self.margin = check_margin(margin)
        self.positive, self.pairs, self.weights = positive, pairs, weights

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """`[batch]` losses."""
        return pairwise_hinge_loss(
            labels,
            scores,
            margin=self.margin,
            positive=self.positive,
            pairs=self.pairs,
            weights=self.weights,
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "margin": self.margin,
            "positive": self.positive,
            "pairs": self.pairs,
            "weights": self.weights,
        }
