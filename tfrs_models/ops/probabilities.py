"""Checks of sampling probabilities."""

import tensorflow as tf


def check_probability(
    probability: tf.Tensor, candidate_ids: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns `probability`, or fails and names the first value outside (0, 1].

    Args:
      probability: `[num_candidates]` sampling probabilities.
      candidate_ids: `[num_candidates]` ids for the message.

    Raises:
      InvalidArgumentError: a value is NaN, 0 or below, or above 1.
    """
    probability = tf.convert_to_tensor(probability)
    wrong = tf.reshape(tf.where(~((probability > 0) & (probability <= 1))), [-1])[:1]
    message = [
        "`candidate_sampling_probability` must be above 0 and at most 1: the chance "
        "that one draw of a candidate is this item. Count the items of the training "
        "data (`data.candidate_probabilities`), or give `probability_floor=1e-6`. "
        "First wrong position and value:",
        wrong,
        tf.gather(probability, wrong),
    ]
    if candidate_ids is not None:
        message += ["of the candidate id:", tf.gather(candidate_ids, wrong)]
    check = tf.debugging.Assert(tf.equal(tf.size(wrong), 0), message)
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(probability)
