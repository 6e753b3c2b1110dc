"""An index whose candidates lie in slots."""

import abc
import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import FromConfig
from tfrs_models.layers.index.checks import (
    LONGEST,
    check_candidates,
    check_duplicates,
    check_eager,
    check_k,
    check_sizes,
    most_copies,
    read_ids,
)
from tfrs_models.layers.index.hooks import refuse_own_scores
from tfrs_models.layers.index.layout import Layout, Shapes
from tfrs_models.layers.index.live import Update
from tfrs_models.layers.index.memory import MemoryEstimate
from tfrs_models.layers.index.slot_table import SlotTable, attribute_kinds
from tfrs_models.layers.index.spool import CHUNK, ComputedRows, spool
from tfrs_models.layers.index.table_index import TableIndex
from tfrs_models.ops.ranks.scores import unit_rows
from tfrs_models.types import Tensor

_MEASURES = ("dot_product", "cosine")


class SlotIndex(TableIndex, FromConfig, tfrs.layers.factorized_top_k.TopK):
    """Holds candidates in slots, of which some may be free: built, saved and restored.

    A subclass says which slot a candidate gets.
    """

    _NOT_SEARCHED = ()  # weights that only an update needs

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

    def index(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor | None = None,
        *,
        attributes: Mapping[str, Tensor] | None = None,
    ) -> "SlotIndex":
        """Takes the candidates; what was indexed before is dropped.

        After an error it is not. A `tf.function` of your own that was traced before
        sees the new candidates where number, width and types are the same; trace it
        again where they are not.

        Args:
          candidates: `[num_candidates, embedding_dim]`.
          identifiers: `[num_candidates]` ids of any dtype but -1 and "", which mean
            "none" in answers; the row numbers where None. Integers are kept and
            answered as int64.
          attributes: Name -> `[num_candidates]` or `[num_candidates, None]` strings,
            integers or booleans, dense or ragged, that `filters` can ask for. "" and -1
            are padding.

        Raises:
          ValueError: shapes do not match, an id repeats with `duplicates="error"`, an
            embedding is not finite, there are more candidates than the `capacity`.
        """
        check_eager("index")
        candidates = tf.convert_to_tensor(candidates)
        if identifiers is None:
            identifiers = tf.range(candidates.shape[0], dtype=tf.int64)
        identifiers = tf.convert_to_tensor(identifiers)
        self._index(candidates.numpy(), identifiers, dict(attributes or {}))
        return self

    def index_from_dataset(self, candidates: tf.data.Dataset) -> "SlotIndex":
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
            if type(self).index is not SlotIndex.index:  # a subclass prepares them
                attributes = {"attributes": rows.attributes} if rows.attributes else {}
                return self.index(rows.embeddings[:], identifiers, **attributes)
            if identifiers is None:
                identifiers = tf.range(len(rows.embeddings), dtype=tf.int64)
            self._index(rows.embeddings, identifiers, rows.attributes)
        return self

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
                "num_candidates": self.num_candidates
            }
        return config

    @classmethod
    def from_config(cls, config: dict) -> "SlotIndex":
        indexed = config.get("indexed")
        layer = super().from_config({k: v for k, v in config.items() if k != "indexed"})
        if indexed is not None:
            indexed = dict(indexed)
            size = indexed.pop("num_candidates")
            shapes = Shapes(**indexed)  # a checkpoint or SavedModel fills the weights
            weights, table = layer._make_weights(shapes), layer._make_table(shapes)
            layer._adopt(shapes, weights, table)
            layer._table.num_candidates.assign(size)
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
            # Where shapes are the same, a traced graph sees the new values.
            same = shapes == self._shapes
            table = self._table if same else self._make_table(shapes)
            weights = self._weights() if same else self._make_weights(shapes)
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
        """Embeddings in the order of the slots."""
        shape = [layout.num_slots, embeddings.shape[1]]
        # A variable, filled in place: a tensor of a NumPy array holds it twice more.
        ordered = tf.Variable(tf.zeros(shape, embeddings.dtype), trainable=False)
        for start in range(0, len(embeddings), CHUNK):
            rows = slice(start, start + CHUNK)
            some = self._measured(embeddings[rows])
            ordered.scatter_update(tf.IndexedSlices(some, layout.slots[rows]))
        return ordered.read_value()

    def _make_weights(self, shapes: Shapes) -> dict[str, tf.Variable]:
        dim = [shapes.num_slots, shapes.embedding_dim]
        kinds = {"candidates": [dim, shapes.dtype]} | shapes.weights
        # Not `add_weight`: they are the layer's once adopted, and not after an error.
        return {
            name: tf.Variable(tf.zeros(shape, dtype), trainable=False, name=name)
            for name, (shape, dtype) in kinds.items()
        }

    def _make_table(self, shapes: Shapes) -> SlotTable:
        return SlotTable(
            num_slots=shapes.num_slots,
            id_dtype=shapes.id_dtype,
            attributes=shapes.attributes,
            num_copies=shapes.num_copies,
        )

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

    @abc.abstractmethod
    def _settle(self, slots: np.ndarray, update: Update) -> None:
        """What follows when candidates were written into slots."""

    def _check_candidates(self, embeddings: np.ndarray, identifiers: tf.Tensor) -> None:
        longest = LONGEST if self._distance_measure == "dot_product" else None
        check_candidates(embeddings, identifiers, longest=longest)

    def _measured(self, embeddings: np.ndarray) -> np.ndarray:
        """Embeddings whose products are the measure."""
        if self._distance_measure == "dot_product":
            return embeddings
        return unit_rows(tf.convert_to_tensor(embeddings)).numpy()


def _attribute(weight: str) -> str:
    return "_embeddings" if weight == "candidates" else f"_{weight}"
