"""Serves recommendations for user ids, from the lookup of a user to titles."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.layers.index.requests import (
    K,
    checked_k,
    cut,
    filter_specs,
    id_lists,
    is_missing,
    pad_missing,
)
from tfrs_models.layers.index.slot_index import SlotIndex
from tfrs_models.serving.vocabularies import line_numbers

_USER_ID = tf.TensorSpec([None], tf.string, "user_id")
_EXCLUDE_SEEN = tf.TensorSpec([None], tf.bool, "exclude_seen")


class Found(NamedTuple):
    """The best items for a batch of users, as indices.

    Attributes:
      user: `[batch]` int64 rows of the users, 0 for an unknown user.
      items: `[batch, k]` indices of items, 0 if too few items are left.
      scores: `[batch, k]` scores, `-inf` if too few items are left.
    """

    user: tf.Tensor
    items: tf.Tensor
    scores: tf.Tensor


class Recommender(tf.Module):
    """A module that recommends items, as strings, for user ids.

    It contains the vocabularies, the users' features and known items, the query tower,
    the index and the titles. A user that training did not see gets the most popular
    items, and `known_user` of the answer is False.

    It has three signatures, whose rows are independent, so that a server can batch
    requests: `serving_default` takes `user_id`, `k` and `exclude_seen`; `filtered`
    additionally takes `exclusions` and a `filter_<attribute>` for each attribute of the
    index; `among` also takes `allowed`, the only items that a row may get. Lists of ids
    are padded with "" to one length. An empty list of filter values does not filter.

    Example:
      >>> tower = tf.keras.layers.Lambda(lambda features: features["taste"])
      >>> index = tm.layers.BruteForce().index(np.eye(2, dtype="float32"), [1, 2])
      >>> recommender = tm.serving.Recommender(tower, index, user_ids=["ann"],
      ...     user_features={"taste": np.float32([[0, 0], [1, 2]])}, item_ids=[*"xy"],
      ...     titles=["", "Alien", "Brazil"], candidate_probabilities=[0, 0.7, 0.3],
      ...     known_items=tf.ragged.constant([[], [2]], dtype=tf.int64))
      >>> found = recommender.find(tf.constant(["ann"]), 2, tf.constant([False]))
      >>> recommender.name(found.items)["title"].numpy()
      array([[b'Brazil', b'Alien']], dtype=object)
    """

    def __init__(
        self,
        query_model: tf.keras.layers.Layer,
        index: SlotIndex,
        *,
        user_ids: Sequence[str],
        user_features: Mapping[str, np.ndarray],
        item_ids: Sequence[str],
        titles: Sequence[str],
        known_items: tf.RaggedTensor,
        candidate_probabilities: np.ndarray,
        exclude_seen: bool = True,
    ) -> None:
        """Initializes the module; `data.Interactions` has all of the values.

        Args:
          query_model: layer from the user's features to `[batch, embedding_dim]`.
          index: index of the items 1 to `num_items`, whose identifiers are integers.
          user_ids: `[num_users]` ids. User `i` has row `i + 1` in `user_features` and
            `known_items`; row 0 stands for all unknown users.
          user_features: feature name -> `[num_users + 1, ...]` values.
          item_ids: `[num_items]` ids. Item `i` has row `i + 1` in `titles` and
            `candidate_probabilities`; their row 0 is not used.
          titles: `[num_items + 1]` titles.
          known_items: `[num_users + 1, None]` ragged indices of the items that a user
            has; `exclude_seen` removes them.
          candidate_probabilities: `[num_items + 1]` popularity of the items.
          exclude_seen: recommended value of `exclude_seen` in requests, which clients
            read as `exclude_seen` of the loaded SavedModel: that of the evaluation,
            `data.repeats != "allow"`.

        Raises:
          ValueError: an argument has values for another number of users or items.
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
        self._popularity = tf.Variable(
            np.asarray(candidate_probabilities, np.float32), trainable=False
        )
        self.exclude_seen = tf.Variable(
            bool(exclude_seen), trainable=False, name="exclude_seen"
        )
        self._user_lines = line_numbers(user_ids, name="user_id")
        self._item_lines = line_numbers(item_ids, name="item_id")
        self._examples = [str(user) for user in user_ids[:4]]
        self._check_sizes(len(user_ids), len(item_ids))
        self._made, self._made_for = {}, None

    @property
    def filters(self) -> dict[str, tf.TensorSpec]:
        """Attribute of the index -> spec of the input `filter_<attribute>`."""
        return filter_specs(self.index)

    @property
    def generation(self) -> int:
        """Generation of the index; graphs of an earlier one are out of date."""
        return self.index.generation

    @property
    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """Name -> function that a server calls, for the index in its present state."""
        generation = self.generation  # read once: threads may refill it
        if self._made_for != generation:
            request = [_USER_ID, K, _EXCLUDE_SEEN]
            lists = [*request, id_lists("exclusions"), self.filters]

            def recommend(user_id, k, exclude_seen):
                return self._answer(user_id, k, exclude_seen)

            def filtered(user_id, k, exclude_seen, exclusions, filters):
                return self._answer(
                    user_id, k, exclude_seen, exclusions=exclusions, filters=filters
                )

            def among(user_id, k, exclude_seen, exclusions, filters, allowed):
                restrictions = {"exclusions": exclusions, "filters": filters}
                return self._answer(
                    user_id, k, exclude_seen, **restrictions, allowed=allowed
                )

            self._made = {
                "serving_default": tf.function(recommend, input_signature=request),
                "filtered": tf.function(filtered, input_signature=lists),
                "among": tf.function(
                    among, input_signature=[*lists, id_lists("allowed")]
                ),
            }
            self._made_for = generation
        return self._made

    @property
    def recommend(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `serving_default`."""
        return self.signatures["serving_default"]

    @property
    def recommend_filtered(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `filtered`."""
        return self.signatures["filtered"]

    @property
    def recommend_among(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `among`."""
        return self.signatures["among"]

    @property
    def samples(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """Sample requests of one row and of several, with an unknown user."""
        users = np.array([*self._examples, "unknown"], object)
        number = min(10, self._titles.shape[0] - 1)
        requests = [
            {
                "user_id": some,
                "k": np.full(len(some), number, np.int32),
                "exclude_seen": np.arange(len(some)) % 2 == 0,
            }
            for some in (users[:1], users)
        ]
        return {"serving_default": requests}

    @property
    def num_items(self) -> int:
        """Number of items of the catalogue."""
        return self._titles.shape[0] - 1

    def find(
        self,
        user_id: tf.Tensor,
        number: int | tf.Tensor,
        exclude_seen: tf.Tensor,
        *,
        exclusions: tf.Tensor | None = None,
        filters: Mapping[str, tf.Tensor] | None = None,
        allowed: tf.Tensor | None = None,
    ) -> Found:
        """Finds the best items for each user, as indices.

        Args:
          user_id: `[batch]` ids of users, strings.
          number: number of items for each user, at most `num_items`.
          exclude_seen: `[batch]` booleans, True to exclude the user's known items.
          exclusions: `[batch, None]` ids of items that a row must not get.
          filters: attribute of the index -> `[batch, None]` accepted values.
          allowed: `[batch, None]` ids of the only items that a row may get.
        """
        user = self._user_lines.lookup(user_id) + 1  # row 0 is the unknown user
        queries = self.query_model(
            {name: tf.gather(values, user) for name, values in self._users.items()}
        )
        seen = tf.RaggedTensor.from_row_splits(
            self._known_values.read_value(),
            self._known_splits.read_value(),
            validate=False,
        )
        # Row 0, the unknown user, has no known items.
        seen = tf.gather(seen, tf.where(exclude_seen, user, tf.zeros_like(user)))
        restrictions = {"exclusions": tf.cast(seen, tf.int64)}
        if exclusions is not None:
            restrictions["exclusions"] = tf.concat(
                [restrictions["exclusions"], self._item_rows(exclusions)], axis=1
            )
        if filters:
            restrictions["filters"] = dict(filters)
        if allowed is not None:
            restrictions["allowed"] = self._item_rows(allowed)
        snapshot = self.index.snapshot()  # one for known and unknown users
        # The index may have lost some candidates, or all.
        most = tf.minimum(number, tf.maximum(snapshot.num_candidates, 1))
        answer = self.index(queries, k=most, snapshot=snapshot, **restrictions)
        unknown = tf.where(user == 0)

        def with_popular() -> tuple[tf.Tensor, tf.Tensor]:
            those = tf.nest.map_structure(
                lambda lists: tf.gather(lists, unknown[:, 0]), restrictions
            )
            rows = tf.repeat(self._popularity[None], tf.shape(unknown)[0], axis=0)
            popular = self.index.largest(rows, most, snapshot=snapshot, **those)
            return tuple(
                tf.tensor_scatter_nd_update(own, unknown, tf.cast(other, own.dtype))
                for own, other in zip(answer, popular, strict=True)
            )

        scores, items = tf.cond(
            tf.size(unknown) > 0, with_popular, lambda: (answer[0], answer[1])
        )
        scores, items = pad_missing(scores, tf.cast(items, tf.int64), k=number)
        # Items that were added to the index later have no title.
        is_known = (items > 0) & (items <= self.num_items)
        return Found(user, tf.where(is_known, items, tf.zeros_like(items)), scores)

    def name(self, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `item_id` and `title` of indices; empty strings for index 0."""
        return {
            "item_id": tf.gather(self._item_ids, items),
            "title": tf.gather(self._titles, items),
        }

    def _answer(
        self,
        user_id: tf.Tensor,
        k: tf.Tensor,
        exclude_seen: tf.Tensor,
        **restrictions: tf.Tensor | dict[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Returns the best items for each user, as strings.

        Args:
          user_id: `[batch]` ids of users, strings.
          k: `[batch]` number of items for each user, at most `num_items`.
          exclude_seen: `[batch]` booleans, True to exclude the user's known items.
          **restrictions: the other arguments of `find`, which restrict the items.

        Returns:
          `item_id`, `title` and `score` `[batch, max(k)]`, best first; empty strings
          and `-inf` beyond a row's `k` and if too few items are left. `known_user`
          `[batch]` is False for unknown users, whose items are the most popular ones
          and whose scores are the items' shares of the training rows.

        Raises:
          InvalidArgumentError: a `k` below 1 or above the number of items.
        """
        number = checked_k(k, self.num_items)
        found = self.find(user_id, number, exclude_seen, **restrictions)
        scores = cut(found.scores, k)
        none = tf.zeros_like(found.items)
        items = tf.where(is_missing(scores), none, found.items)
        return self.name(items) | {"score": scores, "known_user": found.user > 0}

    def _check_sizes(self, num_users: int, num_items: int) -> None:
        sizes = {
            "titles": (self._titles.shape[0], num_items + 1),
            "candidate_probabilities": (self._popularity.shape[0], num_items + 1),
            "known_items": (self._known_splits.shape[0] - 1, num_users + 1),
        } | {
            f"user_features['{name}']": (values.shape[0], num_users + 1)
            for name, values in self._users.items()
        }
        for argument, (got, rows) in sizes.items():
            if got != rows:
                raise ValueError(
                    f"`{argument}` must have {rows} rows, one for each id and row 0 for"
                    f" the unknown. Got {got}."
                )

    def _item_rows(self, item_ids: tf.Tensor) -> tf.Tensor:
        return self._item_lines.lookup(item_ids) + 1  # no item has row 0
