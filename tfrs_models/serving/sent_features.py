"""Features of users that come with a request."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.serving.vocabularies import line_numbers

PREFIX = "user_"


class SentFeatures(tf.Module):
    """Replaces features of users by those of a request, where it sends any.

    A feature with a vocabulary is sent as text, "" for none; a bag as texts padded with
    "". Numbers and vectors are sent as floats, NaN for none.

    Example:
      >>> users = {"city": np.array([0, 2]), "age": np.float32([np.nan, 50])}
      >>> sent = SentFeatures(users, {"city": ["Rome", "Oslo"], "age": None})
      >>> features = {"city": tf.constant([0, 2]), "age": tf.constant([np.nan, 50])}
      >>> found, is_sent = sent.join(features, {"user_city": tf.constant(["Oslo", ""]),
      ...     "user_age": tf.constant([33.0, np.nan])})
      >>> found["city"].numpy(), found["age"].numpy(), is_sent.numpy()
      (array([2, 2]), array([33., 50.], dtype=float32), array([ True, False]))
    """

    def __init__(
        self,
        users: Mapping[str, np.ndarray],
        vocabularies: Mapping[str, Sequence[str] | None],
    ) -> None:
        """Initializes the module.

        Args:
          users: feature -> `[num_users + 1, ...]` values of all users.
          vocabularies: feature that a request may send -> its texts, of which the first
            stands for the value 1; None for numbers and vectors.

        Raises:
          ValueError: a feature is none of the users', or of a shape or dtype that no
            request can send.
        """
        super().__init__(name="sent_features")
        if unknown := vocabularies.keys() - users.keys():
            raise ValueError(
                "`request_features` must be among `user_features`, "
                f"{sorted(users)}. Got {sorted(unknown)} too."
            )
        self._lines, self._inputs = {}, {}
        for name, texts in vocabularies.items():
            values = np.asarray(users[name])
            kinds = "f" if texts is None else "iu"
            if values.ndim > 2 or values.dtype.kind not in kinds:
                wanted = "floats" if texts is None else "whole numbers"
                raise ValueError(
                    f"`request_features['{name}']` must be of a feature of {wanted}, "
                    "one or a row of them for each user: give a vocabulary for ids and "
                    f"bags, None for numbers and vectors. Got {values.dtype.name} of "
                    f"shape {values.shape}."
                )
            shape, dtype = [None, *values.shape[1:]], tf.float32
            if texts is not None:
                shape, dtype = [None] * values.ndim, tf.string
                self._lines[name] = line_numbers(texts, name=f"{PREFIX}{name}")
            self._inputs[name] = tf.TensorSpec(shape, dtype, f"{PREFIX}{name}")

    @property
    def inputs(self) -> dict[str, tf.TensorSpec]:
        """Name of an input -> its spec."""
        return {spec.name: spec for spec in self._inputs.values()}

    def join(
        self, features: Mapping[str, tf.Tensor], sent: Mapping[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Replaces the features of the rows that send others.

        Args:
          features: features of the users, `[batch, ...]` by name.
          sent: the `inputs` of the requests; of more values than the feature has in
            `features`, those at the end are left out.

        Returns:
          All features, and `[batch]` bool, True for rows that send any.
        """
        found = dict(features)
        any_sent = None
        for name, spec in self._inputs.items():
            given, known = sent[spec.name], features[name]
            if spec.dtype == tf.string:
                is_given = given != ""
                given = self._lines[name].lookup(given) + 1  # 0 is unknown
            else:
                is_given = ~tf.math.is_nan(given)
            if known.shape.rank == 2:
                is_given = tf.reduce_any(is_given, axis=1)
                width = known.shape[1]
                given = tf.pad(given[:, :width], [[0, 0], [0, width]])[:, :width]
            mask = is_given[:, None] if known.shape.rank == 2 else is_given
            found[name] = tf.where(mask, tf.cast(given, known.dtype), known)
            any_sent = is_given if any_sent is None else any_sent | is_given
        return found, any_sent
