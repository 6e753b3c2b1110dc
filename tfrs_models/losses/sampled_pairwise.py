"""The loss of one random pair of a list."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.losses.margin_ranking import check_margin
from tfrs_models.ops.lists.list_shapes import read_lists

PENALTIES = ("logistic", "hinge")


def sampled_pairwise_loss(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    penalty: str = "logistic",
    margin: float = 1.0,
    seed: int | tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """The loss of one random positive, `y > 0`, against one random negative, `y = 0`.

    Its expectation is the mean over all such pairs.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding.
      scores: `[batch, list_size]`.
      penalty: `"logistic"`, `log(1 + exp(s_j - s_i))`, or `"hinge"`, `max(0, margin -
        (s_i - s_j))`.
      margin: Of the hinge.
      seed: Scalar; the same seed draws the same pairs, so give every step its own. None
        draws anew at each call, as `tf.random.set_seed` determines.
      mask: `[batch, list_size]` bool, False where there is no item.

    Returns:
      `[batch]` loss; 0 for a list without a positive or without a negative.

    Raises:
      ValueError: an unknown penalty, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Reference:
      Rendle et al., BPR: Bayesian personalized ranking from implicit feedback, UAI
      2009.
    """
    _check(penalty)
    check_margin(margin)
    labels, scores, valid = read_lists(labels, scores, mask)
    # A last column, which is no item, leaves no list empty.
    scores = tf.pad(scores, [[0, 0], [0, 1]])
    positives = tf.pad(valid & (labels > 0), [[0, 0], [0, 1]])
    negatives = tf.pad(valid & tf.equal(labels, 0), [[0, 0], [0, 1]])
    if seed is None:
        noise = tf.random.uniform(tf.shape(scores))
    else:
        seed = tf.stack([tf.cast(seed, tf.int32), 0])
        noise = tf.random.stateless_uniform(tf.shape(scores), seed)

    def drawn(items: tf.Tensor) -> tf.Tensor:
        place = tf.argmax(tf.where(items, noise, -1.0), axis=1)
        return tf.gather(scores, place, batch_dims=1)

    margins = drawn(positives) - drawn(negatives)
    if penalty == "hinge":
        losses = tf.nn.relu(margin - margins)
    else:
        losses = tf.nn.softplus(-margins)
    has_pair = tf.reduce_any(positives, axis=1) & tf.reduce_any(negatives, axis=1)
    return tf.where(has_pair, losses, 0)


@register
class SampledPairwiseLoss(ListLoss):
    """`sampled_pairwise_loss`, reduced over the batch."""

    def __init__(
        self,
        *,
        penalty: str = "logistic",
        margin: float = 1.0,
        seed: int | None = None,
        name: str = "sampled_pairwise_loss",
        **kwargs,
    ) -> None:
        """Initializes the loss.

        Args:
          penalty: As in `sampled_pairwise_loss`.
          margin: As there.
          seed: As there: leave it None for training, which should not draw the same
            places in every batch.
          name: Of the loss.
          **kwargs: Of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        _check(penalty)
        check_margin(margin)
        self.penalty, self.margin, self.seed = penalty, margin, seed

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """`[batch]` losses."""
        return sampled_pairwise_loss(
            labels, scores, penalty=self.penalty, margin=self.margin, seed=self.seed
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "penalty": self.penalty,
            "margin": self.margin,
            "seed": self.seed,
        }


def _check(penalty: str) -> None:
    if penalty not in PENALTIES:
        raise ValueError(f"`penalty` must be one of {PENALTIES}. Got {penalty!r}.")
