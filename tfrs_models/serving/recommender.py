"""Serves recommendations for user ids, from the lookup of a user to titles."""

import types
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.layers.index.checks import scoring_dtype
from tfrs_models.layers.index.live import Snapshot
from tfrs_models.layers.index.requests import (
    K,
    checked_k,
    cut,
    filter_specs,
    id_lists,
    is_missing,
    pad_missing,
)
from tfrs_models.layers.index.score_index import ScoreIndex
from tfrs_models.layers.index.slot_index import SlotIndex
from tfrs_models.serving import asking
from tfrs_models.serving.catalogue import Catalogue
from tfrs_models.serving.explaining import leave_one_out, reasons
from tfrs_models.serving.live_history import (
    HISTORY,
    INPUTS,
    REQUEST_TIME,
    is_of_history,
    join_history,
)
from tfrs_models.serving.live_trends import LiveTrends, checked_events, features
from tfrs_models.serving.new_items import embeddings_of
from tfrs_models.serving.sample_requests import sample_requests
from tfrs_models.serving.sent_features import SentFeatures
from tfrs_models.serving.similar_items import mean_embeddings
from tfrs_models.serving.vocabularies import line_numbers
from tfrs_models.types import Tensor

_USER_ID = tf.TensorSpec([None], tf.string, "user_id")
_ITEM_ID = id_lists("item_id")
_EXCLUDE_SEEN = tf.TensorSpec([None], tf.bool, "exclude_seen")


class Found(NamedTuple):
    """The best items for a batch of users, as indices.

    Attributes:
      user: `[batch]` int64 rows of the users, 0 for an unknown user.
      items: `[batch, k]` indices of items, 0 if too few items are left.
      scores: `[batch, k]` scores, `-inf` if too few items are left.
      features: input of the query model, `[batch, ...]` by feature.
      is_personal: `[batch]` bool, False if the items are the most popular ones.
      num_unknown: `[batch]` int32 numbers of ids in the histories of requests that were
        skipped as unknown.
    """

    user: tf.Tensor
    items: tf.Tensor
    scores: tf.Tensor
    features: dict[str, tf.Tensor]
    is_personal: tf.Tensor
    num_unknown: tf.Tensor


class _Query(NamedTuple):
    """Who asks: the input of the query model, and the rows of the seen items."""

    user: tf.Tensor
    features: dict[str, tf.Tensor]
    is_personal: tf.Tensor
    num_unknown: tf.Tensor
    seen: tf.RaggedTensor


