"""Baselines that score items by weights between them and the items of a history."""

import abc
import copy
import dataclasses
import math
from typing import Self

import numpy as np
import scipy.sparse

from tfrs_models.baselines.baseline import Baseline, check_half_life
from tfrs_models.baselines.linear import Linear, Term
from tfrs_models.baselines.rows import DAY, Rows

Matrix = np.ndarray | scipy.sparse.csr_array


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ItemWeights(Baseline):
    """A baseline that scores item `j` by the sum of `x_i W_ij` over a user's items `i`.

    The history `x` is 1 for every item of the user in the earlier splits, or

        x_i = 0.5^(age_i / half_life) + floor

    The age of an item is the number of other items that the user had later
    (`half_life_items`), or the time from it to the user's newest row
    (`half_life_days`). A repeated item counts once, by its newest row. The unknown user
    has no item, so all scores are 0.

    Args:
      half_life_items: number of newer items after which an item counts half; infinity
        for no decay.
      half_life_days: days after which an item counts half; infinity for no decay.
      floor: smallest weight of an item in a history, if there is a decay.

    Raises:
      ValueError: a half-life is not positive, both are finite, or the floor is
        negative.
    """

    half_life_items: float = math.inf
    half_life_days: float = math.inf
    floor: float = 0.0

    def __post_init__(self) -> None:
        check_half_life(self.half_life_items, "half_life_items")
        check_half_life(self.half_life_days, "half_life_days")
        if math.isfinite(self.half_life_items) and math.isfinite(self.half_life_days):
            raise ValueError(
                "`half_life_items` and `half_life_days` are two ways to weigh a "
                f"history: leave one infinite. Got {self.half_life_items} and "
                f"{self.half_life_days}."
            )
        if not 0 <= self.floor < math.inf:
            raise ValueError(f"`floor` must be finite, 0 or above. Got {self.floor}.")

    @property
    def reads_times(self) -> bool:
        return math.isfinite(self.half_life_items) or math.isfinite(self.half_life_days)

    @property
    def history(self) -> scipy.sparse.csr_array:
        """Weights of the users' items, `[num_users + 1, num_items]` float32."""
        self._sizes  # noqa: B018  refuses a baseline that is not fitted
        return self._history

    @property
    def weights(self) -> Matrix:
        """Weights between `weighted_items`, `[n, n]` float32, dense or sparse."""
        self._sizes  # noqa: B018  refuses a baseline that is not fitted
        return self._weights

    @property
    def weighted_items(self) -> np.ndarray:
        """Sorted columns of the `n` items with weights; all others score 0."""
        self._sizes  # noqa: B018  refuses a baseline that is not fitted
        return self._columns

    @property
    def item_similarities(self) -> scipy.sparse.csr_array:
        """`[num_items + 1, num_items + 1]` weights by item indices, history first."""
        items = self.weighted_items + 1
        weights = scipy.sparse.coo_array(self._weights)
        place = (items[weights.row], items[weights.col])
        shape = (self.num_items + 1, self.num_items + 1)
        return scipy.sparse.coo_array((weights.data, place), shape).tocsr()

    def with_history(self, **parameters: float) -> Self:
        """Changes how histories are weighted and keeps the fitted weights of items.

        Args:
          **parameters: `half_life_items`, `half_life_days` and `floor`.

        Returns:
          A fitted copy.
        """
        changed = copy.copy(self)
        changed._set(half_life_items=math.inf, half_life_days=math.inf, floor=0.0)
        changed._set(**parameters)
        changed.__post_init__()
        changed._set(_history=changed._weighted(self._rows))
        return changed

    def _recency_name(self) -> str:
        """The end of the name."""
        if math.isfinite(self.half_life_items):
            text = f", half-life {self.half_life_items:g} items"
        elif math.isfinite(self.half_life_days):
            text = f", half-life {self.half_life_days:g} days"
        else:
            return ""
        return f"{text} + {self.floor:g}" if self.floor else text

    def _fit(self, rows: Rows) -> None:
        rows = rows.earlier
        known = rows.user > 0
        time = None if rows.time is None else rows.time[known]
        kept = rows._replace(user=rows.user[known], item=rows.item[known], time=time)
        self._set(_rows=kept, _history=self._weighted(kept))
        counts = np.bincount(rows.item, minlength=rows.num_items)
        columns = self._columns_with_weights(counts)
        # Row 0 is all unknown users, who are not one user.
        weights = self._item_weights(rows.binary[1:, columns])
        self._set(_columns=columns, _weights=weights)

    def _columns_with_weights(self, counts: np.ndarray) -> np.ndarray:
        return np.arange(len(counts))

    @abc.abstractmethod
    def _item_weights(self, binary: scipy.sparse.csr_array) -> Matrix:
        """`[n, n]` weights from the `[num_users, n]` items of users."""

    def _weighted(self, rows: Rows) -> scipy.sparse.csr_array:
        """The histories; the rows are those of known users."""
        user, item = rows.user, rows.item
        if self.reads_times:
            order = np.lexsort((rows.time, user))
            user, item, time = user[order], item[order], rows.time[order]
            newest = _last_of_each(user * rows.num_items + item)
            user, item, time = user[newest], item[newest], time[newest]
            age = _newer_rows(user)
            if math.isfinite(self.half_life_days):
                age = (time[np.arange(len(user)) + age] - time) / DAY
            half_life = min(self.half_life_items, self.half_life_days)
            weight = np.exp2(-(age / half_life)) + self.floor
        else:
            pair = np.sort(user * rows.num_items + item)  # faster than `np.unique`
            pair = pair[np.diff(pair, prepend=-1) > 0]
            user, item = np.divmod(pair, rows.num_items)
            weight = np.ones(len(user))
        shape = (rows.num_users + 1, rows.num_items)
        weight = weight.astype(np.float32)
        return scipy.sparse.coo_array((weight, (user, item)), shape).tocsr()

    def _score(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        del times
        history, columns = self._history[users], self._columns
        if len(columns) < self.num_items:
            history = history[:, columns]
        scores = history @ self._weights
        if scipy.sparse.issparse(scores):
            scores = scores.toarray()
        if len(columns) == self.num_items:
            return scores
        padded = np.zeros((len(users), self.num_items), np.float32)
        padded[:, columns] = scores
        return padded

    def _linear(self) -> Linear:
        base = np.zeros(self.num_items, np.float32)
        history = self._history[:, self._columns]
        return Linear(base, (Term(history, self._weights, self._columns),))


def _last_of_each(key: np.ndarray) -> np.ndarray:
    """Sorted positions of the last occurrence of every key."""
    _, first = np.unique(key[::-1], return_index=True)
    return np.sort(len(key) - 1 - first)


def _newer_rows(user: np.ndarray) -> np.ndarray:
    """For sorted users, the number of later rows of the same user."""
    ends = np.searchsorted(user, user, side="right")
    return ends - 1 - np.arange(len(user))
