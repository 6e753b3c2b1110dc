"""A module that retrieves, filters and ranks."""

from collections.abc import Callable, Mapping, Sequence

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
    """Retrieves candidates with an index and puts them into the order of a ranker.

    Both are trained apart. `recommend` is the signature `serving_default`, from strings
    to strings; its rows are independent, so that a server can batch requests. A user
    without training rows gets the most popular items, ranked for an unknown user.

    The ranker scores rows of a user and an item, or, with `candidate_features`, whole
    lists (`models.ListRanker`): then it also reads the history and the time of the
    request, and the signature `history` takes both from the request, as that of
    `serving.Recommender` does.

    Example:
      >>> retriever = tm.serving.Recommender(tf.keras.layers.Lambda(lambda u: u["x"]),
      ...     tm.layers.BruteForce(k=2).index(tf.eye(2), [1, 2]), item_ids="ab",
      ...     user_features={"x": np.eye(2)}, candidate_probabilities=np.ones(3),
      ...     known_items=tf.ragged.constant([[], [1]]), user_ids=["ann"], titles="-AB")
      >>> ranker = tm.models.DeepFM([tm.data.Feature("fee", "number")], 2, label="buy")
      >>> cascade = tm.models.Cascade(retriever, ranker, num_retrieved=2,
      ...     user_features={}, item_features={"fee": np.float32([0, 9, 1])})
      >>> sorted(cascade.recommend(["ann"], [2], [False], [[""]], {}))
      ['buy', 'item_id', 'known_user', 'retrieval_score', 'score', 'title']

    Reference:
      Covington et al., Deep neural networks for YouTube recommendations, RecSys 2016.
    """

    def __init__(
        self,
        retriever: tf.Module,
        ranker: tf.keras.Model,
        *,
        user_features: Mapping[str, np.ndarray] | None = None,
        item_features: Mapping[str, np.ndarray] | None = None,
        joint_features: Callable[[Features, Features], Features] | None = None,
        candidate_features: Callable[..., Features] | None = None,
        num_retrieved: int = 100,
        retrieval_weight: float = 0.0,
    ) -> None:
        """Initializes the module.

        Args:
          retriever: `serving.Recommender`, or a module with its `find`, `name`,
            `filters`, `generation` and `num_items`.
          ranker: model with `rank(features)`, from features of rows to named `[rows]`
            tensors, of which `score` orders them: `models.MultiTaskRanker`, `DeepFM`,
            `DCN`; or a `models.ListRanker` with `candidate_features`.
          user_features: `[num_users + 1, ...]` values of each feature of users that a
            ranker of rows reads; row 0 is the unknown user.
          item_features: `[num_items + 1, ...]` values of each feature of items that a
            ranker of rows reads.
          joint_features: function from the features of both sides `[rows, ...]` to
            those of the pair.
          candidate_features: function from items `[batch, num_retrieved]`, their
            retrieval scores and the features of the retriever's query to the features
            of a ranker of lists: `models.CandidateFeatures`.
          num_retrieved: number of candidates that the ranker puts in order, the largest
            `k` of a request.
          retrieval_weight: weight of the retriever's score in the order, beside the
            ranker's: it may contain more than the ranker's, such as a history. Choose
            it on validation rows.

        Raises:
          ValueError: a feature of both sides, features of rows beside those of lists,
            or more candidates than items.
        """
        super().__init__(name="cascade")
        if not 1 <= num_retrieved <= retriever.num_items:
            raise ValueError(
                "`num_retrieved` must be from 1 to the number of items, "
                f"{retriever.num_items}. Got {num_retrieved}."
            )
        user_features, item_features = user_features or {}, item_features or {}
        if candidate_features and (user_features or item_features or joint_features):
            raise ValueError(
                "`candidate_features` are those of a ranker of lists: leave out "
                "`user_features`, `item_features` and `joint_features`. Got "
                f"{sorted({**user_features, **item_features})}."
            )
        both = user_features.keys() & item_features.keys()
        if both:
            raise ValueError(
                "`user_features` and `item_features` must not share a name. Got "
                f"{sorted(both)} in both."
            )
        self.retriever = retriever
        self.exclude_seen = retriever.exclude_seen  # recommended value in requests
        self.ranker = ranker
        self.num_retrieved = num_retrieved
        self.retrieval_weight = retrieval_weight
        self.candidate_features = candidate_features
        self._joint_features = joint_features
        self._users = _constants(user_features)
        self._items = _constants(item_features)
        self._made, self._made_for = {}, None

    @property
    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """The signatures of a server, for the index as it is now."""
        generation = self.retriever.generation  # read once: threads may refill it
        if self._made_for != generation:
            inputs = [*_INPUTS, self.retriever.filters]

            def recommend(user_id, k, exclude_seen, exclusions, filters):
                return self._recommend(user_id, k, exclude_seen, exclusions, filters)

            self._made = {
                "serving_default": tf.function(recommend, input_signature=inputs)
            }
            live = getattr(self.retriever, "live_inputs", {})
            if self.candidate_features is not None and live:
                self._made["history"] = tf.function(
                    self._recommend, input_signature=[*inputs, live]
                )
            self._made_for = generation
        return self._made

    @property
    def recommend(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `serving_default`."""
        return self.signatures["serving_default"]

    @property
    def recommend_history(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `history`."""
        return self.signatures["history"]

    @property
    def samples(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """Requests of the first users and of an unknown user, one and several."""
        blank_filters = {
            spec.name: "" if spec.dtype == tf.string else -1
            for spec in self.retriever.filters.values()
        }
        requests = {"serving_default": [], "history": []}
        samples = self.retriever.samples
        for name, made in requests.items():
            for request in samples.get(name, ()):
                blank = np.full([len(request["user_id"]), 1], "", object)
                number = min(int(request["k"].max()), self.num_retrieved)
                made.append(
                    request
                    | {"k": np.full_like(request["k"], number), "exclusions": blank}
                    | {
                        filter_name: np.full(
                            blank.shape, value, object if value == "" else np.int64
                        )
                        for filter_name, value in blank_filters.items()
                    }
                )
        return {name: requests[name] for name in self.signatures}

    def update_trends(
        self,
        counts: Mapping[str, float] | Sequence[str],
        time: int,
        *,
        event_times: Sequence[int] | None = None,
    ) -> None:
        """Renews the trends of the retriever and those that a ranker of lists reads.

        An export that is made afterwards has them too.

        Args:
          counts: id of an item -> number of its events since the last update; or a
            sequence of item ids, one for each event.
          time: seconds since 1970, until when the events are counted.
          event_times: seconds of each event, where `counts` is a sequence; None counts
            all in the middle of the time since the last update.

        Raises:
          ValueError: the retriever has no trends, the ranker's are others, an id is
            unknown, or a time or number is out of range; nothing has changed.
        """
        features, trends = self.candidate_features, self.retriever.trends
        read = getattr(features, "trends_shape", None)
        if trends is not None and read is not None and read[1] != trends.num_trends:
            raise ValueError(
                "`candidate_features` must have as many trend features as the "
                f"retriever, {trends.num_trends}: make both with one "
                f"`data.TrendTable`. Got {read[1]}."
            )
        self.retriever.update_trends(counts, time, event_times=event_times)
        if read is not None:
            features.update_trends(trends.columns(np.arange(read[0])))

    def _recommend(
        self,
        user_id: tf.Tensor,
        k: tf.Tensor,
        exclude_seen: tf.Tensor,
        exclusions: tf.Tensor,
        filters: dict[str, tf.Tensor],
        live: dict[str, tf.Tensor] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Recommends the best items to each user.

        Args:
          user_id: `[batch]` strings.
          k: `[batch]` numbers of items; at most `num_retrieved`.
          exclude_seen: `[batch]` bool, True to exclude items that the user already has.
          exclusions: `[batch, None]` ids of items that a row does not get, padded
            with "".
          filters: `[batch, None]` values of each attribute, of which an item must have
            one, padded with "" or -1; a row without values is not filtered by it.
          live: histories of the requests, the `live_inputs` of the retriever.

        Returns:
          `item_id`, `title`, the ranker's outputs and `retrieval_score` `[batch,
          max(k)]`, in the order of `score`, to which `retrieval_score` was added with
          its weight; empty strings and a score of `-inf` beyond a row's `k` and where
          too few items are left. `known_user` `[batch]`; with histories also
          `personal` and `num_unknown`, as of `serving.Recommender`.

        Raises:
          InvalidArgumentError: a `k` below 1 or above `num_retrieved`.
        """
        largest = checked_k(k, self.num_retrieved)
        restrictions = {"exclusions": exclusions, "filters": filters}
        if live is not None:
            restrictions["live"] = live
        found = self.retriever.find(
            user_id, self.num_retrieved, exclude_seen, **restrictions
        )
        if self.candidate_features is None:
            answer = self._rank(found.user, found.items)
        else:
            answer = self._rank_list(found)
        answer["retrieval_score"] = found.scores
        missing = is_missing(found.scores)
        scores = tf.cast(answer["score"], tf.float32)
        if self.retrieval_weight:
            scores += self.retrieval_weight * tf.cast(found.scores, tf.float32)
        scores = tf.where(missing, tf.constant(-float("inf")), scores)
        answer["score"], order = tf.math.top_k(scores, k=largest)
        answer["score"] = cut(answer["score"], k)
        for name, values in answer.items():
            if name != "score":
                answer[name] = tf.gather(values, order, batch_dims=1)
        items = tf.gather(found.items, order, batch_dims=1)
        items = tf.where(is_missing(answer["score"]), tf.zeros_like(items), items)
        answer |= self.retriever.name(items)
        if live is not None:
            answer["personal"] = found.is_personal
            answer["num_unknown"] = found.num_unknown
        return answer | {"known_user": found.user > 0}

    def _rank_list(self, found: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Returns the outputs of a ranker of lists, `[batch, num_retrieved]`."""
        features = self.candidate_features(found.items, found.scores, found.features)
        return dict(self.ranker.rank(features))

    def _rank(self, user: tf.Tensor, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the ranker's outputs `[batch, num_retrieved]`."""
        shape = tf.shape(items)
        rows = tf.repeat(user, shape[1])
        users = {name: tf.gather(v, rows) for name, v in self._users.items()}
        columns = tf.reshape(items, [-1])
        # The retriever may have got items later, without training: they are unknown.
        items = {
            name: tf.gather(v, tf.where(columns < v.shape[0], columns, 0))
            for name, v in self._items.items()
        }
        joint = self._joint_features(users, items) if self._joint_features else {}
        ranked = self.ranker.rank({**users, **items, **joint})
        return {name: tf.reshape(values, shape) for name, values in ranked.items()}


def _constants(features: Mapping[str, np.ndarray]) -> dict[str, tf.Variable]:
    return {
        name: tf.Variable(values, trainable=False, name=name)
        for name, values in features.items()
    }
