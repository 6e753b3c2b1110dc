"""The loss of one random pair of a list."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.draws import Draws
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
    """Computes the loss of one random positive against one random negative of a list.

    Positives have labels above 0, negatives the label 0. The expectation of the loss is
    the mean over all such pairs.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding.
      scores: `[batch, list_size]` predicted scores.
      penalty: `"logistic"`, `log(1 + exp(s_j - s_i))`, or `"hinge"`, `max(0, margin -
        (s_i - s_j))`.
      margin: lead of the positive over the negative, below which the hinge costs.
      seed: scalar or `[2]`; the same seed draws the same pairs, so give every step its
        own. None draws anew at each call, as `tf.random.set_seed` determines, and in a
        resumed training other pairs than without the interruption: the class of this
        loss numbers its draws in the model's checkpoints.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss; 0 for a list without a positive or without a negative.

    Raises:
      ValueError: an unknown penalty, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels = [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]]  # the second has no pair
      >>> scores = [[0.0, 0.0, 9.0], [1.0, 2.0, 3.0]]
      >>> tm.losses.sampled_pairwise_loss(labels, scores).numpy().round(3)
      array([0.693, 0.   ], dtype=float32)

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
        seed = tf.cast(seed, tf.int64)
        seed = seed if seed.shape.rank else tf.stack([seed, 0])
        noise = tf.random.stateless_uniform(tf.shape(scores), seed)

    def drawn(items: tf.Tensor) -> tf.Tensor:
        index = tf.argmax(tf.where(items, noise, -1.0), axis=1)
        return tf.gather(scores, index, batch_dims=1)

    margins = drawn(positives) - drawn(negatives)
    if penalty == "hinge":
        losses = tf.nn.relu(margin - margins)
    else:
        losses = tf.nn.softplus(-margins)
    has_pair = tf.reduce_any(positives, axis=1) & tf.reduce_any(negatives, axis=1)
    return tf.where(has_pair, losses, 0)


@register
class SampledPairwiseLoss(Draws, tf.__internal__.tracking.AutoTrackable, ListLoss):
    """The Keras class of `sampled_pairwise_loss`, reduced over the batch.

    Example:
      >>> loss = tm.losses.SampledPairwiseLoss(penalty="hinge", margin=1.0)
      >>> float(loss([[1.0, 0.0]], [[0.4, 0.2]]))  # the only pair leads by 0.2
      0.8...
    """

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
          penalty: `"logistic"` or `"hinge"`.
          margin: lead of the positive over the negative, below which the hinge costs.
          seed: seed of the draws; leave it None for training, which should not draw the
            same positions in every batch.
          name: name of the loss in logs.
          **kwargs: arguments of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        _check(penalty)
        check_margin(margin)
        self.penalty, self.margin, self.seed = penalty, margin, seed

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each list, `[batch]`."""
        seed = self.next_seed() if self.seed is None else self.seed
        return sampled_pairwise_loss(
            labels, scores, penalty=self.penalty, margin=self.margin, seed=seed
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
