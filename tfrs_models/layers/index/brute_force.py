"""Exact retrieval that scores every candidate."""

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.index.candidate_file import CHUNK
from tfrs_models.layers.index.exact_search import best_of, search_all
from tfrs_models.layers.index.hooks import has_own_scores
from tfrs_models.layers.index.live import Snapshot, Update
from tfrs_models.layers.index.restrictions import Restrictions
from tfrs_models.layers.index.slot_index import SlotIndex
from tfrs_models.layers.index.slot_table import Layout, MemoryEstimate, estimate_memory

_WORK_ROWS = 2 * CHUNK
_ALIGNED = 64  # slots: whole blocks of the search


@register
class BruteForce(SlotIndex):
    """Scores every candidate and returns the `k` best.

    A drop-in for `tfrs.layers.factorized_top_k.BruteForce`, twice as fast on large
    corpora. Exclusions, allow-lists and filters are exact at any score magnitude, may
    be ragged and may leave fewer than `k` candidates.

    Example:
      >>> index = tm.layers.BruteForce(k=2)
      >>> _ = index.index([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], ["a", "b", "c"])
      >>> query = tf.constant([[2.0, 1.0]])
      >>> scores, ids = index(query)
      >>> scores.numpy(), ids.numpy()
      (array([[3., 2.]], dtype=float32), array([[b'c', b'a']], dtype=object))
      >>> index(query, exclusions=[["c"]])[1].numpy()
      array([[b'a', b'b']], dtype=object)
    """

    def __init__(
        self,
        query_model: tf.keras.Model | None = None,
        k: int = 10,
        name: str | None = None,
        *,
        distance_measure: str = "dot_product",
        capacity: int | None = None,
        duplicates: str = "warn",
    ) -> None:
        """Initializes the layer.

        Args:
          query_model: model from raw features to query embeddings; None if the layer
            is called with embeddings.
          k: number of candidates to return if `call` is given none.
          name: name of the layer.
          distance_measure: `"dot_product"` or `"cosine"`; larger is better in both.
          capacity: number of candidates that there is room for, those of `add` and
            `upsert` included; as many as are indexed if None.
          duplicates: "warn" for one warning that counts repeated ids, "error" for a
            `ValueError`. Each copy takes a position of its own in an answer.
        """
        super().__init__(
            query_model,
            k,
            distance_measure=distance_measure,
            capacity=capacity,
            duplicates=duplicates,
            name=name,
        )
        self._assigned = {}  # by a subclass with an `index` and a `call` of its own

    @property
    def _candidates(self) -> tf.Tensor | None:
        """Embeddings of the candidates, for subclasses written for upstream's class."""
        if self._table is None:
            return self._assigned.get("candidates")
        return _in_use(self.snapshot())

    @_candidates.setter
    def _candidates(self, value: tf.Tensor) -> None:
        self._assigned["candidates"] = value

    @property
    def _identifiers(self) -> tf.Tensor | None:
        """Ids in the order of `_candidates`; None before `index`."""
        if self._table is None:
            return self._assigned.get("identifiers")
        snapshot = self.snapshot()
        return snapshot.names(tf.range(snapshot.num_candidates))

    @_identifiers.setter
    def _identifiers(self, value: tf.Tensor) -> None:
        self._assigned["identifiers"] = value

    def is_exact(self) -> bool:
        return True

    def memory_estimate(
        self, num_candidates: int, embedding_dim: int
    ) -> MemoryEstimate:
        return estimate_memory(
            num_slots=_num_slots(max(self._capacity or 0, num_candidates)),
            embedding_dim=embedding_dim,
            rest=0,
            work=_WORK_ROWS * embedding_dim * 4,
        )

    def _lay_out(self, embeddings: np.ndarray, capacity: int) -> Layout:
        return Layout(np.arange(len(embeddings)), _num_slots(capacity), {})

    def _take(self, embeddings: np.ndarray, update: Update) -> np.ndarray:
        return int(update["num_candidates"]) + np.arange(len(embeddings))

    def _settle(self, slots: np.ndarray, update: Update) -> None:
        """Does nothing: the slots in use are the first ones."""

    def _free(self, slots: np.ndarray, update: Update) -> None:
        """Moves the last candidates into the gaps, so that none is left."""
        left = int(update["num_candidates"])
        gaps = slots[slots < left]
        last = np.setdiff1d(np.arange(left, left + len(slots)), slots)
        update.scatter("candidates", gaps, tf.gather(update["candidates"], last))
        self._table.move(last, gaps, update)

    def _in_use(self, slots: tf.Tensor, snapshot: Snapshot) -> tf.Tensor:
        return slots < snapshot.num_candidates

    def _search(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        restrictions: Restrictions,
        snapshot: Snapshot,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if has_own_scores(self):
            scores = self._compute_score(queries, _in_use(snapshot))
            return best_of(scores, snapshot, restrictions, k=k)
        return search_all(
            queries, snapshot, restrictions, k=k, num_valid=snapshot.num_candidates
        )


def _in_use(snapshot: Snapshot) -> tf.Tensor:
    return snapshot["candidates"][: snapshot.num_candidates]


def _num_slots(capacity: int) -> int:
    return -(-capacity // _ALIGNED) * _ALIGNED
