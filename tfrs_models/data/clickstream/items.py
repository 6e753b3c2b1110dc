"""The items that searches show, as one table."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.data.clickstream.fine_tuning_input import (
    LEAST_RESULTS,
    FineTuningInput,
    as_id,
    remove_results,
)


class ItemSet:
    """A table of items, in which an id owns one row or, after augmentation, several.

    Args:
      ids: `[num_rows]` item ids.
      features: `[num_rows, ...]` input of the item tower, or a dict of such columns;
        None if the tower receives row numbers.
      rows: `[num_rows]` integers by which a tower looks items up; 0, 1, ... by default.

    Raises:
      ValueError: features or rows of another length.

    Example:
      >>> items = tm.data.clickstream.ItemSet(["a", "b"], rows=[1, 2])
      >>> items.rows(["b", "a", "a"])
      [2, 1, 1]
      >>> "c" in items
      False
    """

    def __init__(
        self,
        ids: Sequence[str],
        features: object = None,
        *,
        rows: Sequence[int] | None = None,
    ) -> None:
        self.ids = [as_id(name) for name in ids]
        rows = np.arange(len(self.ids)) if rows is None else np.asarray(rows, np.int64)
        lengths = {len(c) for c in tf.nest.flatten(features) if c is not None}
        if lengths - {len(self.ids)} or len(rows) != len(self.ids):
            raise ValueError(
                f"`features` and `rows` must have a row for each of {len(self.ids)} "
                f"ids. Got {sorted(lengths)} and {len(rows)}."
            )
        self.features = features
        self._rows = {}
        for name, row in zip(self.ids, rows.tolist(), strict=True):
            self._rows.setdefault(name, []).append(row)

    def rows(self, ids: Iterable[str], *, ignore_missing: bool = False) -> list[int]:
        """Returns the rows of ids, in their order; an id that owns several gives all.

        Args:
          ids: item ids.
          ignore_missing: whether an unknown id gives no rows instead of an error.

        Raises:
          IndexError: an unknown id.
        """
        found = []
        for name in ids:
            if name in self._rows:
                found += self._rows[name]
            elif not ignore_missing:
                raise IndexError(
                    f"Item {name!r} is not among the {len(self._rows):,} items. Leave "
                    "it out with `ItemSet.known_results`, or add it."
                )
        return found

    def items_by_ids(
        self, ids: Iterable[str], *, ignore_missing: bool = False
    ) -> tuple[object, list[str]]:
        """Returns the features of ids, and the id of each row.

        Args:
          ids: item ids.
          ignore_missing: whether an unknown id is left out instead of an error.

        Raises:
          IndexError: an unknown id.
        """
        names, rows = [], []
        for name in ids:
            name_rows = self.rows([name], ignore_missing=ignore_missing)
            rows += name_rows
            names += [name] * len(name_rows)
        return tf.nest.map_structure(
            lambda c: np.asarray(c)[rows], self.features
        ), names

    def known_results(
        self, inputs: Iterable[FineTuningInput]
    ) -> tuple[list[FineTuningInput], int]:
        """Removes the results that are not among the items from searches.

        Args:
          inputs: searches.

        Returns:
          The searches that still have at least two results, and how many results were
          removed from all of them.
        """
        found, removed = [], 0
        for search in inputs:
            unknown = [result for result in search.results if result not in self]
            removed += len(unknown)
            if unknown:
                unknown = [search.object_of(part) for part in unknown]
                search = remove_results(search, unknown)
            if len(search) >= LEAST_RESULTS:
                found.append(search)
        return found, removed

    def subset(self, ids: Iterable[str]) -> "ItemSet":
        """Returns the items whose id is among `ids`, in the order of this set."""
        wanted = set(ids)
        chosen = [index for index, name in enumerate(self.ids) if name in wanted]
        features = self.features
        if features is not None:
            features = tf.nest.map_structure(lambda c: np.asarray(c)[chosen], features)
        taken = {}
        rows = []
        for name in self.ids:
            number = taken[name] = taken.get(name, -1) + 1
            rows.append(self._rows[name][number])
        rows = None if features is not None else [rows[index] for index in chosen]
        return ItemSet([self.ids[index] for index in chosen], features, rows=rows)

    def __contains__(self, name: str) -> bool:
        """Returns whether an id has a row."""
        return name in self._rows

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.ids)


class RankingData(NamedTuple):
    """Searches and the items that they show, for both splits.

    Attributes:
      clickstream: "train" and "test" -> pairs of searches.
      items: "train" and "test" -> the items of their results.
    """

    clickstream: dict[str, Sequence]
    items: dict[str, ItemSet]


def ranking_data(train: Sequence, test: Sequence, items: ItemSet) -> RankingData:
    """Joins pairs of searches with the items that they show.

    Args:
      train: pairs of searches to train on, as `pair_inputs` makes them.
      test: pairs of searches to test with.
      items: all items.

    Raises:
      ValueError: a split without an item.
    """
    clickstream = {"train": train, "test": test}
    sets = {name: items.subset(_shown(pairs)) for name, pairs in clickstream.items()}
    for name, found in sets.items():
        if not len(found):
            raise ValueError(f"The {name} split must show a known item. Got none.")
    return RankingData(clickstream, sets)


def _shown(pairs: Iterable[tuple[FineTuningInput, FineTuningInput | None]]) -> set[str]:
    return {
        result
        for pair in pairs
        for search in pair
        if search is not None
        for result in search.results
    }
