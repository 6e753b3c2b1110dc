"""From a user's id to titles: all that serving needs, in one module."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.layers.index.brute_force import BruteForce
from tfrs_models.serving.line_numbers import line_numbers


class Recommender(tf.Module):
    """Looks a user up, embeds them, asks the index, and answers in strings.

    A user whom training did not see gets the most popular items, and the answer says
    so. Everything is inside: vocabularies, features, titles and what users have seen.
    """

    def __init__(
        self,
        query_model: tf.keras.layers.Layer,
        index: BruteForce,
        *,
        user_ids: Sequence[str],
        user_features: Mapping[str, np.ndarray],
        item_ids: Sequence[str],
        titles: Sequence[str],
        known_items: tf.RaggedTensor,
        candidate_probabilities: np.ndarray,
    ) -> None:
        """Initializes the module. `data.Interactions` has all of the values.

        Args:
          query_model: From the user's features to `[batch, embedding_dim]`.
          index: Of items 1 to `num_items`, by their integer index.
          user_ids: `[num_users]`; user `i` is row `i + 1` of what follows, and row 0 is
            the unknown user.
          user_features: Feature -> `[num_users + 1, ...]`.
          item_ids: `[num_items]`; item `i` is row `i + 1` of what follows.
          titles: `[num_items + 1]` names for people; row 0 is not used.
          known_items: `[num_users + 1, None]` ragged item indices: what to leave out.
          candidate_probabilities: `[num_items + 1]` popularity; row 0 is not used.
        """
        super().__init__(name="recommender")
        self.query_model = query_model
        self.index = index
        self._users = {
            name: tf.Variable(values, trainable=False, name=name)
            for name, values in user_features.items()
        }
        self._item_ids = tf.Variable(["", *map(str, item_ids)], trainable=False)
        self._titles = tf.Variable(["", *map(str, titles[1:])], trainable=False)
        self._known_values = tf.Variable(known_items.values, trainable=False)
        self._known_splits = tf.Variable(known_items.row_splits, trainable=False)
        popularity = np.asarray(candidate_probabilities)
        order = np.argsort(-popularity[1:], kind="stable") + 1
        self._popular = tf.Variable(order, trainable=False)
        self._popularity = tf.Variable(popularity[order], trainable=False)
        self._user_lines = line_numbers(user_ids, name="user_id")

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "user_id"),
            tf.TensorSpec([], tf.int32, "k"),
            tf.TensorSpec([], tf.bool, "exclude_seen"),
        ]
    )
    def recommend(
        self, user_id: tf.Tensor, k: tf.Tensor, exclude_seen: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The best items for each user.

        Args:
          user_id: `[batch]` strings.
          k: Scalar, how many items; at most all of them.
          exclude_seen: Scalar, whether to leave out what the user already has.

        Returns:
          `item_id`, `title` and `score` `[batch, k]`, best first; empty strings where
          too few items are left. `known_user` `[batch]` is False where the answer is
          the most popular items with their share of the training rows as the score.

        Raises:
          InvalidArgumentError: `k` is below 1 or above the number of items.
        """
        k = _checked(k, tf.shape(self._popular)[0])
        user = self._user_lines.lookup(user_id) + 1  # row 0 is the unknown user
        known = user > 0
        queries = self.query_model(
            {name: tf.gather(values, user) for name, values in self._users.items()}
        )
        seen = tf.RaggedTensor.from_row_splits(
            self._known_values.read_value(),
            self._known_splits.read_value(),
            validate=False,
        )
        # Row 0, the unknown user, has seen nothing.
        seen = tf.gather(seen, tf.where(exclude_seen, user, tf.zeros_like(user)))
        scores, items = self.index.query_with_exclusions(queries, seen, k=k)
        items = tf.where(known[:, None], items, self._popular[None, :k])
        scores = tf.where(known[:, None], scores, self._popularity[None, :k])
        rows = tf.maximum(items, 0)  # row 0 holds the empty strings of missing places
        return {
            "item_id": tf.gather(self._item_ids, rows),
            "title": tf.gather(self._titles, rows),
            "score": scores,
            "known_user": known,
        }


def _checked(k: tf.Tensor, num_items: tf.Tensor) -> tf.Tensor:
    message = "`k` must be from 1 to the number of items."
    checks = [
        tf.debugging.assert_greater_equal(k, 1, message),
        tf.debugging.assert_less_equal(k, num_items, message),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(k)
