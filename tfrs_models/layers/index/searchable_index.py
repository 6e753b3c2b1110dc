"""An index with slots that answers queries."""

import abc
from collections.abc import Mapping

import tensorflow as tf

from tfrs_models.layers.index.checks import (
    EMPTY,
    check_k,
    check_queries,
    finite_queries,
    scoring_dtype,
)
from tfrs_models.layers.index.exact_search import best_of, search_among
from tfrs_models.layers.index.exclusions import blank_missing
from tfrs_models.layers.index.restrictions import (
    Restrictions,
    find_slots,
    is_among,
    read_restrictions,
)
from tfrs_models.layers.index.slot_index import SlotIndex
from tfrs_models.ops.unit_rows import unit_rows
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

        Returns:
          Scores and identifiers `[batch, k]`, best first. A place for which no
          candidate is left has the score `-inf` and the id -1, or "" for strings.

        Raises:
          ValueError: nothing is indexed, or `k` is above the number of candidates.
          InvalidArgumentError: a query is not finite, or lists are not one for each
            query.
        """
        if self._table is None:
            raise ValueError(EMPTY)
        k = check_k(self._k if k is None else k, self.num_candidates)
        queries, is_single = self._embed(queries)
        restrictions = read_restrictions(self._table, exclusions, filters, queries)
        if allowed is None:
            scores, slots = self._search(queries, k, restrictions)
        else:
            slots = find_slots(self._table, "allowed", allowed, queries)
            slots = tf.where(self._in_use(tf.maximum(slots, 0)), slots, -1)
            scores, slots = self._search_among(queries, k, restrictions, slots)
        names = self._table.names(slots)
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
        slots = self._find(tf.convert_to_tensor(identifiers))
        k = check_k(self._k if k is None else k, self.num_candidates)
        queries = tf.gather(self._embeddings.read_value(), tf.maximum(slots, 0))
        queries = tf.cast(queries, scoring_dtype(queries.dtype))
        itself = Restrictions(self._table.find_all(identifiers), {})
        scores, best = self._search(queries, k, itself)
        scores = tf.where(slots[:, None] >= 0, scores, -float("inf"))
        return blank_missing(scores, self._table.names(best))

    def contents(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Identifiers and embeddings of the candidates that are there now."""
        slots = tf.where(self._in_use(tf.range(self._embeddings.shape[0])))[:, 0]
        return (
            self._table.names(slots),
            tf.gather(self._embeddings.read_value(), slots),
        )

    def largest(
        self,
        values: tf.Tensor,
        k: int | tf.Tensor,
        *,
        exclusions: Tensor | None = None,
        allowed: Tensor | None = None,
        filters: Mapping[str, Tensor] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The candidates of the largest values, whatever a query says.

        Args:
          values: `[batch, num_values]` of each integer id, such as its popularity; ids
            beyond have none.
          k: As in `call`.
          exclusions: As in `call`.
          allowed: As in `call`.
          filters: As in `call`.

        Returns:
          As `call`.
        """
        restrictions = read_restrictions(self._table, exclusions, filters, values)
        every = tf.range(self._embeddings.shape[0])
        ids = tf.cast(self._table.names(every), tf.int64)
        has_value = (ids >= 0) & (ids < tf.shape(values, tf.int64)[1])
        scores = tf.gather(values, tf.where(has_value, ids, 0), axis=1)
        lowest = tf.constant(-float("inf"), values.dtype)
        scores = tf.where(has_value & self._in_use(every), scores, lowest)
        if allowed is not None:
            slots = find_slots(self._table, "allowed", allowed, values)
            everywhere = tf.broadcast_to(every, tf.shape(scores))
            scores = tf.where(is_among(everywhere, slots), scores, lowest)
        scores, slots = best_of(scores, self._table, restrictions, k=k)
        return blank_missing(scores, self._table.names(slots))

    @abc.abstractmethod
    def _in_use(self, slots: tf.Tensor) -> tf.Tensor:
        """Which slots hold a candidate."""

    @abc.abstractmethod
    def _search(
        self, queries: tf.Tensor, k: int | tf.Tensor, restrictions: Restrictions
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and slots `[batch, k]`, the score `-inf` where nothing is left."""

    def _search_among(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        restrictions: Restrictions,
        slots: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`_search` in the slots `[batch, width]` only."""
        embeddings = self._embeddings.read_value()
        return search_among(queries, embeddings, self._table, restrictions, slots, k=k)

    def _embed(self, queries: tf.Tensor | Features) -> tuple[tf.Tensor, bool]:
        """Queries `[batch, embedding_dim]`, and whether there was but one."""
        if self.query_model is not None:
            queries = self.query_model(queries)
        queries = tf.cast(queries, scoring_dtype(self._embeddings.dtype))
        check_queries(queries, self._embeddings.shape[1])
        is_single = queries.shape.rank == 1
        if is_single:
            queries = queries[None]
        is_cosine = self._distance_measure == "cosine"
        queries = finite_queries(queries, any_length=is_cosine)
        if is_cosine:
            queries = unit_rows(queries)
        return queries, is_single
