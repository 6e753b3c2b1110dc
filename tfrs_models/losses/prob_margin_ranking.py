"""A loss of pairs of a clicked and an unclicked result, weighted by confidence."""

import math

import tensorflow as tf

from tfrs_models.ops.clickstream.pairs import FineTuningFeatures
from tfrs_models.ops.clickstream.scores import differentiable_mean_small_values

ADJUST = ("unit", "cosine")
_COSINE_SLOPE, _COSINE_SHIFT = 400.0, 6.0


def prob_margin_ranking_loss(
    features: FineTuningFeatures,
    margin: float = 1.0,
    adjust: str = "unit",
    fine_small_difference: bool = False,
) -> tf.Tensor:
    """Computes `mean(sigmoid(g(margin - t (p - n))) min(c_p, c_n))` over the pairs.

    A pair that is in the right order by the margin or more costs less than one half,
    but never 0. The mean is over all pairs, so pairs of low confidence lower it.

    Args:
      features: scores `p` and `n`, targets `t` and confidences `c_p` and `c_n` of the
        pairs, `[num_pairs]` each.
      margin: difference by which the positive should be ahead.
      adjust: function `g` of a difference `d`: "unit" is `d`, "cosine" is `400 d - 6`,
        steep enough for differences of cosines.
      fine_small_difference: whether the mean of the small differences `|p - n|` is
        added, which pulls them to 0.

    Returns:
      Scalar; 0 without a pair.

    Raises:
      ValueError: a margin that is not above 0, or an unknown `adjust`.

    Example:
      >>> pairs = tm.data.clickstream.make_features(
      ...     [0.9, 0.2], [0.1, 0.3], [1, 1], [1, 1], [1, 1])
      >>> for adjust in ("unit", "cosine"):
      ...     loss = tm.losses.prob_margin_ranking_loss(pairs, 0.05, adjust)
      ...     print(f"{loss:.3f}")
      0.429
      0.500
    """
    losses = pair_losses(features, margin=margin, adjust=adjust)
    count = tf.cast(tf.size(losses), losses.dtype)
    loss = tf.math.divide_no_nan(tf.reduce_sum(losses), count)
    return loss + fine_term(features, margin) if fine_small_difference else loss


def pair_losses(
    features: FineTuningFeatures, *, margin: float, adjust: str
) -> tf.Tensor:
    """Computes the loss of each pair in `prob_margin_ranking_loss`, `[num_pairs]`."""
    check_pair_loss(margin, adjust)
    gap = features.target * (features.positive_ranks - features.negative_ranks)
    distance = margin - gap
    if adjust == "cosine":
        distance = _COSINE_SLOPE * distance - _COSINE_SHIFT
    weight = tf.minimum(features.positive_confidences, features.negative_confidences)
    return tf.sigmoid(distance) * weight


def fine_term(features: FineTuningFeatures, margin: float) -> tf.Tensor:
    """Averages the differences that are small compared with the margin, a scalar."""
    difference = features.positive_ranks - features.negative_ranks
    return differentiable_mean_small_values(difference, margin, int(1 / margin * 100))


def check_pair_loss(margin: float, adjust: str) -> None:
    """Raises `ValueError` for a margin or an adjustment out of range."""
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"`margin` must be finite and above 0. Got {margin}.")
    if adjust not in ADJUST:
        raise ValueError(f"`adjust` must be one of {ADJUST}. Got {adjust!r}.")
