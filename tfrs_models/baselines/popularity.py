"""Popularity: the counts of the items."""

import dataclasses

import numpy as np

from tfrs_models.baselines.baseline import Baseline
from tfrs_models.baselines.linear import Linear
from tfrs_models.baselines.rows import Rows

FLOOR = 0.1  # count that is added before a logarithm


@dataclasses.dataclass(frozen=True, eq=False)
class Popularity(Baseline):
    """Scores items by their counts in the rows of all earlier splits.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrqp")})
      >>> data = tm.data.from_frame(frame.assign(timestamp=range(5)))
      >>> baseline = tm.baselines.Popularity().fit(data, split="serving")
      >>> baseline.score(np.array([0, 1])).tolist()  # the same for all users
      [[2.0, 2.0, 1.0], [2.0, 2.0, 1.0]]
    """

    is_personal = False

    @property
    def name(self) -> str:
        return "popularity"

    def _fit(self, rows: Rows) -> None:
        counts = np.bincount(rows.earlier.item, minlength=rows.num_items)
        self._set(_counts=counts.astype(np.float32))

    def _score(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        del times
        return np.repeat(self._counts[None], len(users), axis=0)

    def _linear(self) -> Linear:
        return Linear(self._counts)

    def _plain_linear(self) -> Linear:
        return Linear(log_counts(self._counts))

    def _plain(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        return log_counts(self._score(users, times))


def log_counts(counts: np.ndarray) -> np.ndarray:
    """Computes `log((0.1 + count) / 0.1)`, which is 0 for a count of 0.

    Args:
      counts: counts, decayed or not.
    """
    return np.log1p(counts / np.float32(FLOOR))
