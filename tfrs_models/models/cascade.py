"""Retrieve, filter, rank: one module."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.layers.index.requests import K, checked_k, cut, id_lists, is_missing
from tfrs_models.types import Features

_INPUTS = [
    tf.TensorSpec([None], tf.string, "user_id"),
    K,
    tf.TensorSpec([None], tf.bool, "exclude_seen"),
    id_lists("exclusions"),
]


class Cascade(tf.Module):
    """Finds candidates with an index and puts them into the order of a ranker.

    Both are trained apart. `recommend` is the one signature, strings in and strings
    out; its rows are independent, so that a server can batch requests. A user whom
    training did not see gets the most popular items, ranked for an unknown user.

    Reference:
      Covington et al., Deep neural networks for YouTube recommendations, RecSys 2016.
    """

    def __init__(
        self,
        retriever: tf.Module,
        ranker: tf.keras.Model,
        *,
        user_features: Mapping[str, np.ndarray],
        item_features: Mapping[str, np.ndarray],
        joint_features: Callable[[Features, Features], Features] | None = None,
        num_retrieved: int = 100,
        retrieval_weight: float = 0.0,
    ) -> None:
        """Initializes the module.

        Args:
          retriever: A `serving.Recommender`, or what has its `find`, `name`,
            `filters`, `generation` and `num_items`.
          ranker: Has `rank(features)`, from features of rows to named `[rows]` tensors,
            of which `score` orders them: `models.MultiTaskRanker`, `DeepFM`, `DCN`.
          user_features: Feature that the ranker reads -> `[num_users + 1, ...]`; row 0
            is the unknown user.
          item_features: Feature that the ranker reads -> `[num_items + 1, ...]`.
          joint_features: From both sides' features `[rows, ...]` to those of the pair.
          num_retrieved: Candidates that the ranker puts in order; `k` is at most so
            many.
          retrieval_weight: What the retriever's score is worth in the order, beside
            the ranker's: it may know what the ranker does not, such as a history.
            Choose it on validation rows.

        Raises:
          ValueError: a feature of both sides, or more candidates than items.
        """
        super().__init__(name="cascade")
        if not 1 <= num_retrieved <= retriever.num_items:
            raise ValueError(
                "`num_retrieved` must be from 1 to the number of items, "
                f"{retriever.num_items}. Got {num_retrieved}."
            )
        both = user_features.keys() & item_features.keys()
        if both:
            raise ValueError(
                "`user_features` and `item_features` must not share a name. Got "
                f"{sorted(both)} in both."
            )
        self.retriever = retriever
        self.ranker = ranker
        self.num_retrieved = num_retrieved
        self.retrieval_weight = retrieval_weight
        self._joint_features = joint_features
        self._users = _constants(user_features)
        self._items = _constants(item_features)
        self._made = self._made_for = None

    @property
    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """What a server answers, of the index as it is now."""
        return {"serving_default": self.recommend}

    @property
    def recommend(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `serving_default`."""
        if self._made_for != self.retriever.generation:
            self._made = tf.function(
                self._recommend, input_signature=[*_INPUTS, self.retriever.filters]
            )
            self._made_for = self.retriever.generation
        return self._made

    @property
    def samples(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """Requests of the first users and of an unknown one, one and several."""
        requests = []
        for request in self.retriever.samples["serving_default"]:
            blank = np.full([len(request["user_id"]), 1], "", object)
            number = min(int(request["k"].max()), self.num_retrieved)
            requests.append(
                request
                | {"k": np.full_like(request["k"], number), "exclusions": blank}
                | {
                    spec.name: blank
                    if spec.dtype == tf.string
                    else np.full(blank.shape, -1)
                    for spec in self.retriever.filters.values()
                }
            )
        return {"serving_default": requests}

    def _recommend(
        self,
        user_id: tf.Tensor,
        k: tf.Tensor,
        exclude_seen: tf.Tensor,
        exclusions: tf.Tensor,
        filters: dict[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """The best items for each user.

        Args:
          user_id: `[batch]` strings.
          k: `[batch]`, how many items; at most `num_retrieved`.
          exclude_seen: `[batch]`, whether to leave out what the user already has.
          exclusions: `[batch, None]` ids of items that a row does not get, padded
            with "".
          filters: Attribute -> `[batch, None]` values, of which an item must have one,
            padded with "" or -1; a row without values is not filtered by it.

        Returns:
          `item_id`, `title`, the ranker's outputs and `retrieval_score` `[batch,
          max(k)]`, in the order of `score`, to which `retrieval_score` was added with
          its weight; empty strings and a score of `-inf` beyond a row's `k` and where
          too few items are left. `known_user` `[batch]`.

        Raises:
          InvalidArgumentError: a `k` below 1 or above `num_retrieved`.
        """
        largest = checked_k(k, self.num_retrieved)
        found = self.retriever.find(
            user_id,
            self.num_retrieved,
            exclude_seen,
            exclusions=exclusions,
            filters=filters,
        )
        answer = self._rank(found.user, found.items)
        answer["retrieval_score"] = found.scores
        missing = is_missing(found.scores)
        scores = tf.cast(answer["score"], tf.float32)
        if self.retrieval_weight:
            scores += self.retrieval_weight * tf.cast(found.scores, tf.float32)
        scores = tf.where(missing, tf.constant(-float("inf")), scores)
        answer["score"], places = tf.math.top_k(scores, k=largest)
        answer["score"] = cut(answer["score"], k)
        for name, values in answer.items():
            if name != "score":
                answer[name] = tf.gather(values, places, batch_dims=1)
        items = tf.gather(found.items, places, batch_dims=1)
        items = tf.where(is_missing(answer["score"]), tf.zeros_like(items), items)
        answer |= self.retriever.name(items)
        return answer | {"known_user": found.user > 0}

    def _rank(self, user: tf.Tensor, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """The ranker's outputs `[batch, num_retrieved]`."""
        shape = tf.shape(items)
        rows = tf.repeat(user, shape[1])
        users = {name: tf.gather(v, rows) for name, v in self._users.items()}
        columns = tf.reshape(items, [-1])
        items = {name: tf.gather(v, columns) for name, v in self._items.items()}
        joint = self._joint_features(users, items) if self._joint_features else {}
        ranked = self.ranker.rank({**users, **items, **joint})
        return {name: tf.reshape(values, shape) for name, values in ranked.items()}


def _constants(features: Mapping[str, np.ndarray]) -> dict[str, tf.Variable]:
    return {
        name: tf.Variable(values, trainable=False, name=name)
        for name, values in features.items()
    }