class Recommender(tf.Module):
    """A module that recommends items, as strings, for user ids.

    It contains the vocabularies, the users' features and known items, the query tower,
    the index and the titles. A user that training did not see gets the most popular
    items, and `known_user` of the answer is False.

    The rows of its signatures are independent, so that a server can batch requests.
    Lists of ids are padded with "" to one length. An empty list of filter values does
    not filter.

    - `serving_default` takes `user_id`, `k` and `exclude_seen`.
    - `filtered` additionally takes `exclusions` and a `filter_<attribute>` for each
      attribute of the index.
    - `among` takes what `filtered` does and `allowed`, the only items that a row may
      get.
    - `history`, of query models that read the feature `history`, takes what `filtered`
      does, the `history` of the request (item ids, newest last), `history_time` (of its
      items) and `time` (of the request), both in seconds since 1970 and 0 if unknown,
      and `append`: True if the history is what is new since the known past of the user,
      False if it is all. Its items count as seen. A visitor, whose `user_id` may be
      "", gets personal answers too. With `request_features` it also takes a
      `user_<feature>` for each of these.
    - `explain` takes what `history` does, and additionally answers `why_item_id` and
      `why_share`: the items of the history that raise the score of an answer most, and
      their shares of what all items raise it by. The contribution of an item is how far
      the score falls without it. With trends there is `trend_score`, the part of the
      score that is owed to them.
    - `similar_items` takes `item_id`, a list of items, `k`, `exclusions` and filters,
      and answers with the items most like the mean of these. Not of a `ScoreIndex`,
      whose items have no embeddings.

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
        item_tower: tf.keras.layers.Layer | None = None,
        explain: bool = False,
        trends: LiveTrends | None = None,
        request_features: Mapping[str, Sequence[str] | None] | None = None,
        attribute_values: Mapping[str, Sequence[str]] | None = None,
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
          item_tower: layer from features of items, `item_id` (their rows) among them,
            to the embeddings of the index; `upsert_items` embeds new items by it. None
            if it is given embeddings only.
          explain: whether to have the signature `explain`, which needs as many more
            passes of the query model as a history is long.
          trends: trends of the items, whose features are the last columns of the index
            (those of the `item_tower` are before them); `update_trends` renews them.
            Users without a history then get what trends, and not the most popular
            items of training. None for a model without trends.
          request_features: features among `user_features` that a request to `history`
            may send, such as those of a visitor -> the vocabulary of an id or a bag, of
            which the first text stands for the value 1; None for numbers and vectors.
          attribute_values: attribute of the index -> its values, which an export keeps
            for programs that show them; the index keeps only hashes of text.

        Raises:
          ValueError: an argument has values for another number of users or items or
            for an attribute that the index does not have, or the query model reads no
            `history` with which features can be sent.
        """
        super().__init__(name="recommender")
        self.query_model = query_model
        self.index = index
        self.item_tower = item_tower
        self._explains = explain
        self.trends = trends
        self._users = {
            name: tf.Variable(values, trainable=False, name=name)
            for name, values in user_features.items()
        }
        if request_features and HISTORY not in user_features:
            raise ValueError(
                "`request_features` come with the signature `history`, of query models "
                f"that read the feature `{HISTORY}`. Got {sorted(user_features)}."
            )
        self._sent = SentFeatures(user_features, request_features or {})
        self.catalogue = Catalogue(item_ids, titles[1:])
        self._known_values = tf.Variable(known_items.values, trainable=False)
        self._known_splits = tf.Variable(known_items.row_splits, trainable=False)
        self._popularity = tf.Variable(
            np.asarray(candidate_probabilities, np.float32), trainable=False
        )
        self.exclude_seen = tf.Variable(
            bool(exclude_seen), trainable=False, name="exclude_seen"
        )
        self._user_lines = line_numbers(user_ids, name="user_id")
        self._examples = [str(user) for user in user_ids[:4]]
        self._check_sizes(len(user_ids), len(item_ids), num_titles=len(titles))
        if unknown := (attribute_values or {}).keys() - self.filters.keys():
            raise ValueError(
                "`attribute_values` must be of attributes of the index, "
                f"{sorted(self.filters)}. Got {sorted(unknown)}."
            )
        self.attribute_values = {
            name: tf.Variable([*map(str, values)], trainable=False, dtype=tf.string)
            for name, values in (attribute_values or {}).items()
        }
        # Not an attribute that TensorFlow tracks: an export has the signatures that it
        # is given, and traces no others.
        self._made = types.SimpleNamespace(signatures={}, generation=None)

    @property
    def filters(self) -> dict[str, tf.TensorSpec]:
        """Attribute of the index -> spec of the input `filter_<attribute>`."""
        return filter_specs(self.index)

    @property
    def live_inputs(self) -> dict[str, tf.TensorSpec]:
        """Inputs about the history of a request; none if the query model reads none."""
        return INPUTS | self._sent.inputs if HISTORY in self._users else {}

    @property
    def generation(self) -> int:
        """Generation of the index; graphs of an earlier one are out of date."""
        return self.index.generation

    @property
    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """Name -> function that a server calls, for the index in its present state."""
        generation = self.generation  # read once: threads may refill it
        if self._made.generation != generation:
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

            made = {
                "serving_default": tf.function(recommend, input_signature=request),
                "filtered": tf.function(filtered, input_signature=lists),
                "among": tf.function(
                    among, input_signature=[*lists, id_lists("allowed")]
                ),
            }
            if not isinstance(self.index, ScoreIndex):

                def similar_items(item_id, k, exclusions, filters):
                    return self._similar(item_id, k, exclusions, filters)

                made["similar_items"] = tf.function(
                    similar_items, input_signature=[_ITEM_ID, *lists[1:2], *lists[3:]]
                )
            if self.live_inputs:

                def with_history(user_id, k, exclude_seen, exclusions, filters, live):
                    return self._answer(
                        user_id,
                        k,
                        exclude_seen,
                        exclusions=exclusions,
                        filters=filters,
                        live=live,
                    )

                def explain(user_id, k, exclude_seen, exclusions, filters, live):
                    return self._answer(
                        user_id,
                        k,
                        exclude_seen,
                        exclusions=exclusions,
                        filters=filters,
                        live=live,
                        why=True,
                    )

                inputs = [*lists, self.live_inputs]
                made["history"] = tf.function(with_history, input_signature=inputs)
                if self._explains:
                    made["explain"] = tf.function(explain, input_signature=inputs)
            self._made = types.SimpleNamespace(signatures=made, generation=generation)
        return self._made.signatures

    @property
    def recommend(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `serving_default`."""
        return self.signatures["serving_default"]

    @property
    def recommend_filtered(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `filtered`."""
        return self.signatures["filtered"]

    @property
    def recommend_history(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `history`."""
        return self.signatures["history"]

    @property
    def similar_items(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `similar_items`."""
        return self.signatures["similar_items"]

    @property
    def recommend_among(self) -> tf.types.experimental.PolymorphicFunction:
        """The signature `among`."""
        return self.signatures["among"]

    def ask(
        self,
        user_id: str | Sequence[str] | None = None,
        *,
        k: int | Sequence[int] = 10,
        exclude_seen: bool | Sequence[bool] | None = None,
        history: Sequence | None = None,
        history_time: Sequence | None = None,
        time: int | Sequence[int] | None = None,
        append: bool | Sequence[bool] = False,
        user_features: Mapping[str, object] | None = None,
        similar_to: Sequence | None = None,
        exclusions: Sequence = (),
        filters: Mapping[str, Sequence] | None = None,
        allowed: Sequence | None = None,
        why: bool = False,
    ) -> list[dict]:
        """Answers requests of Python: strings and lists of any length, no padding.

        A value stands for one request or, as a list, for several; so does a list of
        items, as a list of lists. What is given once is the same for all requests.

        Args:
          user_id: ids of users; None for visitors.
          k: numbers of items.
          exclude_seen: whether to exclude what the user has; None for what the module
            recommends.
          history: ids of the items of the request, newest last; None to answer from the
            known past.
          history_time: seconds since 1970 of these items, 0 if unknown.
          time: seconds since 1970 of the request; None if unknown.
          append: whether the history is what is new since the known past, not all.
          user_features: feature among `request_features` -> its text or number, or a
            list of them for a bag or a vector; "" or NaN to leave it out.
          similar_to: ids of items, to find items like them instead of a user's.
          exclusions: ids of items that a request must not get.
          filters: attribute -> values, of which an item must have one.
          allowed: ids of the only items that a request may get; None for all.
          why: whether to name the items of the history that raise each score most, by
            the signature `explain`.

        Returns:
          A dict for each request, with lists `item_id`, `title` and `score`, best
          first, and the other outputs of the signature that answers it.

        Raises:
          ValueError: arguments contradict each other, have other numbers of requests,
            or need a signature that the module has not.

        Example:
          >>> taste, known = np.float32([[0, 0], [1, 2]]), tf.ragged.constant([[], [2]])
          >>> index = tm.layers.BruteForce().index(tf.eye(2), [1, 2])
          >>> recommender = tm.serving.Recommender(tf.keras.layers.Lambda(
          ...     lambda user: user["x"]), index, user_ids=["ann"], item_ids=["a", "b"],
          ...     user_features={"x": taste}, titles=["", "Alien", "Brazil"],
          ...     known_items=known, candidate_probabilities=[0, 0.7, 0.3])
          >>> [answer["title"] for answer in recommender.ask(["ann", "nobody"], k=2)]
          [['Alien'], ['Alien', 'Brazil']]
        """
        if exclude_seen is None:
            exclude_seen = bool(self.exclude_seen)
        return asking.ask(
            self,
            user_id=user_id,
            k=k,
            exclude_seen=bool(self.exclude_seen)
            if exclude_seen is None
            else exclude_seen,
            history=history,
            history_time=history_time,
            time=time,
            append=append,
            user_features=user_features or {},
            similar_to=similar_to,
            exclusions=exclusions,
            filters=filters or {},
            allowed=allowed,
            why=why,
        )

    @property
    def samples(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """Sample requests of one row and of several, with an unknown user."""
        items = [item.decode() for item in self.catalogue.contents()[0][1:11].numpy()]
        return sample_requests(self.signatures, self._examples, items)

    @property
    def num_items(self) -> int:
        """Number of items of the catalogue, removed ones included."""
        return self.catalogue.num_items

    def find(
        self,
        user_id: tf.Tensor,
        number: int | tf.Tensor,
        exclude_seen: tf.Tensor,
        *,
        exclusions: tf.Tensor | None = None,
        filters: Mapping[str, tf.Tensor] | None = None,
        allowed: tf.Tensor | None = None,
        live: Mapping[str, tf.Tensor] | None = None,
    ) -> Found:
        """Finds the best items for each user, as indices.

        Args:
          user_id: `[batch]` ids of users, strings.
          number: number of items for each user, at most `num_items`.
          exclude_seen: `[batch]` booleans, True to exclude the user's known items.
          exclusions: `[batch, None]` ids of items that a row must not get.
          filters: attribute of the index -> `[batch, None]` accepted values.
          allowed: `[batch, None]` ids of the only items that a row may get.
          live: tensors with the names of `live_inputs`, the histories of the requests;
            None to answer from the known past.
        """
        query = self._query(user_id, exclude_seen, live)
        embeddings = self.query_model(query.features)
        restrictions = {"exclusions": query.seen}
        if exclusions is not None:
            restrictions["exclusions"] = tf.concat(
                [restrictions["exclusions"], self.catalogue.rows(exclusions)], axis=1
            )
        if filters:
            restrictions["filters"] = dict(filters)
        if allowed is not None:
            restrictions["allowed"] = self.catalogue.rows(allowed)
        snapshot = self.index.snapshot()  # one for known and unknown users
        most = _at_most(number, snapshot)
        answer = self.index(embeddings, k=most, snapshot=snapshot, **restrictions)
        if self.trends is not None:  # the query model ranks by trends for the unknown
            unknown = tf.zeros([0, 1], tf.int64)
        else:
            unknown = tf.where(~query.is_personal)

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
        return Found(
            query.user,
            *self._padded(scores, items, number),
            query.features,
            query.is_personal,
            query.num_unknown,
        )

    def upsert_items(
        self,
        ids: Sequence[str],
        *,
        features: Mapping[str, Tensor] | None = None,
        embeddings: Tensor | None = None,
        titles: Sequence[str] | None = None,
        attributes: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Adds items, or replaces those that are there, without training.

        They are found, named and filtered from then on; an export keeps them. In the
        history of a request, items that were not there when the module was made are
        skipped, for the query model has not learned them, and counted as unknown. They
        have no popularity, and are not recommended to users without a history.
        After an error nothing has changed.

        Args:
          ids: `[n]` ids, each once; without ids nothing changes.
          features: values of the features that the `item_tower` reads, `[n, ...]` by
            name; `item_id` is added, 0 (unknown) for new items. None with `embeddings`.
          embeddings: `[n, embedding_dim]` embeddings; None with `features`.
          titles: `[n]` titles; None to leave those of items that are there.
          attributes: values of the items by attribute, for all attributes of the index.

        Raises:
          ValueError: an id is empty or repeats, an embedding is not finite or has
            another width, an attribute is missing or unknown, or the index has no room:
            give its constructor a `capacity`.

        Example:
          >>> index = tm.layers.BruteForce(capacity=9).index([[1.0, 0.0]], [1])
          >>> taste, known = np.float32([[0, 0], [0, 1]]), tf.ragged.constant([[], [1]])
          >>> recommender = tm.serving.Recommender(tf.keras.layers.Lambda(
          ...     lambda user: user["x"]), index, user_ids=["ann"], item_ids=["p"],
          ...     user_features={"x": taste}, titles=["", "Pi"], known_items=known,
          ...     candidate_probabilities=[0, 1])
          >>> recommender.upsert_items(["q"], embeddings=[[0.0, 1.0]], titles=["Qi"])
          >>> recommender.recommend(["ann"], [1], [True])["title"].numpy().item()
          b'Qi'
        """
        if isinstance(self.index, ScoreIndex):
            raise ValueError(
                "`upsert_items` needs an index of embeddings. Got a `ScoreIndex`, with "
                "the scores of a fitted recommender: fit it again."
            )
        if not len(ids):
            return
        with self.index.unchanged():
            rows = self.catalogue.rows(tf.constant([*map(str, ids)]))
            embeddings = embeddings_of(
                rows,
                tower=self.item_tower,
                num_trained=self.catalogue.num_at_first,
                features=features,
                embeddings=embeddings,
                embedding_dim=self.index.embedding_dim - self._num_trends,
            )
            rows, before = self.catalogue.put(ids, titles)
            if self.trends is not None:
                columns = tf.cast(self.trends.columns(rows), embeddings.dtype)
                embeddings = tf.concat([embeddings, columns], axis=1)
            try:
                self.index.upsert(embeddings, rows, attributes=attributes)
            except BaseException:
                self.catalogue.restore(before)
                raise

    def remove_items(self, ids: Sequence[str]) -> None:
        """Removes items: they are not found any more, but keep their ids and titles.

        In the history of a request they still count as what the user likes.

        Args:
          ids: `[n]` ids, each once; without ids nothing changes.

        Raises:
          ValueError: an id is unknown or removed already; nothing has changed.
        """
        if not len(ids):
            return
        with self.index.unchanged():
            rows = self.catalogue.rows(tf.constant([*map(str, ids)]))
            slots = self.index.snapshot().find(rows).numpy()
            if missing := [str(i) for i, s in zip(ids, slots, strict=True) if s < 0]:
                raise ValueError(
                    f"`ids` must be of items that are there. {len(missing)} are not, "
                    f"{missing[:3]} among them."
                )
            self.index.remove(np.unique(rows))

    def update_trends(
        self,
        counts: Mapping[str, float] | Sequence[str],
        time: int,
        *,
        event_times: Sequence[int] | None = None,
    ) -> None:
        """Renews the trends of all items, without training and without embedding.

        Args:
          counts: id of an item -> number of its events since the last update; or a
            sequence of item ids, one for each event. Nothing is an update too: trends
            fade with time.
          time: seconds since 1970, until when the events are counted.
          event_times: seconds of each event, where `counts` is a sequence; None counts
            all in the middle of the time since the last update.

        Raises:
          ValueError: the recommender has no trends, an id is unknown, or a time or
            number is out of range; nothing has changed.

        Example:
          >>> trends = tm.serving.LiveTrends(np.zeros([3, 1]), [0, 0, 0], time=0,
          ...     half_lives_days=[1.0])
          >>> index = tm.layers.BruteForce().index(np.zeros([2, 4], "float32"), [1, 2])
          >>> weights = {"x": np.float32([[0, 1, 0, 0]])}  # popularity alone counts
          >>> recommender = tm.serving.Recommender(
          ...     tf.keras.layers.Lambda(lambda user: user["x"]), index, user_ids=[],
          ...     user_features=weights, item_ids=[*"pq"], titles=["", "Pi", "Quills"],
          ...     known_items=tf.ragged.constant([[]]), candidate_probabilities=[0]*3,
          ...     trends=trends)
          >>> recommender.update_trends({"q": 5}, time=3_600)
          >>> recommender.recommend(["new"], [1], [False])["item_id"].numpy()
          array([[b'q']], dtype=object)
        """
        if self.trends is None:
            raise ValueError(
                "`update_trends` needs a recommender with `trends`, of a model with "
                "`num_trends`. Got one without."
            )
        with self.index.unchanged():
            ids, numbers, times = checked_events(
                counts, time, event_times, since=self.trends.time
            )
            rows = self.catalogue.rows(tf.constant(ids, tf.string)).numpy()
            if not rows.all():
                unknown = [i for i, row in zip(ids, rows, strict=True) if not row]
                raise ValueError(
                    "`counts` must be of items of the catalogue: `upsert_items` adds "
                    f"items. {len(unknown)} are unknown, {unknown[:3]} among them."
                )
            number = self.catalogue.num_items + 1
            new = self.trends.counted(rows, numbers, times, time, number)
            columns = features(*new, time)[1:]
            self.index.update_columns(columns, np.arange(1, number), skip_missing=True)
            self.trends.adopt(*new, time)

    @property
    def _num_trends(self) -> int:
        return 0 if self.trends is None else self.trends.num_trends

    def _padded(
        self, scores: tf.Tensor, items: tf.Tensor, number: int | tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns items and scores `[batch, number]`, 0 for items without a title."""
        scores, items = pad_missing(scores, tf.cast(items, tf.int64), k=number)
        # Items that were added to the index alone have no title.
        return self.catalogue.known(items), scores

    def name(self, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `item_id` and `title` of indices; empty strings for index 0."""
        return self.catalogue.name(items)

    def _answer(
        self,
        user_id: tf.Tensor,
        k: tf.Tensor,
        exclude_seen: tf.Tensor,
        *,
        why: bool = False,
        **restrictions: tf.Tensor | dict[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Returns the best items for each user, as strings.

        Args:
          user_id: `[batch]` ids of users, strings.
          k: `[batch]` number of items for each user, at most `num_items`.
          exclude_seen: `[batch]` booleans, True to exclude the user's known items.
          why: whether to name the items of the history that raise each score most.
          **restrictions: the other arguments of `find`, which restrict the items.

        Returns:
          `item_id`, `title` and `score` `[batch, max(k)]`, best first; empty strings
          and `-inf` beyond a row's `k` and if too few items are left. `known_user`
          `[batch]` is False for unknown users, whose items are the most popular ones
          and whose scores are the items' shares of the training rows. For requests
          with a history, `personal` `[batch]` is False for these, and `num_unknown`
          `[batch]` counts the ids that were skipped as unknown.

        Raises:
          InvalidArgumentError: a `k` below 1 or above the number of items, or times
            that are not in seconds or fall from an item to the next.
        """
        number = checked_k(k, self.catalogue.size())
        found = self.find(user_id, number, exclude_seen, **restrictions)
        answer = self._named(found.items, found.scores, k)
        answer["known_user"] = found.user > 0
        if "live" in restrictions:
            answer["personal"] = found.is_personal
            answer["num_unknown"] = found.num_unknown
        if why:
            shown = tf.where(answer["item_id"] != "", found.items, 0)
            answer |= self._reasons(found, shown)
        return answer

    def _reasons(self, found: Found, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """Names the items of the histories that raise the scores of `items` most."""
        snapshot = self.index.snapshot()
        slots = snapshot.find(items)
        rows = tf.gather(snapshot["candidates"], tf.maximum(slots, 0))
        rows = tf.cast(rows, scoring_dtype(rows.dtype))
        parts = {}
        if self._num_trends:
            queries = tf.cast(self.query_model(found.features), rows.dtype)
            weights = queries[:, -self._num_trends :]
            trend_scores = tf.linalg.matvec(rows[..., -self._num_trends :], weights)
            parts["trend_score"] = tf.where(slots >= 0, trend_scores, 0)
        is_explained = (slots >= 0) & found.is_personal[:, None]
        rows = tf.where(is_explained[..., None], rows, tf.zeros_like(rows))
        falls = leave_one_out(self.query_model, found.features, rows)
        why, shares = reasons(falls, found.features[HISTORY])
        why = self.name(why)["item_id"]
        return parts | {"why_item_id": why, "why_share": shares}

    def _similar(
        self,
        item_id: tf.Tensor,
        k: tf.Tensor,
        exclusions: tf.Tensor,
        filters: dict[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Returns the items most like given ones, which are not among them.

        Args:
          item_id: `[batch, None]` ids of the given items, padded with "".
          k: `[batch]` number of items for each row, at most `num_items`.
          exclusions: `[batch, None]` ids of items that a row must not get.
          filters: attribute of the index -> `[batch, None]` accepted values.

        Returns:
          `item_id`, `title` and `score` `[batch, max(k)]`, as `_answer` does, without
          items for a row in which no given item is known. `num_unknown` `[batch]`
          counts the given items that are not.
        """
        number = checked_k(k, self.catalogue.size())
        given = self.catalogue.rows(item_id)
        snapshot = self.index.snapshot()
        queries, num_known = mean_embeddings(snapshot, given)
        if self._num_trends:  # items are alike by what they are, not by their trends
            alike = queries[:, : -self._num_trends]
            queries = tf.pad(alike, [[0, 0], [0, self._num_trends]])
        scores, items = self.index(
            queries,
            k=_at_most(number, snapshot),
            snapshot=snapshot,
            exclusions=tf.concat([given, self.catalogue.rows(exclusions)], axis=1),
            filters=filters,
        )
        items, scores = self._padded(scores, items, number)
        scores = tf.where(num_known[:, None] > 0, scores, -float("inf"))
        num_given = tf.math.count_nonzero(item_id != "", axis=1, dtype=tf.int32)
        return self._named(items, scores, k) | {"num_unknown": num_given - num_known}

    def _named(
        self, items: tf.Tensor, scores: tf.Tensor, k: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Names each row's `k` best items; the other positions have no item."""
        scores = cut(scores, k)
        items = tf.where(is_missing(scores), tf.zeros_like(items), items)
        return self.name(items) | {"score": scores}

    def _query(
        self,
        user_id: tf.Tensor,
        exclude_seen: tf.Tensor,
        live: Mapping[str, tf.Tensor] | None,
    ) -> _Query:
        """Looks up the users, and joins the histories of the requests to their past."""
        user = self._user_lines.lookup(user_id) + 1  # row 0 is the unknown user
        features = {name: tf.gather(rows, user) for name, rows in self._users.items()}
        known = tf.RaggedTensor.from_row_splits(
            self._known_values.read_value(),
            self._known_splits.read_value(),
            validate=False,
        )
        # Row 0, the unknown user, has no known items.
        known = tf.gather(known, tf.where(exclude_seen, user, tf.zeros_like(user)))
        known = tf.cast(known, tf.int64)
        is_personal, num_unknown = user > 0, tf.zeros_like(user, tf.int32)
        if HISTORY in self._users:
            features.setdefault(REQUEST_TIME, tf.zeros_like(user))
        if live is not None:
            past = {name: v for name, v in features.items() if is_of_history(name)}
            joined = join_history(
                live,
                self.catalogue.rows(live["history"]),
                past,
                num_embedded=self.catalogue.num_at_first,
            )
            features |= joined.features
            is_personal |= joined.has_items
            if self._sent.inputs:
                features, is_sent = self._sent.join(features, live)
                is_personal |= is_sent
            num_unknown = joined.num_unknown
            seen = tf.where(exclude_seen[:, None], joined.items, 0)
            known = tf.concat([known, seen], axis=1)
        return _Query(user, features, is_personal, num_unknown, known)

    def _check_sizes(self, num_users: int, num_items: int, *, num_titles: int) -> None:
        sizes = {
            "titles": (num_titles, num_items + 1),
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


def _at_most(number: int | tf.Tensor, snapshot: Snapshot) -> tf.Tensor:
    """Returns a number that the index can answer: it may have lost candidates."""
    return tf.minimum(number, tf.maximum(snapshot.num_candidates, 1))
