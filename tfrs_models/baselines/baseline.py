"""The interface of all simple recommenders."""

import abc
import copy
from typing import ClassVar, Self

import numpy as np

from tfrs_models.baselines.linear import Linear
from tfrs_models.baselines.rows import Rows, rows_before
from tfrs_models.data.interactions import Interactions

_BLOCK = 512  # users who are scored at once


class Baseline(abc.ABC):
    """A simple recommender: fitted on interactions, it scores all items for users.

    Constructor arguments are its parameters. `fit` returns a fitted copy, so one object
    can be fitted on several splits. Item `i` is column `i - 1` of the scores.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrqp")})
      >>> frame = frame.assign(timestamp=range(5))
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> baseline = tm.baselines.Popularity().fit(data, split="validation")
      >>> isinstance(baseline, tm.baselines.Baseline), baseline.num_items
      (True, 3)
    """

    reads_times: ClassVar[bool] = False
    """Whether `fit` needs timestamps."""

    is_personal: ClassVar[bool] = True
    """Whether users get different scores."""

    _fitted = None  # (number of users, number of items), set by `fit`

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Name for tables, with the parameters."""

    @property
    def is_fitted(self) -> bool:
        """Whether it can score."""
        return self._fitted is not None

    @property
    def num_items(self) -> int:
        """Number of items of the data that it was fitted on."""
        return self._sizes[1]

    @property
    def num_users(self) -> int:
        """Number of users of the data that it was fitted on."""
        return self._sizes[0]

    def fit(self, data: Interactions, *, split: str = "test") -> Self:
        """Fits a copy on what is known before a split.

        Args:
          data: interactions.
          split: "train", "validation" or "test": the rows of all earlier splits are
            read. Baselines that read times also read rows of the split itself, each
            only for queries of later times. "serving" reads all rows.

        Returns:
          A fitted copy with the same parameters.

        Raises:
          ValueError: the split is unknown, no row is before it, or the data have no
            timestamps and the baseline needs them.
        """
        rows = rows_before(data, split)
        if rows.time is None and self.reads_times:
            raise ValueError(
                f"`data` must have timestamps for {type(self).__name__}. Got "
                f"{list(data.splits['train'])}: name their column with "
                "`timestamp_column`, or use Popularity, ItemKNN, EASE or ALS."
            )
        fitted = copy.copy(self)
        fitted._set(_fitted=(data.num_users, data.num_items))
        fitted._fit(rows)
        return fitted

    def score(self, users: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
        """Scores all items for users at times.

        Args:
          users: `[n]` rows of the users in `data.users`; 0 is an unknown user.
          times: `[n]` int64 microseconds since 1970. Baselines that read times use rows
            strictly before them; the others ignore them. None stands for the time just
            after the newest row of the earlier splits.

        Returns:
          `[n, num_items]` float32; larger is better.

        Raises:
          ValueError: the baseline is not fitted, a user is out of range, or there is
            another number of times than users.
        """
        return self._score(*self._checked(users, times))

    def comparable(
        self, users: np.ndarray, times: np.ndarray | None = None
    ) -> np.ndarray:
        """Scores all items on the scale on which `WeightedSum` adds baselines.

        Args:
          users: `[n]` rows of the users; 0 is an unknown user.
          times: `[n]` int64 microseconds since 1970, or None for the newest time.

        Returns:
          `[n, num_items]` float32 whose largest absolute value in a row is 1, or a row
          of zeros where the baseline has no score for the user.
        """
        return divided_by_largest(self._plain(*self._checked(users, times)))

    def as_linear(self) -> Linear:
        """Returns the scores at the newest time as a linear model, to serve them.

        Returns:
          A base and terms, whose sum is `score(users)` for all users.

        Raises:
          ValueError: the baseline is not fitted.
        """
        self._sizes  # noqa: B018  refuses a baseline that is not fitted
        return self._linear()

    def as_comparable_linear(self) -> Linear:
        """Returns the scores of `comparable` at the newest time as a linear model."""
        scale = np.empty(self.num_users + 1, np.float32)
        for start in range(0, len(scale), _BLOCK):
            users = np.arange(start, min(start + _BLOCK, len(scale)))
            scale[users] = _largest(self._plain(users, None))[:, 0]
        linear = self._plain_linear()
        if np.all(scale == scale[0]):
            return linear.scaled(1 / scale[0])
        return linear.scaled_by_user(1 / scale)

    @abc.abstractmethod
    def _linear(self) -> Linear: ...

    def _plain_linear(self) -> Linear:
        """The scores before they are divided by the largest one of a row."""
        return self._linear()

    @abc.abstractmethod
    def _fit(self, rows: Rows) -> None: ...

    @abc.abstractmethod
    def _score(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray: ...

    def _plain(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        """Scores before they are divided by the largest one of a row."""
        return self._score(users, times)

    @property
    def _sizes(self) -> tuple[int, int]:
        if self._fitted is None:
            raise ValueError(
                f"{type(self).__name__} must be fitted first. Call "
                "`baseline = baseline.fit(data)`: it returns a fitted copy."
            )
        return self._fitted

    def _set(self, **attributes: object) -> None:
        """Sets the fitted state, which is no parameter."""
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def _checked(
        self, users: np.ndarray, times: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        num_users, _ = self._sizes
        users = np.asarray(users, np.int64)
        if users.ndim != 1 or np.any((users < 0) | (users > num_users)):
            raise ValueError(
                f"`users` must be a vector of rows from 0 to {num_users}. Got shape "
                f"{users.shape}, {users.min(initial=0)} to {users.max(initial=0)}."
            )
        if times is not None:
            times = np.asarray(times, np.int64)
            if times.shape != users.shape:
                raise ValueError(
                    "`times` must have one time for each of the users. Got shape "
                    f"{times.shape} for {len(users)} users."
                )
        return users, times


def divided_by_largest(scores: np.ndarray) -> np.ndarray:
    """Divides each row by its largest absolute value; a row of zeros stays.

    Args:
      scores: `[n, num_items]` scores.
    """
    return scores / _largest(scores)


def _largest(scores: np.ndarray) -> np.ndarray:
    """`[n, 1]` largest absolute values, 1 for a row of zeros."""
    largest = np.maximum(scores.max(axis=1), -scores.min(axis=1))[:, None]
    return np.where(largest > 0, largest, 1).astype(scores.dtype)


def check_half_life(value: float, argument: str) -> None:
    """Raises a `ValueError` for a half-life that is not positive.

    Args:
      value: half-life in any unit; infinity, at which nothing decays, is allowed.
      argument: name of the argument in the message.
    """
    if not value > 0:
        raise ValueError(
            f"`{argument}` must be positive; `math.inf` is no decay. Got {value}."
        )
