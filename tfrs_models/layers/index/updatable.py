"""What indexes have in common that hold their candidates and can change."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import FromConfig
from tfrs_models.layers.index.checks import (
    EMPTY,
    check_candidates,
    check_k,
    check_queries,
    finite_queries,
    first_of,
)
from tfrs_models.layers.index.exact_search import search_among
from tfrs_models.layers.index.exclusions import blank_missing
from tfrs_models.layers.index.memory import MemoryEstimate
from tfrs_models.layers.index.restrictions import (
    Restrictions,
    find_slots,
    read_restrictions,
)
from tfrs_models.layers.index.slot_table import SlotTable, attribute_kinds
from tfrs_models.layers.index.spool import CHUNK, spool
from tfrs_models.types import Features, Tensor

_MEASURES = ("dot_product", "cosine")


class Layout(NamedTuple):
    """Where an index puts its candidates.

    Attributes:
      slots: `[num_candidates]`, the slot of each.
      num_slots: Of the index, free ones included.
      weights: Name -> what else the index holds.
    """

    slots: np.ndarray
    num_slots: int
    weights: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Shapes:
    """What a built index must be made with, before its weights can be loaded."""

    num_slots: int
    embedding_dim: int
    dtype: str
    id_dtype: str
    attributes: dict[str, list]
    weights: dict[str, list]


class UpdatableIndex(FromConfig, tfrs.layers.factorized_top_k.TopK):
    """An index whose candidates lie in slots, of which some may be free.

    A subclass says which slot a candidate gets and which slots a query looks into.
    """

    def __init__(
        self,
        query_model: tf.keras.Model | None,
        k: int,
        *,
        distance_measure: str,
        capacity: int | None,
        name: str | None,
    ) -> None:
        super().__init__(k=check_k(k, None), name=name)
        if distance_measure not in _MEASURES:
            raise ValueError(
                f"`distance_measure` must be one of {_MEASURES}. Got "
                f"{distance_measure!r}."
            )
        self.query_model = query_model
        self._distance_measure = distance_measure
        self._capacity = capacity
        self._table = self._embeddings = self._shapes = None
        self._num_candidates = self._num_changes = 0

    @property
    def num_candidates(self) -> int | None:
        """How many candidates there are; None before `index`."""
        return None if self._table is None else self._num_candidates

    @property
    def embedding_dim(self) -> int | None:
        """Width of the candidates; None before `index`."""
        return None if self._shapes is None else self._shapes.embedding_dim

    @property
    def id_dtype(self) -> tf.DType | None:
        """Of the identifiers; None before `index`."""
        return None if self._shapes is None else tf.as_dtype(self._shapes.id_dtype)

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes that `filters` can ask for, and their types."""
        kinds = {} if self._shapes is None else self._shapes.attributes
        return {name: dtype for name, (dtype, _) in kinds.items()}

    @property
    def staleness(self) -> float:
        """Candidates added, changed and removed since `index`, per candidate now.

        An approximate index whose partitions were made for other candidates misses
        more: measure its recall again, or index anew, when this is no longer small.
        """
        return self._num_changes / max(self._num_candidates, 1)

    def index(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor | None = None,
        *,
        attributes: Mapping[str, Tensor] | None = None,
    ) -> "UpdatableIndex":
        """Takes the candidates; what was indexed before is dropped.

        Args:
          candidates: `[num_candidates, embedding_dim]`.
          identifiers: `[num_candidates]` unique ids of any dtype; the row numbers where
            None.
          attributes: Name -> `[num_candidates]` or `[num_candidates, None]` strings,
            integers or booleans, dense or ragged, that `filters` can ask for. "" and -1
            are padding.

        Raises:
          ValueError: shapes do not match, an id repeats, an embedding is not finite,
            there are more candidates than the `capacity`.
        """
        candidates = tf.convert_to_tensor(candidates)
        if identifiers is None:
            identifiers = tf.range(candidates.shape[0])
        identifiers = tf.convert_to_tensor(identifiers)
        check_candidates(candidates, identifiers)
        self._index(candidates.numpy(), identifiers, dict(attributes or {}))
        return self

    def index_from_dataset(self, candidates: tf.data.Dataset) -> "UpdatableIndex":
        """Takes the candidates, chunk by chunk; what was indexed before is dropped.

        The dataset is read once, into a temporary file: `memory_estimate` says how much
        memory the rest needs.

        Args:
          candidates: Batches of embeddings, of (identifiers, embeddings), or of
            (identifiers, embeddings, attributes).

        Raises:
          ValueError: as `index` does.
        """
        with spool(candidates) as rows:
            identifiers = rows.identifiers
            if identifiers is None:
                identifiers = tf.range(len(rows.embeddings))
            self._index(rows.embeddings, identifiers, rows.attributes)
        return self

    def add(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor,
        *,
        attributes: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Adds candidates, without building anew.

        Args:
          candidates: `[n, embedding_dim]`.
          identifiers: `[n]` ids that are not there yet.
          attributes: Of all names that `index` was given.

        Raises:
          ValueError: an id is there, or there is no room: see `capacity`.
        """
        candidates, identifiers, attributes = self._checked_rows(
            candidates, identifiers, attributes
        )
        there = self._table.find(identifiers).numpy() >= 0
        if there.any():
            raise ValueError(
                "`identifiers` to add must be new; `upsert` replaces candidates. "
                f"{there.sum()} are there, {first_of(identifiers, there)!r} is one."
            )
        self._add(candidates, identifiers, attributes)

    def remove(self, identifiers: tf.Tensor) -> None:
        """Removes candidates, without building anew.

        Args:
          identifiers: `[n]` ids.

        Raises:
          ValueError: an id is not there.
        """
        identifiers = tf.convert_to_tensor(identifiers)
        slots = self._find(identifiers).numpy()
        missing = slots < 0
        if missing.any():
            raise ValueError(
                "`identifiers` to remove must be indexed. "
                f"{missing.sum()} are not, {first_of(identifiers, missing)!r} is one."
            )
        slots = np.unique(slots)
        self._num_candidates -= slots.size
        self._num_changes += slots.size
        self._table.delete(slots)
        self._free(slots)

    def upsert(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor,
        *,
        attributes: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Adds candidates, or replaces those whose ids are there.

        Args:
          candidates: `[n, embedding_dim]`.
          identifiers: `[n]` ids, each once.
          attributes: Of all names that `index` was given.

        Raises:
          ValueError: there is no room.
        """
        candidates, identifiers, attributes = self._checked_rows(
            candidates, identifiers, attributes
        )
        there = self._table.find(identifiers).numpy() >= 0
        self._check_room(np.count_nonzero(~there))
        if there.any():
            self.remove(tf.boolean_mask(identifiers, there))
            self._num_changes -= np.count_nonzero(there)  # counted once, by adding
        self._add(candidates, identifiers, attributes)

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
          InvalidArgumentError: a query is not finite.
        """
        if self._table is None:
            raise ValueError(EMPTY)
        k = check_k(self._k if k is None else k, self._num_candidates)
        queries, is_single = self._embed(queries)
        restrictions = read_restrictions(self._table, exclusions, filters)
        if allowed is None:
            scores, slots = self._search(queries, k, restrictions)
        else:
            slots = find_slots(self._table, allowed)
            slots = tf.where(self._in_use(tf.maximum(slots, 0)), slots, -1)
            scores, slots = search_among(
                queries,
                self._embeddings.read_value(),
                self._table,
                restrictions,
                slots,
                k=k,
            )
        names = self._table.names(slots)
        if is_single:
            scores, names = scores[0], names[0]
        return blank_missing(scores, names)

    @tf.function
    def query_with_exclusions(
        self,
        queries: tf.Tensor | Features,
        exclusions: Tensor,
        k: int | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query that are not excluded for it.

        Args:
          queries: As in `call`.
          exclusions: As in `call`.
          k: As in `call`.

        Returns:
          As `call`.
        """
        self(queries, k=k)  # Keras saves only what was called; the graph prunes it
        return self(queries, k=k, exclusions=exclusions)

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
        k = check_k(self._k if k is None else k, self._num_candidates)
        queries = tf.gather(self._embeddings.read_value(), tf.maximum(slots, 0))
        itself = Restrictions(slots[:, None], {})
        scores, best = self._search(queries, k, itself)
        scores = tf.where(slots[:, None] >= 0, scores, -float("inf"))
        return blank_missing(scores, self._table.names(best))

    def get_config(self) -> dict:
        query_model = self.query_model
        if query_model is not None:
            query_model = tf.keras.utils.serialize_keras_object(query_model)
        config = {
            "query_model": query_model,
            "k": self._k,
            "distance_measure": self._distance_measure,
            "capacity": self._capacity,
            "name": self.name,
        }
        if self._shapes is not None:
            config["indexed"] = dataclasses.asdict(self._shapes) | {
                "num_candidates": self._num_candidates
            }
        return config

    @classmethod
    def from_config(cls, config: dict) -> "UpdatableIndex":
        indexed = config.get("indexed")
        layer = super().from_config({k: v for k, v in config.items() if k != "indexed"})
        if indexed is not None:
            indexed = dict(indexed)
            layer._num_candidates = indexed.pop("num_candidates")
            layer._create(Shapes(**indexed))  # a checkpoint or SavedModel fills it
        return layer

    @abc.abstractmethod
    def memory_estimate(
        self, num_candidates: int, embedding_dim: int
    ) -> MemoryEstimate:
        """Bytes that an index of so many float32 candidates takes, before it is built.

        Args:
          num_candidates: How many there are to be.
          embedding_dim: Width of an embedding.
        """

    @abc.abstractmethod
    def _lay_out(self, embeddings: np.ndarray, capacity: int) -> Layout:
        """Chooses a slot for each of the embeddings."""

    @abc.abstractmethod
    def _take(self, embeddings: np.ndarray) -> np.ndarray:
        """Free slots for further embeddings, of which there are enough."""

    @abc.abstractmethod
    def _settle(self, slots: np.ndarray) -> None:
        """What follows when candidates were written into slots."""

    @abc.abstractmethod
    def _free(self, slots: np.ndarray) -> None:
        """What follows when the table has lost the candidates of slots."""

    @abc.abstractmethod
    def _in_use(self, slots: tf.Tensor) -> tf.Tensor:
        """Which slots hold a candidate."""

    @abc.abstractmethod
    def _search(
        self, queries: tf.Tensor, k: int | tf.Tensor, restrictions: Restrictions
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and slots `[batch, k]`, the score `-inf` where nothing is left."""

    def _index(
        self,
        embeddings: np.ndarray,
        identifiers: tf.Tensor,
        attributes: Mapping[str, Tensor],
    ) -> None:
        check_candidates(embeddings, identifiers)
        capacity = self._capacity or len(embeddings)
        if capacity < len(embeddings):
            raise ValueError(
                f"`capacity` must be at least the number of candidates, "
                f"{len(embeddings)}. Got {capacity}."
            )
        kinds = attribute_kinds(attributes, len(embeddings))
        layout = self._lay_out(embeddings, capacity)
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
        )
        if shapes == self._shapes:  # a traced graph sees the new values
            self._embeddings.assign(self._in_slots(embeddings, layout))
        else:
            self._create(shapes, lambda *_, **__: self._in_slots(embeddings, layout))
        for name, value in layout.weights.items():
            getattr(self, f"_{name}").assign(value)
        self._table.fill(layout.slots, identifiers, attributes)
        self._settle(layout.slots)
        self._num_candidates, self._num_changes = len(embeddings), 0
        self._reset_tf_function_cache()

    def _in_slots(self, embeddings: np.ndarray, layout: Layout) -> tf.Tensor:
        """Embeddings in the order of the slots."""
        shape = [layout.num_slots, embeddings.shape[1]]
        # A variable, filled in place: a tensor of a NumPy array holds it twice more.
        ordered = tf.Variable(tf.zeros(shape, embeddings.dtype), trainable=False)
        for start in range(0, len(embeddings), CHUNK):
            rows = slice(start, start + CHUNK)
            some = self._measured(embeddings[rows])
            ordered.scatter_update(tf.IndexedSlices(some, layout.slots[rows]))
        return ordered.read_value()

    def _create(self, shapes: Shapes, embeddings: str | Callable = "zeros") -> None:
        """Makes the weights."""
        self._shapes = shapes

        def weight(
            name: str, shape: list[int], dtype: str, initializer: str | Callable
        ) -> tf.Variable:
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer=initializer,
                trainable=False,
            )

        self._embeddings = weight(
            "candidates",
            [shapes.num_slots, shapes.embedding_dim],
            shapes.dtype,
            embeddings,
        )
        for name, kind in shapes.weights.items():
            setattr(self, f"_{name}", weight(name, *kind, "zeros"))
        self._table = SlotTable(
            num_slots=shapes.num_slots,
            id_dtype=shapes.id_dtype,
            attributes=shapes.attributes,
        )

    def _find(self, identifiers: tf.Tensor) -> tf.Tensor:
        if self._table is None:
            raise ValueError(EMPTY)
        return self._table.find(identifiers)

    def _checked_rows(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor,
        attributes: Mapping[str, Tensor] | None,
    ) -> tuple[np.ndarray, tf.Tensor, dict[str, Tensor]]:
        if self._table is None:
            raise ValueError(EMPTY)
        candidates = tf.cast(candidates, self._embeddings.dtype).numpy()
        identifiers = tf.convert_to_tensor(identifiers)
        check_candidates(candidates, identifiers)
        check_queries(candidates, self._embeddings.shape[1], name="candidates")
        attributes = dict(attributes or {})
        if attributes.keys() != self._table.attributes.keys():
            raise ValueError(
                "`attributes` must be those that the index was built with, "
                f"{sorted(self._table.attributes)}. Got {sorted(attributes)}."
            )
        return candidates, identifiers, attributes

    def _check_room(self, number: int) -> None:
        capacity = self._capacity or self._embeddings.shape[0]
        if self._num_candidates + number > capacity:
            raise ValueError(
                f"The index must have room for the candidates: `capacity` is "
                f"{capacity}, {self._num_candidates} are there, {number} more were "
                "given. Index all of them in one with a larger `capacity`."
            )

    def _add(
        self,
        candidates: np.ndarray,
        identifiers: tf.Tensor,
        attributes: Mapping[str, Tensor],
    ) -> None:
        self._check_room(len(candidates))
        candidates = self._measured(candidates)
        slots = self._take(candidates)
        self._write(slots, candidates)
        self._table.insert(slots, identifiers, attributes)
        self._settle(slots)
        self._num_candidates += len(candidates)
        self._num_changes += len(candidates)

    def _write(self, slots: np.ndarray, embeddings: np.ndarray) -> None:
        # Never `scatter_update`, and never `tf.gather` of the variable itself: every
        # later read of such a variable would copy it.
        self._embeddings.assign(
            tf.tensor_scatter_nd_update(self._embeddings, slots[:, None], embeddings)
        )

    def _measured(self, embeddings: np.ndarray) -> np.ndarray:
        """Embeddings whose products are the measure."""
        if self._distance_measure == "dot_product":
            return embeddings
        return tf.math.l2_normalize(embeddings, axis=1).numpy()

    def _embed(self, queries: tf.Tensor | Features) -> tuple[tf.Tensor, bool]:
        """Queries `[batch, embedding_dim]`, and whether there was but one."""
        if self.query_model is not None:
            queries = self.query_model(queries)
        queries = tf.cast(queries, self._embeddings.dtype)
        check_queries(queries, self._embeddings.shape[1])
        is_single = queries.shape.rank == 1
        if is_single:
            queries = queries[None]
        queries = finite_queries(queries)
        if self._distance_measure == "cosine":
            queries = tf.math.l2_normalize(queries, axis=1)
        return queries, is_single
