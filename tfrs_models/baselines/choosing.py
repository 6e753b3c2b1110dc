"""The choice of baselines' parameters on validation rows."""

import dataclasses
import math
import time
from collections.abc import Sequence

import numpy as np

from tfrs_models.baselines.baseline import Baseline
from tfrs_models.baselines.grids import GRIDS, Grid, Problem
from tfrs_models.data.interactions import Interactions
from tfrs_models.metrics.rank_values import parse_rank_metric
from tfrs_models.metrics.score_ranks import rank_scores

_SHARE = 0.8  # of the budget, before the weighted sum


@dataclasses.dataclass(frozen=True)
class Choice:
    """A kind of baseline with the parameters that did best on validation rows.

    Args:
      kind: kind of the baseline, such as `"recent_popularity"`.
      name: name with the parameters; the kind if no parameters were tried.
      baseline: baseline fitted before the validation rows, or None if it was left out.
      value: mean of the metric over the validation rows, NaN if it was left out.
      seconds: time of all fits and rankings of this kind.
      num_tried: number of parameters that were tried.
      note: reason why the kind, or a part of its grid, was left out; "" if none was.

    Example:
      >>> tm.baselines.Choice("popularity", "popularity", None, 0.08, 0.1).num_tried
      0
    """

    kind: str
    name: str
    baseline: Baseline | None
    value: float
    seconds: float
    num_tried: int = 0
    note: str = ""


def choose(
    data: Interactions,
    *,
    budget_seconds: float = 60.0,
    names: Sequence[str] | None = None,
    metric: str = "ndcg_at_10",
    exclude: bool = True,
    num_rows: int = 5000,
    seed: int = 0,
) -> list[Choice]:
    """Chooses the parameters of simple recommenders on validation rows.

    The kinds and their grids, in the order in which they are tried:

    - `"popularity"`;
    - `"recent_popularity"`: half-lives of 0.1, 0.5, 1, 2, 4, 7, 30, 90 and 365 days, if
      they are shorter than the log; 1/64, 1/16 and 1/4 of a log below two days;
    - `"user_history"`: no decay, and every second of these half-lives;
    - `"item_knn"`: 100 neighbours with a shrinkage of 10 or 50, then histories with a
      half-life of 2 or 10 items;
    - `"ease"`: regularization 100, 300 or 1000, then the same half-lives; for the
      20,000, 10,000, 5,000 or 2,000 most frequent items, the largest number for which
      half of the remaining time is enough;
    - `"als"`, if `implicit` is installed: 64 factors, weighting alpha 3 or 10 or BM25
      with 0.5;
    - `"weighted_sum"`: the best popularity + 0.1, 0.3, 1 or 3 times the best personal
      baseline; a fifth of the budget is reserved for it.

    A kind that needs timestamps is left out of data without them. A fit that is
    expected to go beyond the budget, by its size or by the time of the fit before it,
    is left out as well; the result has a note of either. With a budget that suffices,
    the result depends on the data and the seed alone. Parameters are compared on
    validation rows alone. To measure on test rows, fit again:
    `choice.baseline.fit(data, split="test")`.

    Args:
      data: interactions with validation rows.
      budget_seconds: time for all fits and rankings. Popularity is always tried.
      names: kinds to try; None stands for all.
      metric: name of a metric of ranks, larger is better, such as `"mrr"`.
      exclude: whether `data.exclusions("validation")` are followed: what the user had
        does not compete, unless repeats are allowed. Rows that it hides are left out.
      num_rows: number of validation rows that are ranked, drawn if there are more.
      seed: seed of the draw, and of ALS.

    Returns:
      A choice for each kind, the best one first and those left out last.

    Raises:
      ValueError: there are no validation rows, a kind is unknown, or the budget is not
        positive.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabbb"), "item_id": list("pqrqpr")})
      >>> data = tm.data.from_frame(frame, split="random", validation_fraction=0.3)
      >>> for choice in tm.baselines.choose(data, names=["popularity", "user_history"]):
      ...     print(choice.kind, choice.note)
      popularity
      user_history needs timestamps
    """
    kinds = tuple(GRIDS) if names is None else tuple(names)
    if unknown := set(kinds) - set(GRIDS):
        raise ValueError(
            f"`names` must be among {tuple(GRIDS)}. Got {sorted(unknown)}."
        )
    if not budget_seconds > 0:
        raise ValueError(f"`budget_seconds` must be positive. Got {budget_seconds}.")
    parse_rank_metric(metric, "metric")
    trial = _Trial(data, metric, exclude, num_rows, seed, budget_seconds)
    choices = [trial.best(kind) for kind in GRIDS if kind in kinds]
    return sorted(choices, key=lambda c: -c.value if c.num_tried else math.inf)


class _Trial:
    """Fits and ranks baselines while there is time."""

    def __init__(
        self,
        data: Interactions,
        metric: str,
        exclude: bool,
        num_rows: int,
        seed: int,
        budget: float,
    ) -> None:
        rows = data.splits["validation"]
        count = len(rows["user_id"])
        if not count:
            raise ValueError(
                "`data` must have validation rows to choose parameters on. Got none: "
                "use a `validation_fraction` above 0, or another split."
            )
        if count > num_rows:
            drawn = np.random.default_rng(seed).choice(count, num_rows, replace=False)
            rows = {name: column[np.sort(drawn)] for name, column in rows.items()}
        self._data, self._rows, self._metric = data, rows, metric
        self._exclusions = data.exclusions("validation") if exclude else None
        self._end = time.perf_counter() + _SHARE * budget
        self._reserve = budget - _SHARE * budget
        self._quickest = 0.0  # a ranking by popularity takes this long
        self._problem = Problem(data, self._seconds_left, seed)

    def best(self, kind: str) -> Choice:
        """Tries the grid of a kind."""
        if kind == "weighted_sum":
            self._end += self._reserve
        started = time.perf_counter()
        tried, note = self._run(GRIDS[kind](self._problem), kind)
        seconds = time.perf_counter() - started
        if not tried:
            return Choice(kind, kind, None, math.nan, seconds, note=note)
        baseline, value = max(tried, key=lambda pair: pair[1])
        self._problem.found[kind] = baseline, value
        return Choice(kind, baseline.name, baseline, value, seconds, len(tried), note)

    def _run(self, grid: Grid, kind: str) -> tuple[list[tuple[Baseline, float]], str]:
        """Fits one baseline after the other; returns them with values, and a note."""
        tried, longest = [], 2 * self._quickest
        try:
            baseline, expected = next(grid)
            while True:
                left = self._seconds_left()
                if kind != "popularity" and left < max(longest, expected):
                    return tried, f"no time left after {len(tried)} settings"
                started = time.perf_counter()
                if not baseline.is_fitted:
                    baseline = baseline.fit(self._data, split="validation")
                tried.append((baseline, self._value(baseline)))
                longest = time.perf_counter() - started
                self._quickest = self._quickest or longest
                baseline, expected = grid.send(tried[-1])
        except StopIteration as end:
            return tried, end.value

    def _value(self, baseline: Baseline) -> float:
        table = rank_scores(baseline.score, self._rows, exclusions=self._exclusions)
        values = table.take(~table.hidden).values(self._metric)
        return float(np.nanmean(values, dtype=np.float64)) if len(values) else 0.0

    def _seconds_left(self) -> float:
        return self._end - time.perf_counter()
