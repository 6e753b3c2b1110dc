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


def check_floor(probability_floor: float | None) -> None:
    """Raises a `ValueError` for a floor outside (0, 1]."""
    if probability_floor is not None and not 0 < probability_floor <= 1:
        raise ValueError(
            "`probability_floor` must be above 0 and at most 1, or None. "
            f"Got {probability_floor}."
        )


def checked_probability(
    probability: tf.Tensor,
    *,
    floor: float | None,
    candidate_ids: tf.Tensor | None = None,
) -> tf.Tensor:
    """Probabilities raised to a floor, or checked where there is none.

    Args:
      probability: `[num_candidates]` sampling probabilities.
      floor: Raises smaller values to it, and lowers those above 1 to 1.
      candidate_ids: `[num_candidates]` ids for the message.

    Raises:
      InvalidArgumentError: there is no floor and a value is outside (0, 1].
    """
    if floor is None:
        return check_probability(probability, candidate_ids)
    return tf.clip_by_value(probability, floor, 1.0)
