"""Losses of labels and logits, of which some may be masked."""

from collections.abc import Callable

import tensorflow as tf

from tfrs_models.ops.weights import weights_of_rows
from tfrs_models.tasks.columns import Scores

_SMOOTHED = tf.keras.losses.CategoricalCrossentropy


def loss_of_logits(
    loss: Callable,
    labels: tf.Tensor,
    logits: tf.Tensor,
    sample_weight: tf.Tensor | None,
    scores: Scores,
) -> tf.Tensor:
    """A loss in which masked candidates have no part.

    Labels are smoothed over the candidates of a row that are not masked.

    Args:
      loss: Keras loss, or a function of the same arguments.
      labels: `[batch, num_candidates]`, 1 for the positive.
      logits: `[batch, num_candidates]`, the lowest finite number where masked.
      sample_weight: `[batch]` weights of the rows, or None.
      scores: what the logits come from, which says whether any may be masked.

    Raises:
      ValueError: masked candidates would count in the loss.
      InvalidArgumentError: a weight is negative or not finite.
    """
    is_masked = scores.remove_accidental_hits or scores.masks is not None
    smoothing = _smoothing(loss) if is_masked else 0.0
    if smoothing and isinstance(loss, _SMOOTHED):
        counts = tf.cast((logits > logits.dtype.min) | (labels > 0), labels.dtype)
        share = counts / tf.reduce_sum(counts, axis=1, keepdims=True)
        labels = (1 - smoothing) * labels + smoothing * share
        loss = type(loss).from_config(loss.get_config() | {"label_smoothing": 0.0})
    elif is_masked and (smoothing or not _ignores_masked(loss)):
        raise ValueError(
            "`loss` must leave out masked candidates, whose logits are the lowest "
            f"finite number. `{_name(loss)}` lets them count: use "
            "`tf.keras.losses.CategoricalCrossentropy(from_logits=True)`, whose "
            "`label_smoothing` is over the others, or mask no candidate "
            "(`remove_accidental_hits`, `known_positives`, `score_mask`)."
        )
    weight = weights_of_rows(sample_weight, tf.shape(logits)[0])
    return loss(labels, logits, sample_weight=weight)


def _ignores_masked(loss: Callable) -> bool:
    """Whether a masked logit is worth nothing to a loss, tried on a row."""
    function = loss.call if isinstance(loss, tf.keras.losses.Loss) else loss
    with tf.init_scope():
        labels = tf.constant([[1.0, 0.0, 0.0]])
        logits = tf.constant([[0.5, -0.3, tf.float32.min]])
        value = tf.reduce_max(tf.abs(function(labels, logits)))
        return bool(value.numpy() < tf.float32.max * 1e-9)


def _smoothing(loss: Callable) -> float:
    if not isinstance(loss, tf.keras.losses.Loss):
        return 0.0
    return float(loss.get_config().get("label_smoothing") or 0)


def _name(loss: Callable) -> str:
    return getattr(loss, "__name__", type(loss).__name__)
