"""An index with slots whose candidates can change."""

import abc
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.layers.index.checks import (
    EMPTY,
    check_queries,
    first_of,
    most_copies,
    read_ids,
)
from tfrs_models.layers.index.searchable_index import SearchableIndex
from tfrs_models.types import Tensor


class UpdatableIndex(SearchableIndex):
    """Takes, replaces and loses candidates without being built anew.

    A subclass says which slots are free.
    """

    @property
    def staleness(self) -> float:
        """Candidates added, changed and removed since `index`, per candidate now.

        An approximate index whose partitions were made for other candidates misses
        more: measure its recall again, or index anew, when this is no longer small.
        """
        return self._num_changes / max(self.num_candidates or 0, 1)

    def add(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor,
        *,
        attributes: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Adds candidates, without building anew.

        Args:
          candidates: `[n, embedding_dim]`; nothing changes where there are none.
          identifiers: `[n]` ids that are not there yet.
          attributes: Of all names that `index` was given.

        Raises:
          ValueError: an id is there, or there is no room: see `capacity`.
        """
        if self._is_nothing(candidates, identifiers):
            return
        candidates, identifiers, keys = self._checked_rows(
            candidates, identifiers, attributes
        )
        there = self._table.find(identifiers).numpy() >= 0
        if there.any():
            raise ValueError(
                "`identifiers` to add must be new; `upsert` replaces candidates. "
                f"{there.sum()} are there, {first_of(identifiers, there)!r} is one."
            )
        self._add(candidates, identifiers, keys)

    def remove(self, identifiers: tf.Tensor) -> None:
        """Removes candidates, without building anew.

        Args:
          identifiers: `[n]` ids; nothing changes where there are none.

        Raises:
          ValueError: an id is not there.
        """
        if self._is_nothing(identifiers):
            return
        identifiers = tf.convert_to_tensor(identifiers)
        slots = self._find(identifiers).numpy()
        missing = slots < 0
        if missing.any():
            raise ValueError(
                "`identifiers` to remove must be indexed. "
                f"{missing.sum()} are not, {first_of(identifiers, missing)!r} is one."
            )
        slots = np.unique(self._table.find_all(identifiers))
        slots = slots[slots >= 0]
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
          candidates: `[n, embedding_dim]`; nothing changes where there are none.
          identifiers: `[n]` ids, each once.
          attributes: Of all names that `index` was given.

        Raises:
          ValueError: there is no room.
        """
        if self._is_nothing(candidates, identifiers):
            return
        candidates, identifiers, keys = self._checked_rows(
            candidates, identifiers, attributes
        )
        there = self._table.find(identifiers).numpy() >= 0
        self._check_room(np.count_nonzero(~there))
        if there.any():
            self.remove(tf.boolean_mask(identifiers, there))
            self._num_changes -= np.count_nonzero(there)  # counted once, by adding
        self._add(candidates, identifiers, keys)

    @abc.abstractmethod
    def _take(self, embeddings: np.ndarray) -> np.ndarray:
        """Free slots for further embeddings, of which there are enough."""

    @abc.abstractmethod
    def _free(self, slots: np.ndarray) -> None:
        """What follows when the table has lost the candidates of slots."""

    def _is_nothing(self, *rows: tf.Tensor) -> bool:
        """Whether there are no rows: a nightly update without news."""
        if self._table is None:
            raise ValueError(EMPTY)
        return not any(len(some) for some in rows)

    def _checked_rows(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor,
        attributes: Mapping[str, Tensor] | None,
    ) -> tuple[np.ndarray, tf.Tensor, dict[str, tf.Tensor]]:
        """Everything that can be wrong is found before anything is changed."""
        candidates = tf.cast(candidates, self._embeddings.dtype).numpy()
        identifiers = tf.convert_to_tensor(identifiers)
        self._check_candidates(candidates, identifiers)
        identifiers = read_ids(identifiers)
        most_copies(identifiers, "error")
        check_queries(candidates, self._embeddings.shape[1], name="candidates")
        attributes = dict(attributes or {})
        if attributes.keys() != self._table.attributes.keys():
            raise ValueError(
                "`attributes` must be those that the index was built with, "
                f"{sorted(self._table.attributes)}. Got {sorted(attributes)}."
            )
        keys = self._table.keys_of(attributes, len(candidates))
        return self._measured(candidates), identifiers, keys

    def _check_room(self, number: int) -> None:
        capacity = self._capacity or self._embeddings.shape[0]
        if self.num_candidates + number > capacity:
            raise ValueError(
                f"The index must have room for the candidates: `capacity` is "
                f"{capacity}, {self.num_candidates} are there, {number} more were "
                "given. Index all of them in one with a larger `capacity`."
            )

    def _add(
        self,
        candidates: np.ndarray,
        identifiers: tf.Tensor,
        keys: Mapping[str, tf.Tensor],
    ) -> None:
        self._check_room(len(candidates))
        slots = self._take(candidates)
        self._write(slots, candidates)
        self._table.insert(slots, identifiers, keys)
        self._settle(slots)
        self._num_changes += len(candidates)

    def _write(self, slots: np.ndarray, embeddings: np.ndarray) -> None:
        # Never `scatter_update`, and never `tf.gather` of the variable itself: every
        # later read of such a variable would copy it.
        self._embeddings.assign(
            tf.tensor_scatter_nd_update(self._embeddings, slots[:, None], embeddings)
        )
