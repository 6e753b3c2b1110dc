"""Checks of sampling probabilities."""

import warnings

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

_LEAST = 1e-6  # replaces a probability of 0; the floor of TensorFlow Recommenders


def check_probability(
    probability: tf.Tensor, candidate_ids: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns the probabilities, or names the first value outside [0, 1].

    Args:
      probability: sampling probabilities, `[num_candidates]`.
      candidate_ids: ids for the message, `[num_candidates]`.

    Returns:
      `[num_candidates]` sampling probabilities.

    Raises:
      InvalidArgumentError: a value is NaN, below 0 or above 1.
    """
    probability = tf.convert_to_tensor(probability)
    wrong = tf.reshape(tf.where(~((probability >= 0) & (probability <= 1))), [-1])[:1]
    message = [
        "`candidate_sampling_probability` must be at least 0 and at most 1: the chance "
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
    """Raises a `ValueError` for a floor outside (0, 1].

    Args:
      probability_floor: smallest probability; None for no floor.
    """
    if probability_floor is not None and not 0 < probability_floor <= 1:
        raise ValueError(
            "`probability_floor` must be above 0 and at most 1, or None. "
            f"Got {probability_floor}."
        )


class ProbabilityFloor:
    """Raises probabilities to a floor; without one, only those of 0, and warns once.

    An item without training rows has the probability 0 if its rows were counted, or if
    it was looked up in a table with a default. That must not end a validation.
    """

    def __init__(self, floor: float | None) -> None:
        """Initializes the floor.

        Args:
          floor: smallest probability, to which smaller values are raised; values above
            1 are lowered to 1. None leaves positive values as they are and checks them.
        """
        check_floor(floor)
        self.floor = floor
        self._has_warned = False

    def __call__(
        self, probability: tf.Tensor, candidate_ids: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns probabilities above 0.

        Args:
          probability: sampling probabilities, `[num_candidates]`.
          candidate_ids: ids for the message, `[num_candidates]`.

        Returns:
          `[num_candidates]` sampling probabilities.

        Raises:
          InvalidArgumentError: there is no floor and a value is outside [0, 1].
        """
        if self.floor is not None:
            return tf.clip_by_value(probability, self.floor, 1.0)
        probability = check_probability(probability, candidate_ids)
        zero = tf.equal(probability, 0)
        warned = []
        if not self._has_warned and not _is_compiled():  # XLA can call no Python
            ids = probability if candidate_ids is None else candidate_ids
            ids = tf.boolean_mask(ids, zero)
            warned = tf.cond(
                tf.reduce_any(zero),
                lambda: tf.py_function(self._warn, [zero, ids], tf.bool),
                lambda: False,
            )
            warned = [warned] if tf.is_tensor(warned) else []
        with tf.control_dependencies(warned):
            return tf.where(zero, tf.constant(_LEAST, probability.dtype), probability)

    def _warn(self, zero: tf.Tensor, ids: tf.Tensor) -> bool:
        if self._has_warned:
            return False
        self._has_warned = True
        first = ids.numpy().tolist()[0]
        first = first.decode() if isinstance(first, bytes) else first
        warnings.warn(
            f"{int(tf.math.count_nonzero(zero))} of {len(zero)} candidates of a batch "
            "have a `candidate_sampling_probability` of 0"
            + ("" if ids.dtype == tf.float32 else f", the id {first!r} for one")
            + f": they count as {_LEAST:g}. `probability_floor={_LEAST:g}` says so "
            "without a warning.",
            stacklevel=2,
        )
        return True


def _is_compiled() -> bool:
    if tf.executing_eagerly():
        return False
    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
