"""The user's own items, the most frequent and most recent ones first."""

import dataclasses

import numpy as np
import scipy.sparse

from tfrs_models.baselines.baseline import Baseline, check_half_life
from tfrs_models.baselines.linear import Linear, Term
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
        common = self._popularity._score(users, times)
        ranks = self._ranks(users, times, common)
        scores = _below_one(common)
        owner = np.repeat(np.arange(len(users)), np.diff(ranks.indptr))
        scores[owner, ranks.indices] = ranks.data
        return scores

    def _ranks(
        self, users: np.ndarray, times: np.ndarray | None, common: np.ndarray
    ) -> scipy.sparse.csr_array:
        """Ranks of the items that each user had, 1 for the last; equal pairs share one.

        The counts `common` of all users decide between equal counts of the user.
        """
        counts = self._own_counts(users, times)
        owner = np.repeat(np.arange(len(users)), np.diff(counts.indptr))
        common = common[owner, counts.indices]
        own = counts.data.astype(np.float32)  # without the noise of summation
        order = np.lexsort((common, own, owner))
        keys = np.stack([owner, own, common])[:, order]
        is_new = np.any(np.diff(keys, axis=1, prepend=-1) != 0, axis=0)
        rank = np.cumsum(is_new)
        rank -= rank[np.searchsorted(keys[0], keys[0])] - 1
        counts.data[order] = rank
        return counts.astype(np.float32)

    def _linear(self) -> Linear:
        users = np.arange(self.num_users + 1)
        common = self._popularity._score(users[:1], None)
        base = _below_one(common)[0]
        blocks = np.array_split(users, -(-len(users) // 512))
        rows = [
            self._ranks(block, None, np.repeat(common, len(block), axis=0))
            for block in blocks
        ]
        ranks = scipy.sparse.vstack(rows).tocsr()
        ranks.data -= base[ranks.indices]
        return Linear(base, (_identity_term(ranks),))

    def _plain_linear(self) -> Linear:
        users = np.arange(self.num_users + 1)
        counts = self._own_counts(users, None).astype(np.float32)
        base = np.zeros(self.num_items, np.float32)
        return Linear(base, (_identity_term(counts),))

    def _plain(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        return self._own_counts(users, times).toarray().astype(np.float32)

    def _own_counts(self, users: np.ndarray, times: np.ndarray | None):
        half_life = self.half_life_days * DAY
        return self._log.decayed_counts(users, times, half_life)


def _below_one(counts: np.ndarray) -> np.ndarray:
    """Scores of items in the order of their counts, at most 1/2."""
    return counts / (2 * np.maximum(counts.max(axis=1, keepdims=True), 1))


def _identity_term(features: scipy.sparse.csr_array) -> Term:
    """Features of users that are scores of items already."""
    size = features.shape[1]
    identity = scipy.sparse.eye_array(size, dtype=np.float32, format="csr")
    return Term(features, identity, np.arange(size))
