"""The choice of baselines' parameters on validation rows."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tfrs_models.baselines.baseline import Baseline
from tfrs_models.baselines.popularity import Popularity
from tfrs_models.baselines.recent_popularity import RecentPopularity
from tfrs_models.baselines.rows import DAY, times_of
from tfrs_models.baselines.user_history import UserHistory
from tfrs_models.baselines.weighted_sum import WeightedSum
from tfrs_models.data.interactions import Interactions
from tfrs_models.metrics.corpus_metrics import parse_rank_metric
from tfrs_models.metrics.score_ranks import rank_scores

WEIGHTS = (0.1, 0.3, 1.0, 3.0)


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
    - `"recent_popularity"`: half-lives of 1, 2, 4, 7, 30, 90 and 365 days that are
      shorter than the log, or 1/64, 1/16 and 1/4 of the log if it is shorter than two
      days;
    - `"user_history"`: no decay, and every second of these half-lives;
    - `"weighted_sum"`: the best of the first two + 0.1, 0.3, 1 or 3 times the best
      personal one.

    A kind that needs timestamps is left out of data without them. A fit that would go
    beyond the budget, by the time of similar fits, is left out as well; the result has
    a note of either. Parameters are compared on validation rows alone. To measure on
    test rows, fit again: `choice.baseline.fit(data, split="test")`.

    Args:
      data: interactions with validation rows.
      budget_seconds: time for all fits and rankings. Popularity is always tried.
      names: kinds to try; None stands for all.
      metric: name of a metric of ranks, larger is better, such as `"mrr"`.
      exclude: whether items that the user had before the split do not compete.
      num_rows: number of validation rows that are ranked, drawn if there are more.
      seed: seed of the draw.

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
    kinds = tuple(_GRIDS) if names is None else tuple(names)
    if unknown := set(kinds) - set(_GRIDS):
        raise ValueError(
            f"`names` must be among {tuple(_GRIDS)}. Got {sorted(unknown)}."
        )
    if not budget_seconds > 0:
        raise ValueError(f"`budget_seconds` must be positive. Got {budget_seconds}.")
    parse_rank_metric(metric, "metric")
    trial = _Trial(data, metric, exclude, num_rows, seed, budget_seconds)
    choices = []
    for kind in (kind for kind in _GRIDS if kind in kinds):
        choices.append(trial.best(kind, _GRIDS[kind](data, choices)))
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
        self._exclusions = data.known_items("validation") if exclude else None
        self._has_times = times_of(rows) is not None
        self._budget, self._spent = budget, 0.0

    def best(self, kind: str, grid: Iterator[Baseline] | str) -> Choice:
        """Tries a grid; a text in its position is the reason why there is none."""
        chosen, best, tried, seconds, longest = None, -math.inf, 0, 0.0, 0.0
        note = grid if isinstance(grid, str) else ""
        for baseline in () if note else grid:
            if baseline.reads_times and not self._has_times:
                note = "needs timestamps"
                break
            if tried and self._spent + longest > self._budget:
                note = f"stopped after {tried} settings: no time left"
                break
            if self._spent > self._budget:
                note = "no time left"
                break
            started = time.perf_counter()
            baseline = baseline.fit(self._data, split="validation")
            value = self._value(baseline)
            elapsed = time.perf_counter() - started
            seconds, longest = seconds + elapsed, max(longest, elapsed)
            self._spent += elapsed
            tried += 1
            if value > best:
                chosen, best = baseline, value
        return Choice(
            kind=kind,
            name=chosen.name if chosen else kind,
            baseline=chosen,
            value=best if chosen else math.nan,
            seconds=seconds,
            num_tried=tried,
            note=note,
        )

    def _value(self, baseline: Baseline) -> float:
        table = rank_scores(baseline.score, self._rows, exclusions=self._exclusions)
        return float(np.nanmean(table.values(self._metric), dtype=np.float64))


def _half_lives(data: Interactions) -> list[float]:
    """Half-lives in days that are shorter than the log of train and validation."""
    ends = [times_of(data.splits[split]) for split in ("train", "validation")]
    if any(times is None for times in ends):
        return [1.0]
    times = np.concatenate(ends)
    log = float(times.max() - times.min()) / DAY
    if log < 2:
        return [max(log, 1 / DAY) / part for part in (64, 16, 4)]
    return [days for days in (1.0, 2.0, 4.0, 7.0, 30.0, 90.0, 365.0) if days < log]


def _popularity(data: Interactions, choices: list[Choice]) -> Iterator[Baseline]:
    del data, choices
    yield Popularity()


def _recent_popularity(data: Interactions, choices: list[Choice]) -> Iterator[Baseline]:
    del choices
    yield from map(RecentPopularity, _half_lives(data))


def _user_history(data: Interactions, choices: list[Choice]) -> Iterator[Baseline]:
    del choices
    yield from map(UserHistory, [math.inf, *_half_lives(data)[::2]])


def _weighted_sum(
    data: Interactions, choices: list[Choice]
) -> Iterator[Baseline] | str:
    """Sums of the best popularity and the best personal baseline so far."""
    del data
    tried = [choice for choice in choices if choice.baseline is not None]
    popular = [c for c in tried if not c.baseline.is_personal]
    personal = [c for c in tried if c.baseline.is_personal]
    if not popular or not personal:
        return "needs a popularity and a personal baseline"
    parts = [max(kind, key=lambda c: c.value).baseline for kind in (popular, personal)]
    return (WeightedSum(parts, (1.0, weight)) for weight in WEIGHTS)


_GRIDS: dict[str, Callable[[Interactions, list[Choice]], Iterator[Baseline] | str]] = {
    "popularity": _popularity,
    "recent_popularity": _recent_popularity,
    "user_history": _user_history,
    "weighted_sum": _weighted_sum,
}
