"""The items that searches show, as one table."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput


class ItemSet:
    """A table of items, in which an id owns one row or, after augmentation, several.

    Args:
      ids: `[num_rows]` strings.
      features: `[num_rows, ...]` numbers, or a dict of them; None where a tower knows
        what belongs to a row.
      rows: `[num_rows]` integers that a tower knows the items by; 0, 1, ... where None.

    Raises:
      ValueError: features of another length.
    """

    def __init__(
        self,
        ids: Sequence[str],
        features: object = None,
        *,
        rows: Sequence[int] | None = None,
    ) -> None:
        self.ids = [str(name) for name in ids]
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
        """Rows of ids, in their order; ids that own several have them all.

        Args:
          ids: Of items.
          ignore_missing: Whether an unknown id has no rows, and is no error.

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
                    "it out with `known_results`, or add it."
                )
        return found

    def items_by_ids(
        self, ids: Iterable[str], *, ignore_missing: bool = False
    ) -> tuple[object, list[str]]:
        """Features of ids, and the id of each row.

        Args:
          ids: Of items.
          ignore_missing: Whether unknown ids are left out, and no error.

        Raises:
          IndexError: an unknown id.
        """
        names, rows = [], []
        for name in ids:
            own = self.rows([name], ignore_missing=ignore_missing)
            rows += own
            names += [name] * len(own)
        return tf.nest.map_structure(
            lambda c: np.asarray(c)[rows], self.features
        ), names

    def subset(self, ids: Iterable[str]) -> "ItemSet":
        """The items whose id is among `ids`, in the order of this set."""
        wanted = set(ids)
        kept = [place for place, name in enumerate(self.ids) if name in wanted]
        features = self.features
        if features is not None:
            features = tf.nest.map_structure(lambda c: np.asarray(c)[kept], features)
        taken = {}
        rows = []
        for name in self.ids:
            number = taken[name] = taken.get(name, -1) + 1
            rows.append(self._rows[name][number])
        own = None if features is not None else [rows[place] for place in kept]
        return ItemSet([self.ids[place] for place in kept], features, rows=own)

    def __contains__(self, name: str) -> bool:
        """Whether an id has a row."""
        return name in self._rows

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.ids)


class RankingData(NamedTuple):
    """Searches and the items that they show, of both splits.

    Attributes:
      clickstream: "train" and "test" -> pairs of searches.
      items: "train" and "test" -> the items of their results.
    """

    clickstream: dict[str, Sequence]
    items: dict[str, ItemSet]


def ranking_data(train: Sequence, test: Sequence, items: ItemSet) -> RankingData:
    """Joins pairs of searches with the items that they show.

    Args:
      train: Pairs, from `pair_inputs`.
      test: Pairs, from `pair_inputs`.
      items: All items.

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
