"""The loss of pairs whose clicks are trusted more or less."""

import math

import tensorflow as tf

from tfrs_models.ops.clickstream.aggregation import differentiable_mean_small_values
from tfrs_models.ops.clickstream.pair_features import FineTuningFeatures

ADJUST = ("unit", "cosine")
_COSINE_SLOPE, _COSINE_SHIFT = 400.0, 6.0


def prob_margin_ranking_loss(
    features: FineTuningFeatures,
    margin: float = 1.0,
    adjust: str = "unit",
    fine_small_difference: bool = False,
) -> tf.Tensor:
    """`mean(sigmoid(g(margin - t (p - n))) min(c_p, c_n))`.

    A pair in the right order by the margin or more costs less than one half, and never
    nothing. The mean is over all pairs, so pairs that are not trusted lower it.

    Args:
      features: Ranks `p` and `n`, targets `t` and confidences of the pairs.
      margin: By how much the positive should be ahead.
      adjust: `g`: "unit", `d`, or "cosine", `400 d - 6`, which is as steep as
        differences of cosines need it.
      fine_small_difference: Whether the mean of small differences `|p - n|` is added,
        which pulls them to 0.

    Returns:
      Scalar; 0 without a pair.

    Raises:
      ValueError: a margin that is not above 0, or an unknown `adjust`.
    """
    losses = pair_losses(features, margin=margin, adjust=adjust)
    count = tf.cast(tf.size(losses), losses.dtype)
    loss = tf.math.divide_no_nan(tf.reduce_sum(losses), count)
    return loss + fine_term(features, margin) if fine_small_difference else loss


def pair_losses(
    features: FineTuningFeatures, *, margin: float, adjust: str
) -> tf.Tensor:
    """What each pair costs in `prob_margin_ranking_loss`, `[num_pairs]`."""
    check_pair_loss(margin, adjust)
    gap = features.target * (features.positive_ranks - features.negative_ranks)
    distance = margin - gap
    if adjust == "cosine":
        distance = _COSINE_SLOPE * distance - _COSINE_SHIFT
    weight = tf.minimum(features.positive_confidences, features.negative_confidences)
    return tf.sigmoid(distance) * weight


def fine_term(features: FineTuningFeatures, margin: float) -> tf.Tensor:
    """The mean of the differences that are small beside the margin, a scalar."""
    difference = features.positive_ranks - features.negative_ranks
    return differentiable_mean_small_values(difference, margin, int(1 / margin * 100))


def check_pair_loss(margin: float, adjust: str) -> None:
    """Raises a `ValueError` for options that no pair could use."""
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"`margin` must be finite and above 0. Got {margin}.")
    if adjust not in ADJUST:
        raise ValueError(f"`adjust` must be one of {ADJUST}. Got {adjust!r}.")
