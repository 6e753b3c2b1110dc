"""The parameters that `choose` tries."""

import dataclasses
import math
import time
from collections.abc import Callable, Generator, Mapping

import numpy as np

from tfrs_models.baselines import als
from tfrs_models.baselines.baseline import Baseline
from tfrs_models.baselines.ease import EASE
from tfrs_models.baselines.item_knn import ItemKNN
from tfrs_models.baselines.popularity import Popularity
from tfrs_models.baselines.recent_popularity import RecentPopularity
from tfrs_models.baselines.rows import DAY
from tfrs_models.baselines.user_history import UserHistory
from tfrs_models.baselines.weighted_sum import WeightedSum
from tfrs_models.data.interactions import Interactions
from tfrs_models.data.times import row_times

HALF_LIVES = (0.1, 0.5, 1.0, 2.0, 4.0, 7.0, 30.0, 90.0, 365.0)  # days
WEIGHTS = (0.3, 1.0, 0.1, 3.0)
EASE_SIZES = (20_000, 10_000, 5000, 2000)
REGULARIZATIONS = (100.0, 300.0, 1000.0)

# Yields a baseline (it is fitted if it is fitted already) and the expected seconds of
# its fit; receives the fitted one and its value. The text that it returns is a note.
Grid = Generator[tuple[Baseline, float], tuple[Baseline, float], str]


@dataclasses.dataclass(frozen=True)
class Problem:
    """The data of a choice and what has been found so far.

    Args:
      data: interactions with validation rows.
      seconds_left: function that returns the seconds that a kind may still take.
      seed: seed of baselines that begin at random.
      found: kind -> best baseline of the kind and its value.
    """

    data: Interactions
    seconds_left: Callable[[], float]
    seed: int
    found: dict[str, tuple[Baseline, float]] = dataclasses.field(default_factory=dict)

    @property
    def has_times(self) -> bool:
        """Whether the rows have timestamps."""
        return row_times(self.data.splits["train"]) is not None

    @property
    def half_lives(self) -> list[float]:
        """Half-lives in days that are shorter than the log of train and validation."""
        columns = [self.data.splits[split] for split in ("train", "validation")]
        times = np.concatenate([row_times(column) for column in columns])
        log = float(times.max() - times.min()) / DAY
        if log < 2:
            return [max(log, 1 / DAY) / part for part in (64, 16, 4)]
        return [days for days in HALF_LIVES if days < log]

    @property
    def rows_of_users(self) -> np.ndarray:
        """Number of training rows of each user."""
        return np.bincount(self.data.splits["train"]["user_id"])


def _popularity(problem: Problem) -> Grid:
    del problem
    yield Popularity(), 0.0
    return ""


def _recent_popularity(problem: Problem) -> Grid:
    if not problem.has_times:
        return "needs timestamps"
    for days in problem.half_lives:
        yield RecentPopularity(days), 0.0
    return ""


def _user_history(problem: Problem) -> Grid:
    if not problem.has_times:
        return "needs timestamps"
    for days in (math.inf, *problem.half_lives[::2]):
        yield UserHistory(days), 0.0
    return ""


def _item_knn(problem: Problem) -> Grid:
    seconds = 3e-8 * float(np.sum(problem.rows_of_users.astype(np.float64) ** 2))
    best = yield ItemKNN(shrinkage=10.0), seconds
    best = _better(best, (yield ItemKNN(shrinkage=50.0), seconds))
    yield from _recent_items(problem, best[0])
    return ""


def _ease(problem: Problem) -> Grid:
    data, rate = problem.data, _flops()
    time_of_grid = problem.seconds_left() / 2
    for size in EASE_SIZES:
        size = min(size, data.num_train_items)
        seconds = 2 * float(size) ** 3 / rate
        if len(REGULARIZATIONS) * seconds < time_of_grid:
            break
    else:
        return f"no time for a matrix of {size:,} items"
    best = None
    for regularization in REGULARIZATIONS:
        baseline = EASE(regularization=regularization, max_items=size)
        best = _better(best, (yield baseline, seconds))
    yield from _recent_items(problem, best[0])
    return "" if size == data.num_train_items else f"{size:,} most frequent items"


def _als(problem: Problem) -> Grid:
    if not als.is_installed():
        return "the package `implicit` is not installed"
    data, factors = problem.data, 64
    size = data.num_users + data.num_items
    work = len(data.splits["train"]["user_id"]) * 20 + size * 10 * factors
    for weighting in ("alpha:3", "alpha:10", "bm25:0.5"):
        baseline = als.ALS(weighting=weighting, factors=factors, seed=problem.seed)
        yield baseline, 15 * factors * work / 5e9
    return ""


def _weighted_sum(problem: Problem) -> Grid:
    popular, personal = (
        [found for found in problem.found.values() if found[0].is_personal == kind]
        for kind in (False, True)
    )
    if not popular or not personal:
        return "needs a popularity and a personal baseline"
    parts = [max(kind, key=lambda found: found[1])[0] for kind in (popular, personal)]
    for weight in WEIGHTS:
        yield WeightedSum(parts, (1.0, weight)), 0.0
    return ""


def _recent_items(problem: Problem, fitted: ItemKNN | EASE) -> Grid:
    """The same weights of items, with histories that forget."""
    if problem.has_times:
        for half_life in (2.0, 10.0):
            yield fitted.with_history(half_life_items=half_life), 0.0
    return ""


def _better(
    first: tuple[Baseline, float] | None, second: tuple[Baseline, float]
) -> tuple[Baseline, float]:
    return first if first is not None and first[1] >= second[1] else second


def _flops() -> float:
    """Floating-point operations per second of a matrix product, measured."""
    factor = np.ones((1024, 1024), np.float32)
    factor @ factor  # the first product starts threads
    started = time.perf_counter()
    factor @ factor
    return 2 * 1024**3 / max(time.perf_counter() - started, 1e-6)


GRIDS: Mapping[str, Callable[[Problem], Grid]] = {
    "popularity": _popularity,
    "recent_popularity": _recent_popularity,
    "user_history": _user_history,
    "item_knn": _item_knn,
    "ease": _ease,
    "als": _als,
    "weighted_sum": _weighted_sum,
}
