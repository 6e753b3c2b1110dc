"""All logits of a batch at once, for losses and metrics that ask for them."""

import tensorflow as tf

from tfrs_models.ops.masks import same_item_mask
from tfrs_models.ops.ranks.scores import dot_scores
from tfrs_models.tasks.columns import Scores


def dense_logits(scores: Scores) -> tuple[tf.Tensor, tf.Tensor]:
    """Corrected and masked logits, with the labels.

    Args:
      scores: What to score.

    Returns:
      Logits and one-hot labels, `[batch, num_candidates]` each; what is no negative has
      the lowest finite logit.
    """
    columns, positives = scores.columns, scores.positive_columns
    logits = dot_scores(scores.queries, columns.embeddings)
    labels = tf.one_hot(positives, tf.shape(columns.embeddings)[0])
    if scores.expected_counts is not None:
        # Over the number of candidates, which is a constant: with one source these are
        # the probabilities, and the logits those of TensorFlow Recommenders.
        draws = tf.maximum(tf.size(scores.expected_counts) - 1, 1)
        logits -= tf.math.log(scores.expected_counts / tf.cast(draws, logits.dtype))
    masked = tf.zeros([1, 1], tf.bool)
    if scores.remove_accidental_hits:
        masked |= same_item_mask(tf.gather(columns.ids, positives), columns.ids)
    if scores.masks is not None:
        masked |= scores.masks(slice(None))
    masked &= ~tf.cast(labels, tf.bool)
    return tf.where(masked, logits.dtype.min, logits), labels
