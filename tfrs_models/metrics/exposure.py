"""Exposure of items: how top-k lists share their positions among the catalogue."""

import dataclasses
import math

import numpy as np

from tfrs_models.metrics.top_k_lists import checked_lists


@dataclasses.dataclass(frozen=True, eq=False)
class Exposure:
    """Numbers of lists that show each item of a catalogue.

    Args:
      counts: `[num_items + 1]` number of lists that show each item; row 0, the unknown
        item, is 0.
      num_lists: number of lists, those without items included.
    """

    counts: np.ndarray
    num_lists: int

    @property
    def coverage(self) -> float:
        """Share of the catalogue that at least one list shows."""
        return float((self.counts[1:] > 0).mean())

    @property
    def gini(self) -> float:
        """Gini index of the counts over the whole catalogue.

        It is 0 if all items are shown equally often, and `1 - 1 / num_items` if one
        item has all positions.
        """
        counts = np.sort(self.counts[1:]).astype("float64")
        n = len(counts)
        weights = 2 * np.arange(1, n + 1) - n - 1
        return float(weights @ counts / (n * counts.sum()))

    @property
    def largest_reach(self) -> float:
        """Share of the lists that show the most shown item."""
        return float(self.counts[1:].max() / self.num_lists)

    @property
    def most_shown(self) -> int:
        """Index of the item that most lists show; of several, the first."""
        return int(self.counts[1:].argmax()) + 1

    def share_of_top(self, top: float = 0.01) -> float:
        """Computes the share of all positions that the most shown items fill.

        Args:
          top: share of the catalogue, in (0, 1]; the number of items is rounded up.

        Raises:
          ValueError: `top` is outside (0, 1].
        """
        if not 0 < top <= 1:
            raise ValueError(f"`top` must be above 0 and at most 1. Got {top}.")
        counts = np.sort(self.counts[1:])[::-1]
        number = math.ceil(round(top * len(counts), 6))  # 0.07 * 100 is above 7
        return float(counts[:number].sum() / counts.sum())

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the share of all positions over the share of the most shown items.

        Returns:
          `[num_items]` shares of the catalogue, ascending to 1, and `[num_items]`
          shares of the positions that these items fill.
        """
        counts = np.sort(self.counts[1:])[::-1].astype("float64")
        share = np.arange(1, len(counts) + 1) / len(counts)
        return share, np.cumsum(counts) / counts.sum()


def exposure(lists: np.ndarray, num_items: int) -> Exposure:
    """Counts how often top-k lists show each item of the catalogue.

    `coverage = |{i: c_i > 0}| / n` and, with the counts in ascending order,
    `gini = sum_i (2 i - n - 1) c_i / (n sum_i c_i)`, both over all `n` items of the
    catalogue. Coverage is that of RecTools' `CatalogCoverage(normalize=True)`.

    Args:
      lists: `[num_users, k]` item indices; 0 and -1 are padding.
      num_items: number of items in the catalogue.

    Returns:
      An object with the `counts`, the properties `coverage`, `gini`, `largest_reach`
      (share of the users that one item reaches) and `most_shown` (that item), and the
      methods `share_of_top(0.01)` (share of the positions that 1% of the items fill)
      and `curve()`.

    Raises:
      ValueError: `lists` are no item indices of this catalogue or are empty.

    Example:
      >>> shown = tm.metrics.exposure(np.array([[1, 2], [1, 3], [1, 0]]), num_items=4)
      >>> shown.coverage, shown.largest_reach, shown.share_of_top(0.25)
      (0.75, 1.0, 0.6)
      >>> round(shown.gini, 2)
      0.45

    Reference:
      Ge et al., Beyond accuracy: evaluating recommender systems by coverage and
      serendipity, RecSys 2010. Fleder and Hosanagar, Blockbuster culture's next rise or
      fall, Management Science 2009 (the Gini index).
    """
    lists = checked_lists(lists, num_items)
    counts = np.bincount(lists.ravel(), minlength=num_items + 1)
    counts[0] = 0
    return Exposure(counts, len(lists))
