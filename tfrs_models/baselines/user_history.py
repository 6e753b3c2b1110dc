"""The user's own items, the most frequent and most recent ones first."""

import dataclasses

import numpy as np

from tfrs_models.baselines.baseline import Baseline, check_half_life
from tfrs_models.baselines.recent_popularity import RecentPopularity, days
from tfrs_models.baselines.rows import DAY, Rows, UserLog


@dataclasses.dataclass(frozen=True, eq=False)
class UserHistory(Baseline):
    """Ranks the items that the user had before, by decayed counts; then popular ones.

    Items are ordered by the sum of `0.5^((t - s) / half_life)` over the user's own rows
    at times `s` strictly before the query's time `t`. A long half-life orders by
    frequency, a short one by recency. Of equal counts, and of items that the user never
    had, the one with more rows of all users before the time comes first. The
    scores are ranks: items of the user have at least 1, the others less than 1.

    Args:
      half_life_days: days after which a row of the user counts half; infinity orders
        by frequency alone.

    Raises:
      ValueError: the half-life is not positive.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("ppqqr")})
      >>> data = tm.data.from_frame(frame.assign(timestamp=range(5)))
      >>> history = tm.baselines.UserHistory().fit(data, split="serving")
      >>> np.argsort(-history.score(np.array([1]))[0]).tolist()  # a had p twice, q once
      [0, 1, 2]
    """

    half_life_days: float = 30.0

    reads_times = True

    def __post_init__(self) -> None:
        check_half_life(self.half_life_days, "half_life_days")

    @property
    def name(self) -> str:
        if np.isinf(self.half_life_days):
            return "user's most frequent items"
        return f"user's own items, half-life {days(self.half_life_days)}"

    def _fit(self, rows: Rows) -> None:
        popularity = RecentPopularity(half_life_days=np.inf)
        popularity._set(_fitted=self._fitted)
        popularity._fit(rows)
        self._set(_log=UserLog(rows), _popularity=popularity)

    def _score(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        scores = self._popularity._score(users, times)
        counts = self._own_counts(users, times)
        owner = np.repeat(np.arange(len(users)), np.diff(counts.indptr))
        common = scores[owner, counts.indices]
        scores /= 2 * np.maximum(scores.max(axis=1, keepdims=True), 1)  # at most 1/2
        own = counts.data.astype(np.float32)  # without the noise of summation
        # Ranks of the items that each user had; equal pairs of counts share one.
        order = np.lexsort((common, own, owner))
        keys = np.stack([owner, own, common])[:, order]
        is_new = np.any(np.diff(keys, axis=1, prepend=-1) != 0, axis=0)
        rank = np.cumsum(is_new)
        rank -= rank[np.searchsorted(keys[0], keys[0])] - 1
        scores[owner[order], counts.indices[order]] = rank
        return scores

    def _plain(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        return self._own_counts(users, times).toarray().astype(np.float32)

    def _own_counts(self, users: np.ndarray, times: np.ndarray | None):
        half_life = self.half_life_days * DAY
        return self._log.decayed_counts(users, times, half_life)
