"""An index with slots whose candidates can change."""

import abc
import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.layers.index.checks import (
    EMPTY,
    check_eager,
    check_floating,
    check_queries,
    first_of,
    most_copies,
    read_ids,
)
from tfrs_models.layers.index.live import Update
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
        with self._updating() as update:
            if _is_nothing(candidates, identifiers):
                return
            candidates, identifiers, keys = self._checked_rows(
                candidates, identifiers, attributes
            )
            there = self.snapshot().find(identifiers).numpy() >= 0
            if there.any():
                raise ValueError(
                    "`identifiers` to add must be new; `upsert` replaces candidates. "
                    f"{there.sum()} are there, {first_of(identifiers, there)!r} is one."
                )
            self._add(candidates, identifiers, keys, update)

    def remove(self, identifiers: tf.Tensor) -> None:
        """Removes candidates, without building anew.

        Args:
          identifiers: `[n]` ids; nothing changes where there are none.

        Raises:
          ValueError: an id is not there.
        """
        with self._updating() as update:
            if not _is_nothing(identifiers):
                identifiers = tf.reshape(tf.convert_to_tensor(identifiers), [-1])
                self._remove(identifiers, update)

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
        with self._updating() as update:
            if _is_nothing(candidates, identifiers):
                return
            candidates, identifiers, keys = self._checked_rows(
                candidates, identifiers, attributes
            )
            there = self.snapshot().find(identifiers).numpy() >= 0
            self._check_room(np.count_nonzero(~there), update)
            if there.any():
                self._remove(tf.boolean_mask(identifiers, there), update)
                self._num_changes -= np.count_nonzero(there)  # counted once, by adding
            self._add(candidates, identifiers, keys, update)

    @abc.abstractmethod
    def _take(self, embeddings: np.ndarray, update: Update) -> np.ndarray:
        """Free slots for further embeddings, of which there are enough."""

    @abc.abstractmethod
    def _free(self, slots: np.ndarray, update: Update) -> None:
        """What follows when the table has lost the candidates of slots."""

    @contextlib.contextmanager
    def _updating(self) -> Iterator[Update]:
        """An update that readers see where the block ends; none after an error."""
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

    def _checked_rows(
        self,
        candidates: tf.Tensor,
        identifiers: tf.Tensor,
        attributes: Mapping[str, Tensor] | None,
    ) -> tuple[np.ndarray, tf.Tensor, dict[str, tf.Tensor]]:
        """Everything that can be wrong is found before anything is changed."""
        candidates = tf.convert_to_tensor(candidates)
        check_floating(candidates)  # a cast would take quantised ones as they are
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

    def _check_room(self, number: int, update: Update) -> None:
        capacity = self._capacity or self._embeddings.shape[0]
        there = int(update["num_candidates"])
        if there + number > capacity:
            raise ValueError(
                f"The index must have room for the candidates: `capacity` is "
                f"{capacity}, {there} are there, {number} more were given. Index all "
                "of them in one with a larger `capacity`."
            )

    def _add(
        self,
        candidates: np.ndarray,
        identifiers: tf.Tensor,
        keys: Mapping[str, tf.Tensor],
        update: Update,
    ) -> None:
        self._check_room(len(candidates), update)
        slots = self._take(candidates, update)
        update.scatter("candidates", slots, candidates)
        self._table.insert(slots, identifiers, keys, update)
        self._settle(slots, update)
        self._num_changes += len(candidates)

    def _remove(self, identifiers: tf.Tensor, update: Update) -> None:
        there = self.snapshot()
        missing = there.find(identifiers).numpy() < 0
        if missing.any():
            raise ValueError(
                "`identifiers` to remove must be indexed. "
                f"{missing.sum()} are not, {first_of(identifiers, missing)!r} is one."
            )
        slots = np.unique(there.find_all(identifiers))
        slots = slots[slots >= 0]
        self._num_changes += slots.size
        self._table.delete(slots, update)
        self._free(slots, update)


def _is_nothing(*rows: tf.Tensor) -> bool:
    """Whether there are no rows: a nightly update without news."""
    return all(tuple(np.shape(some)[:1]) == (0,) for some in rows)
