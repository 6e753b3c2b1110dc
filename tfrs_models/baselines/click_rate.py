"""Click rates of items and of positions."""

import copy
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal, Self

import numpy as np

from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput


@dataclasses.dataclass(frozen=True, eq=False)
class ClickRate:
    """Scores shown results by how often their item, or their position, was clicked.

    The rate is `(clicks + prior * rate of all) / (shown + prior)`, so that an item that
    was shown once is not the best or the worst of all.

    Args:
      by: "item" or "position".
      prior: number of times that each item counts as shown with the rate of all.

    Raises:
      ValueError: an argument is out of range.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     "u", ["b"], ["a", "b", "c"], dict.fromkeys("abc"))
      >>> baseline = tm.baselines.ClickRate("item", prior=1.0).fit([search])
      >>> baseline.score(["b", "a", "never shown"]).round(2).tolist()
      [0.67, 0.17, 0.33]
    """

    by: Literal["item", "position"] = "item"
    prior: float = 10.0
    _rates: dict | None = dataclasses.field(default=None, init=False, repr=False)
    _rate_of_all: float = dataclasses.field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Checks the arguments."""
        if self.by not in ("item", "position"):
            raise ValueError(f'`by` must be "item" or "position". Got {self.by!r}.')
        if not (np.isfinite(self.prior) and self.prior > 0):
            raise ValueError(f"`prior` must be positive. Got {self.prior}.")

    @property
    def name(self) -> str:
        """Name for tables."""
        return f"click rate by {self.by}"

    def fit(self, searches: Iterable[FineTuningInput]) -> Self:
        """Counts a copy's clicks.

        Args:
          searches: searches with shown results and clicks.

        Returns:
          A fitted copy with the same parameters.

        Raises:
          ValueError: no search has a result.
        """
        shown, clicks = {}, {}
        for search in searches:
            clicked = set(search.events)
            for key, result in zip(
                self._keys(search.results), search.results, strict=True
            ):
                shown[key] = shown.get(key, 0) + 1
                clicks[key] = clicks.get(key, 0) + (result in clicked)
        if not shown:
            raise ValueError("`searches` must have results. Got none.")
        rate = sum(clicks.values()) / sum(shown.values())
        rates = {
            key: (clicks[key] + self.prior * rate) / (count + self.prior)
            for key, count in shown.items()
        }
        fitted = copy.copy(self)
        object.__setattr__(fitted, "_rates", rates)
        object.__setattr__(fitted, "_rate_of_all", rate)
        return fitted

    def score(self, results: Sequence[str]) -> np.ndarray:
        """Scores the results of a search.

        Args:
          results: ids of the shown items, in display order.

        Returns:
          `[num_results]` float64 rates; an item or a position that was never shown has
          the rate of all.

        Raises:
          ValueError: the baseline is not fitted.
        """
        if self._rates is None:
            raise ValueError("the baseline must be fitted first: call `fit(searches)`.")
        keys = self._keys(results)
        return np.array([self._rates.get(key, self._rate_of_all) for key in keys])

    def _keys(self, results: Sequence[str]) -> Sequence:
        return results if self.by == "item" else range(len(results))
