"""An index whose candidates lie in slots: built, queried, changed and saved."""

import abc
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import FromConfig
from tfrs_models.layers.index.candidate_file import (
    CHUNK,
    ComputedRows,
    write_candidates,
)
from tfrs_models.layers.index.checks import (
    EMPTY,
    LONGEST,
    check_candidates,
    check_duplicates,
    check_eager,
    check_floating,
    check_k,
    check_queries,
    check_rank,
    check_sizes,
    finite_queries,
    first_of,
    most_copies,
    read_ids,
    scoring_dtype,
)
from tfrs_models.layers.index.exact_search import best_of, search_among
from tfrs_models.layers.index.hooks import has_own_scores, refuse_own_scores
from tfrs_models.layers.index.live import Snapshot, Update
from tfrs_models.layers.index.requests import blank_missing
from tfrs_models.layers.index.restrictions import Restrictions, read_restrictions
from tfrs_models.layers.index.slot_table import (
    Layout,
    MemoryEstimate,
    Shapes,
    SlotTable,
    attribute_kinds,
)
from tfrs_models.layers.index.table_index import TableIndex
from tfrs_models.ops.ranks.scores import unit_rows
from tfrs_models.types import Features, Tensor

_MEASURES = ("dot_product", "cosine")


class SlotIndex(TableIndex, FromConfig, tfrs.layers.factorized_top_k.TopK):
    """Holds candidates in slots, some of which are free, and finds the best of them.

    A subclass chooses the slot of each candidate (`_lay_out`, `_take`, `_free`) and the
    slots that a query looks into (`_search`).
    """

    _NOT_SEARCHED = ()  # weights that only an update reads

    def __init__(
        self,
        query_model: tf.keras.Model | None,
        k: int,
        *,
        distance_measure: str,
        capacity: int | None,
        duplicates: str,
        name: str | None,
    ) -> None:
        super().__init__(k=check_k(k, None), name=name)
        if not self.is_exact():
            refuse_own_scores(self, "dot products with blocks of them")
        check_sizes(capacity=capacity)
        if distance_measure not in _MEASURES:
            raise ValueError(
                f"`distance_measure` must be one of {_MEASURES}. Got "
                f"{distance_measure!r}."
            )
        self.query_model = query_model
        self._distance_measure = distance_measure
        self._capacity = capacity
        self._duplicates = check_duplicates(duplicates)
        self._embeddings = self._shapes = None
        self._num_changes = 0

    @property
    def embedding_dim(self) -> int | None:
        """Width of the candidates; None before `index`."""
        return None if self._shapes is None else self._shapes.embedding_dim

    @property
    def staleness(self) -> float:
        """Candidates added, changed and removed since `index`, per candidate now.

        An approximate index whose partitions were made for other candidates misses
        more: measure its recall again, or index anew, when this is no longer small.
        """
        return self._num_changes / max(self.num_candidates or 0, 1)

    def index(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor | None = None,
        *,
        attributes: Mapping[str, Tensor] | None = None,
    ) -> "SlotIndex":
        """Indexes candidates, and drops all earlier ones.

        After an error the earlier ones are still there. A `tf.function` of your own
        that was traced before sees the new candidates if their number, width and types
        are the same; otherwise trace it again.

        Args:
          candidates: `[num_candidates, embedding_dim]` embeddings.
          identifiers: `[num_candidates]` ids of any dtype except -1 and "", which mean
            "none" in answers; the row numbers if None. Integers are stored and
            answered as int64.
          attributes: values that `filters` can ask for, by attribute:
            `[num_candidates]` or `[num_candidates, None]` strings, integers or
            booleans, dense or ragged. "" and -1 are padding.

        Raises:
          ValueError: shapes do not match, an id repeats with `duplicates="error"`, an
            embedding is not finite, or there are more candidates than the `capacity`.
        """
        check_eager("index")
        candidates = tf.convert_to_tensor(candidates)
        if identifiers is None:
            identifiers = tf.range(candidates.shape[0], dtype=tf.int64)
        identifiers = tf.convert_to_tensor(identifiers)
        self._index(candidates.numpy(), identifiers, dict(attributes or {}))
        return self

    def index_from_dataset(self, candidates: tf.data.Dataset) -> "SlotIndex":
        """Indexes the candidates of a dataset, and drops all earlier ones.

        The dataset is read once, into a temporary file: `memory_estimate` gives the
        memory that the rest needs.

        Args:
          candidates: batches of embeddings, of (identifiers, embeddings), or of
            (identifiers, embeddings, attributes).

        Raises:
          ValueError: as `index` does.
        """
        with write_candidates(candidates) as rows:
            identifiers = rows.identifiers
            if type(self).index is not SlotIndex.index:  # a subclass prepares them
                attributes = {"attributes": rows.attributes} if rows.attributes else {}
                return self.index(rows.embeddings[:], identifiers, **attributes)
            if identifiers is None:
                identifiers = tf.range(len(rows.embeddings), dtype=tf.int64)
            self._index(rows.embeddings, identifiers, rows.attributes)
        return self

    @abc.abstractmethod
    def memory_estimate(
        self, num_candidates: int, embedding_dim: int
    ) -> MemoryEstimate:
        """Estimates the bytes of an index of float32 candidates before it is built.

        Args:
          num_candidates: number of candidates.
          embedding_dim: width of an embedding.
        """

    def _index(
        self,
        embeddings: np.ndarray,
        identifiers: tf.Tensor,
        attributes: Mapping[str, Tensor],
    ) -> None:
        self._check_candidates(embeddings, identifiers)
        identifiers = read_ids(identifiers, fillers=self._duplicates == "warn")
        num_copies = most_copies(identifiers, self._duplicates)
        capacity = self._capacity or len(embeddings)
        if capacity < len(embeddings):
            raise ValueError(
                f"`capacity` must be at least the number of candidates, "
                f"{len(embeddings)}. Got {capacity}."
            )
        kinds = attribute_kinds(attributes, len(embeddings))
        layout = self._lay_out(ComputedRows(embeddings, self._measured), capacity)
        shapes = Shapes(
            layout.num_slots,
            embeddings.shape[1],
            embeddings.dtype.name,
            identifiers.dtype.name,
            kinds,
            {
                name: [list(value.shape), value.dtype.name]
                for name, value in layout.weights.items()
            },
            num_copies,
        )
        with self._turns.writing:
            # A traced graph sees the new values if the shapes are the same.
            same = shapes == self._shapes
            table = self._table if same else shapes.make_table()
            weights = self._weights() if same else shapes.make_weights()
            update = Update(weights | table.variables_by_name())
            update["candidates"] = self._in_slots(embeddings, layout)
            for name, value in layout.weights.items():
                update[name] = value
            keys = table.keys_of(attributes, len(embeddings))
            table.fill(layout.slots, identifiers, keys, update)
            self._settle(layout.slots, update)
            if same:
                self._turns.finish(update, table.begun, table.done)
            else:
                update.write()
                self._adopt(shapes, weights, table)
            self._num_changes = 0
            self._reset_tf_function_cache()

    def _in_slots(self, embeddings: np.ndarray, layout: Layout) -> tf.Tensor:
        """Orders embeddings by their slots."""
        shape = [layout.num_slots, embeddings.shape[1]]
        # A variable, filled by chunks: a tensor of a NumPy array holds it twice more.
        ordered = tf.Variable(tf.zeros(shape, embeddings.dtype), trainable=False)
        for start in range(0, len(embeddings), CHUNK):
            rows = slice(start, start + CHUNK)
            some = self._measured(embeddings[rows])
            ordered.scatter_update(tf.IndexedSlices(some, layout.slots[rows]))
        return ordered.read_value()

    def _adopt(
        self, shapes: Shapes, weights: Mapping[str, tf.Variable], table: SlotTable
    ) -> None:
        """Answers queries from these weights from now on."""
        with self._turns.swapping:
            self._shapes, self._table = shapes, table
            for name, weight in weights.items():
                setattr(self, _attribute(name), weight)

    def _weights(self) -> dict[str, tf.Variable]:
        names = ("candidates", *self._shapes.weights)
        return {name: getattr(self, _attribute(name)) for name in names}

    def _searched(self, *, lists: bool) -> dict[str, tf.Variable]:
        weights = self._weights()
        searched = {n: w for n, w in weights.items() if n not in self._NOT_SEARCHED}
        return super()._searched(lists=lists) | searched

    def _check_candidates(self, embeddings: np.ndarray, identifiers: tf.Tensor) -> None:
        longest = LONGEST if self._distance_measure == "dot_product" else None
        check_candidates(embeddings, identifiers, longest=longest)

    def _measured(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns embeddings whose dot products are the distance measure."""
        if self._distance_measure == "dot_product":
            return embeddings
        return unit_rows(tf.convert_to_tensor(embeddings)).numpy()

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
        """Finds the best candidates of each query.

        Args:
          queries: `[batch, embedding_dim]` or `[embedding_dim]` embeddings, or the
            input of `query_model`.
          k: number of candidates to return; the constructor's `k` if None.
          exclusions: `[batch, None]` ids, dense or ragged, that a query must not be
            answered with. Repeats are harmless, unknown ids (such as padding) are
            ignored.
          allowed: `[batch, None]` ids, dense or ragged: the only ones that a query may
            be answered with; a row without ids gets no candidate. Exact in every
            index, for each of them is scored.
          filters: `[batch, None]` values by attribute, of which a candidate must have
            one. A row without values, or with padding ("" or -1) only, is not filtered
            by that attribute.
          snapshot: state of the index to answer from, as `snapshot()` returned it; the
            present one if None.

        Returns:
          Scores and identifiers `[batch, k]`, best first. A position without a
          candidate has the score `-inf` and the id -1, or "" for strings.

        Raises:
          ValueError: nothing is indexed, or `k` is above the number of candidates. (A
            graph that knows `k` or this number only when it runs returns positions
            without a candidate instead.)
          InvalidArgumentError: a query is not finite, or the number of lists is not
            that of the queries.
        """
        lists = exclusions is not None or allowed is not None or bool(filters)
        snapshot = snapshot or self.snapshot(lists=lists)
        k = check_k(self._k if k is None else k, self._count_for(snapshot))
        queries, is_single = self._embed(queries, snapshot)
        restrictions = read_restrictions(
            snapshot, queries, exclusions=exclusions, allowed=allowed, filters=filters
        )
        if allowed is None or has_own_scores(self):
            scores, slots = self._search(queries, k, restrictions, snapshot)
        else:
            scores, slots = search_among(queries, snapshot, restrictions, k=k)
        names = snapshot.names(slots)
        if is_single:
            scores, names = scores[0], names[0]
        return blank_missing(scores, names)

    def similar(
        self, identifiers: tf.Tensor, k: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the candidates that score highest for given candidates as queries.

        Args:
          identifiers: `[batch]` ids of candidates.
          k: number of candidates to return; the constructor's `k` if None.

        Returns:
          Scores and identifiers `[batch, k]`, without the candidate itself. A position
          without a candidate, and every position of an id that is not indexed, has the
          score `-inf` and the id -1, or "" for strings.
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
        itself = Restrictions(exclusions=snapshot.find_all(identifiers))
        scores, best = self._search(queries, k, itself, snapshot)
        scores = tf.where(slots[:, None] >= 0, scores, -float("inf"))
        return blank_missing(scores, snapshot.names(best))

    def contents(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the identifiers and embeddings of the present candidates."""
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
        """Finds the candidates with the largest values, such as the most popular ones.

        Args:
          values: `[batch, num_values]` values of the integer ids from 0 on; candidates
            with larger ids have no value and are not found.
          k: number of candidates to return.
          exclusions: `[batch, None]` ids that a row must not be answered with.
          allowed: `[batch, None]` ids, the only ones that a row may be answered with.
          filters: `[batch, None]` values by attribute, of which a candidate must have
            one.
          snapshot: state of the index to answer from, as `snapshot()` returned it; the
            present one if None.

        Returns:
          Values and identifiers `[batch, k]`, as `call` returns scores.
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
        restrictions = read_restrictions(
            snapshot, values, exclusions=exclusions, allowed=allowed, filters=filters
        )
        slots = tf.range(snapshot["candidates"].shape[0])
        ids = tf.cast(snapshot.names(slots), tf.int64)
        has_value = (ids >= 0) & (ids < tf.shape(values, tf.int64)[1])
        scores = tf.gather(values, tf.where(has_value, ids, 0), axis=1)
        lowest = tf.constant(-float("inf"), values.dtype)
        scores = tf.where(has_value & self._in_use(slots, snapshot), scores, lowest)
        scores, slots = best_of(scores, snapshot, restrictions, k=k)
        return blank_missing(scores, snapshot.names(slots))

    def _count_for(self, snapshot: Snapshot) -> int:
        """Counts the candidates; in a graph, those when it is traced."""
        count = tf.get_static_value(snapshot.num_candidates)
        return self.num_candidates if count is None else int(count)

    def _embed(
        self, queries: tf.Tensor | Features, snapshot: Snapshot
    ) -> tuple[tf.Tensor, bool]:
        """Returns queries `[batch, embedding_dim]`, and whether one came alone."""
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

    def add(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor,
        *,
        attributes: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Adds candidates, without building anew.

        Args:
          candidates: `[n, embedding_dim]` embeddings; without rows nothing changes.
          identifiers: `[n]` ids that are not indexed yet.
          attributes: values of the candidates by attribute, for exactly the names that
            `index` was given.

        Raises:
          ValueError: an id is indexed already, or there is no room: see `capacity`.
        """
        self._insert(candidates, identifiers, attributes, replace=False)

    def upsert(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor,
        *,
        attributes: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Adds candidates, or replaces those whose ids are indexed already.

        Args:
          candidates: `[n, embedding_dim]` embeddings; without rows nothing changes.
          identifiers: `[n]` ids, each once.
          attributes: values of the candidates by attribute, for exactly the names that
            `index` was given.

        Raises:
          ValueError: there is no room: see `capacity`.
        """
        self._insert(candidates, identifiers, attributes, replace=True)

    def update_columns(
        self, values: tf.Tensor, identifiers: tf.Tensor, *, skip_missing: bool = False
    ) -> None:
        """Replaces the last components of embeddings that are indexed already.

        It is for components that change often, such as trends. An IVF index leaves the
        candidates in their partitions.

        Args:
          values: `[n, num_columns]` new values of the last columns of `[n,
            embedding_dim]`; without rows nothing changes.
          identifiers: `[n]` ids, each once.
          skip_missing: True to skip ids that are not indexed.

        Raises:
          ValueError: an id is not indexed or repeats, a value is not finite, there are
            too many columns, or the distance measure is "cosine", under which no
            component stays when another changes.

        Example:
          >>> index = tm.layers.BruteForce(k=1).index([[1.0, 0.0], [0.5, 0.0]])
          >>> index.update_columns([[2.0]], [1])
          >>> index([[1.0, 1.0]])[0].numpy()
          array([[2.5]], dtype=float32)
        """
        if self._distance_measure == "cosine":
            raise ValueError(
                "`distance_measure` must be 'dot_product' to update columns. Got "
                "'cosine': upsert whole embeddings."
            )
        with self._updating() as update:
            if _is_nothing(values, identifiers):
                return
            values = tf.convert_to_tensor(values)
            check_floating(values)
            values = values.numpy().astype(np.float32)
            identifiers = read_ids(tf.convert_to_tensor(identifiers))
            slots = self.snapshot().find(identifiers).numpy()
            missing = slots < 0
            if missing.any() and not skip_missing:
                raise ValueError(
                    "`identifiers` to update must be indexed. "
                    f"{missing.sum()} are not, {first_of(identifiers, missing)!r} is "
                    "one."
                )
            if np.bincount(slots[~missing], minlength=1).max() > 1:
                most_copies(identifiers, "error")
            width = self.embedding_dim
            if values.ndim != 2 or not 0 < values.shape[1] <= width:
                raise ValueError(
                    f"`values` must be [n, num_columns], 1 to {width} columns. Got "
                    f"shape {values.shape}."
                )
            if len(values) != len(slots) or not np.isfinite(values).all():
                raise ValueError(
                    "`values` must be finite, a row for each of the "
                    f"{len(slots)} identifiers. Got {len(values)} rows, "
                    f"{np.count_nonzero(~np.isfinite(values))} values not finite."
                )
            if missing.any():
                slots, values = slots[~missing], values[~missing]
            candidates = update["candidates"].numpy().copy()
            candidates[slots, width - values.shape[1] :] = values
            update["candidates"] = candidates
            self._settle(slots, update)

    def remove(self, identifiers: tf.Tensor) -> None:
        """Removes candidates, without building anew.

        Args:
          identifiers: `[n]` ids; without ids nothing changes.

        Raises:
          ValueError: an id is not indexed.
        """
        with self._updating() as update:
            if not _is_nothing(identifiers):
                identifiers = tf.reshape(tf.convert_to_tensor(identifiers), [-1])
                self._remove(identifiers, update)

    @contextlib.contextmanager
    def _updating(self) -> Iterator[Update]:
        """Yields an update that readers see when the block ends without an error."""
        check_eager("add`, `remove` or `upsert")
        with self._turns.writing:
            if self._table is None:
                raise ValueError(EMPTY)
            update = Update(self._weights() | self._table.variables_by_name())
            changes = self._num_changes
            try:
                yield update
                self._turns.finish(update, self._table.begun, self._table.done)
            except BaseException:
                self._num_changes = changes
                raise

    def _insert(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor,
        attributes: Mapping[str, Tensor] | None,
        *,
        replace: bool,
    ) -> None:
        with self._updating() as update:
            if _is_nothing(candidates, identifiers):
                return
            candidates, identifiers, keys = self._checked_rows(
                candidates, identifiers, attributes
            )
            known = self.snapshot().find(identifiers).numpy() >= 0
            if known.any() and not replace:
                raise ValueError(
                    "`identifiers` to add must be new; `upsert` replaces candidates. "
                    f"{known.sum()} are there, {first_of(identifiers, known)!r} is one."
                )
            self._check_room(np.count_nonzero(~known), update)
            if known.any():
                self._remove(tf.boolean_mask(identifiers, known), update)
                self._num_changes -= np.count_nonzero(known)  # counted once, below
            slots = self._take(candidates, update)
            update.scatter("candidates", slots, candidates)
            self._table.insert(slots, identifiers, keys, update)
            self._settle(slots, update)
            self._num_changes += len(candidates)

    def _checked_rows(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor,
        attributes: Mapping[str, Tensor] | None,
    ) -> tuple[np.ndarray, tf.Tensor, dict[str, tf.Tensor]]:
        """Finds everything that can be wrong before anything is changed."""
        candidates = tf.convert_to_tensor(candidates)
        check_floating(candidates)  # a cast would take quantised ones as they are
        candidates = tf.cast(candidates, self._embeddings.dtype).numpy()
        identifiers = tf.convert_to_tensor(identifiers)
        self._check_candidates(candidates, identifiers)
        identifiers = read_ids(identifiers)
        most_copies(identifiers, "error")
        check_queries(candidates, self.embedding_dim, name="candidates")
        attributes = dict(attributes or {})
        if attributes.keys() != self._table.attributes.keys():
            raise ValueError(
                "`attributes` must be those that the index was built with, "
                f"{sorted(self._table.attributes)}. Got {sorted(attributes)}."
            )
        keys = self._table.keys_of(attributes, len(candidates))
        return self._measured(candidates), identifiers, keys

    def _check_room(self, number: int, update: Update) -> None:
        capacity = self._capacity or self._embeddings.shape[0]
        there = int(update["num_candidates"])
        if there + number > capacity:
            raise ValueError(
                f"The index must have room for the candidates: `capacity` is "
                f"{capacity}, {there} are there, {number} more were given. Index all "
                "of them in one with a larger `capacity`."
            )

    def _remove(self, identifiers: tf.Tensor, update: Update) -> None:
        snapshot = self.snapshot()
        missing = snapshot.find(identifiers).numpy() < 0
        if missing.any():
            raise ValueError(
                "`identifiers` to remove must be indexed. "
                f"{missing.sum()} are not, {first_of(identifiers, missing)!r} is one."
            )
        slots = np.unique(snapshot.find_all(identifiers))
        slots = slots[slots >= 0]
        self._num_changes += slots.size
        self._table.delete(slots, update)
        self._free(slots, update)

    def get_config(self) -> dict:
        query_model = self.query_model
        if query_model is not None:
            query_model = tf.keras.utils.serialize_keras_object(query_model)
        config = {
            "query_model": query_model,
            "k": self._k,
            "distance_measure": self._distance_measure,
            "capacity": self._capacity,
            "duplicates": self._duplicates,
            "name": self.name,
        }
        if self._shapes is not None:
            config["indexed"] = dataclasses.asdict(self._shapes) | {
                "num_candidates": self.num_candidates,
                "num_changes": int(self._num_changes),
            }
        return config

    @classmethod
    def from_config(cls, config: dict) -> "SlotIndex":
        indexed = config.get("indexed")
        layer = super().from_config({k: v for k, v in config.items() if k != "indexed"})
        if indexed is not None:
            indexed = dict(indexed)
            size = indexed.pop("num_candidates")
            layer._num_changes = indexed.pop("num_changes", 0)
            shapes = Shapes(**indexed)  # a checkpoint or SavedModel fills the weights
            layer._adopt(shapes, shapes.make_weights(), shapes.make_table())
            layer._table.num_candidates.assign(size)
        return layer

    @abc.abstractmethod
    def _lay_out(self, embeddings: np.ndarray, capacity: int) -> Layout:
        """Chooses a slot for each of the embeddings."""

    @abc.abstractmethod
    def _take(self, embeddings: np.ndarray, update: Update) -> np.ndarray:
        """Chooses free slots for additional embeddings, of which there are enough."""

    @abc.abstractmethod
    def _settle(self, slots: np.ndarray, update: Update) -> None:
        """Updates the other weights after candidates were written into slots."""

    @abc.abstractmethod
    def _free(self, slots: np.ndarray, update: Update) -> None:
        """Updates the other weights after the table lost the candidates of slots."""

    @abc.abstractmethod
    def _in_use(self, slots: tf.Tensor, snapshot: Snapshot) -> tf.Tensor:
        """Returns which of the slots hold a candidate."""

    @abc.abstractmethod
    def _search(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        restrictions: Restrictions,
        snapshot: Snapshot,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds scores and slots `[batch, k]`; `-inf` at positions without any."""


def _attribute(weight: str) -> str:
    return "_embeddings" if weight == "candidates" else f"_{weight}"


def _is_nothing(*rows: tf.Tensor) -> bool:
    """Whether there are no rows: a nightly update without news."""
    return all(tuple(np.shape(some)[:1]) == (0,) for some in rows)
