"""An index with slots that answers queries."""

import abc
from collections.abc import Mapping

import tensorflow as tf

from tfrs_models.layers.index.checks import (
    check_k,
    check_queries,
    check_rank,
    finite_queries,
)
from tfrs_models.layers.index.exact_search import best_of, search_among
from tfrs_models.layers.index.exclusions import blank_missing
from tfrs_models.layers.index.precision import scoring_dtype
from tfrs_models.layers.index.restrictions import (
    Restrictions,
    find_slots,
    is_among,
    read_restrictions,
)
from tfrs_models.layers.index.slot_index import SlotIndex
from tfrs_models.layers.index.snapshot import Snapshot
from tfrs_models.ops.ranks.scores import unit_rows
from tfrs_models.types import Features, Tensor


class SearchableIndex(SlotIndex):
    """Answers queries, with what they may not be answered with.

    A subclass says which slots a query looks into.
    """

    def call(
        self,
        queries: tf.Tensor | Features,
        k: int | None = None,
        *,
        exclusions: Tensor | None = None,
        allowed: Tensor | None = None,
        filters: Mapping[str, Tensor] | None = None,
        snapshot: Snapshot | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query.

        Args:
          queries: `[batch, embedding_dim]` or `[embedding_dim]` embeddings, or what
            `query_model` takes.
          k: How many; the constructor's `k` where None.
          exclusions: `[batch, None]` ids, dense or ragged, that a query does not get.
            Repeats are harmless, unknown ids (such as padding) are ignored.
          allowed: `[batch, None]` ids: a query gets no others; none of them for a row
            without ids. Exact in every index, for each is scored.
          filters: Attribute -> `[batch, None]` values, of which a candidate must have
            one. A row without values, or with padding ("" or -1) only, is not filtered
            by that attribute.
          snapshot: what to answer from, of `snapshot`; as it is now where None.

        Returns:
          Scores and identifiers `[batch, k]`, best first. A place for which no
          candidate is left has the score `-inf` and the id -1, or "" for strings.

        Raises:
          ValueError: nothing is indexed, or `k` is above the number of candidates. (In
            a graph that knows `k` or this number only when it runs, there are places
            without a candidate.)
          InvalidArgumentError: a query is not finite, or lists are not one for each
            query.
        """
        lists = exclusions is not None or allowed is not None or bool(filters)
        snapshot = snapshot or self.snapshot(lists=lists)
        k = check_k(self._k if k is None else k, self._count_for(snapshot))
        queries, is_single = self._embed(queries, snapshot)
        restrictions = read_restrictions(snapshot, exclusions, filters, queries)
        if allowed is None:
            scores, slots = self._search(queries, k, restrictions, snapshot)
        else:
            slots = find_slots(snapshot, "allowed", allowed, queries)
            in_use = self._in_use(tf.maximum(slots, 0), snapshot)
            slots = tf.where(in_use, slots, -1)
            scores, slots = self._search_among(
                queries, k, restrictions, snapshot, slots
            )
        names = snapshot.names(slots)
        if is_single:
            scores, names = scores[0], names[0]
        return blank_missing(scores, names)

    def similar(
        self, identifiers: tf.Tensor, k: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The candidates that are most like given ones, by the same measure.

        Args:
          identifiers: `[batch]` ids of candidates.
          k: As in `call`.

        Returns:
          Scores and identifiers `[batch, k]`, without the candidate itself. All places
          of an id that is not indexed are blank, as those for which no candidate is
          left: score `-inf` and id -1, or "" for strings.
        """
        snapshot = self.snapshot()
        identifiers = tf.convert_to_tensor(identifiers)
        check_rank(identifiers)
        if identifiers.shape[0] == 0:  # an empty Python list has no type of its own
            identifiers = tf.zeros([0], snapshot.id_dtype)
        slots = snapshot.find(identifiers)
        k = check_k(self._k if k is None else k, self._count_for(snapshot))
        queries = tf.gather(snapshot["candidates"], tf.maximum(slots, 0))
        queries = tf.cast(queries, scoring_dtype(queries.dtype))
        itself = Restrictions(snapshot.find_all(identifiers), {})
        scores, best = self._search(queries, k, itself, snapshot)
        scores = tf.where(slots[:, None] >= 0, scores, -float("inf"))
        return blank_missing(scores, snapshot.names(best))

    def contents(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Identifiers and embeddings of the candidates that are there now."""
        snapshot = self.snapshot()
        embeddings = snapshot["candidates"]
        slots = tf.where(self._in_use(tf.range(embeddings.shape[0]), snapshot))[:, 0]
        return snapshot.names(slots), tf.gather(embeddings, slots)

    def largest(
        self,
        values: tf.Tensor,
        k: int | tf.Tensor,
        *,
        exclusions: Tensor | None = None,
        allowed: Tensor | None = None,
        filters: Mapping[str, Tensor] | None = None,
        snapshot: Snapshot | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The candidates of the largest values, whatever a query says.

        Args:
          values: `[batch, num_values]` of each integer id, such as its popularity; ids
            beyond have none.
          k: As in `call`.
          exclusions: As in `call`.
          allowed: As in `call`.
          filters: As in `call`.
          snapshot: state of the index to answer from, of `snapshot()`; the present
            one where None.

        Returns:
          As `call`.
        """
        snapshot = snapshot or self.snapshot()
        k = check_k(k, self._count_for(snapshot))
        values = tf.convert_to_tensor(values)
        if values.shape.rank != 2:
            raise ValueError(
                f"`values` must be `[batch, num_values]`. Got shape {values.shape}."
            )
        if not values.dtype.is_floating:  # counts
            values = tf.cast(values, tf.float64)
        restrictions = read_restrictions(snapshot, exclusions, filters, values)
        every = tf.range(snapshot["candidates"].shape[0])
        ids = tf.cast(snapshot.names(every), tf.int64)
        has_value = (ids >= 0) & (ids < tf.shape(values, tf.int64)[1])
        scores = tf.gather(values, tf.where(has_value, ids, 0), axis=1)
        lowest = tf.constant(-float("inf"), values.dtype)
        scores = tf.where(has_value & self._in_use(every, snapshot), scores, lowest)
        if allowed is not None:
            slots = find_slots(snapshot, "allowed", allowed, values)
            everywhere = tf.broadcast_to(every, tf.shape(scores))
            scores = tf.where(is_among(everywhere, slots), scores, lowest)
        scores, slots = best_of(scores, snapshot, restrictions, k=k)
        return blank_missing(scores, snapshot.names(slots))

    @abc.abstractmethod
    def _in_use(self, slots: tf.Tensor, snapshot: Snapshot) -> tf.Tensor:
        """Which slots hold a candidate."""

    @abc.abstractmethod
    def _search(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        restrictions: Restrictions,
        snapshot: Snapshot,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and slots `[batch, k]`, the score `-inf` where nothing is left."""

    def _search_among(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        restrictions: Restrictions,
        snapshot: Snapshot,
        slots: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`_search` in the slots `[batch, width]` only."""
        return search_among(queries, snapshot, restrictions, slots, k=k)

    def _count_for(self, snapshot: Snapshot) -> int:
        """How many candidates there are; in a graph, when it is traced."""
        count = tf.get_static_value(snapshot.num_candidates)
        return self.num_candidates if count is None else int(count)

    def _embed(
        self, queries: tf.Tensor | Features, snapshot: Snapshot
    ) -> tuple[tf.Tensor, bool]:
        """Queries `[batch, embedding_dim]`, and whether there was but one."""
        if self.query_model is not None:
            queries = self.query_model(queries)
        queries = tf.cast(queries, scoring_dtype(snapshot["candidates"].dtype))
        check_queries(queries, snapshot["candidates"].shape[1])
        is_single = queries.shape.rank == 1
        if is_single:
            queries = queries[None]
        is_cosine = self._distance_measure == "cosine"
        queries = finite_queries(queries, any_length=is_cosine)
        if is_cosine:
            queries = unit_rows(queries)
        return queries, is_single
