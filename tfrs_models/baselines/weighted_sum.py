"""Weighted sums of baselines."""

import dataclasses

import numpy as np

from tfrs_models.baselines.baseline import Baseline
from tfrs_models.baselines.linear import Linear, total
from tfrs_models.baselines.rows import Rows
from tfrs_models.data.interactions import Interactions


@dataclasses.dataclass(frozen=True, eq=False)
class WeightedSum(Baseline):
    """Adds baselines, such as recent popularity and item-kNN, with a weight each.

    Scores are first made comparable. Popularity, recent or not, becomes `log((0.1 +
    count) / 0.1)`, for its counts differ by orders of magnitude; `UserHistory` becomes
    its decayed counts. Then each row is divided by its largest absolute value. So a
    weight is the score of a baseline's best item, and a baseline without a score for a
    user, whose row is 0, leaves the order to the others.

    Args:
      parts: baselines. A sum of baselines that are all fitted is fitted.
      weights: weight of each of them.

    Raises:
      ValueError: there is no part, another number of weights, or one is not finite.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrqp")})
      >>> data = tm.data.from_frame(frame.assign(timestamp=range(5)))
      >>> parts = [tm.baselines.Popularity(), tm.baselines.UserHistory()]
      >>> both = tm.baselines.WeightedSum(parts, [1, 0.3]).fit(data, split="serving")
      >>> both.score(np.array([0])).round(2)
      array([[1.  , 1.  , 0.79]], dtype=float32)
    """

    parts: tuple[Baseline, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        self._set(parts=tuple(self.parts), weights=tuple(map(float, self.weights)))
        if not self.parts or len(self.parts) != len(self.weights):
            raise ValueError(
                "`weights` must have one number for each of `parts`, at least one. Got "
                f"{len(self.weights)} for {len(self.parts)} parts."
            )
        if not np.all(np.isfinite(self.weights)):
            raise ValueError(f"`weights` must be finite. Got {self.weights}.")
        sizes = {part._fitted for part in self.parts}
        if len(sizes) == 1:
            self._set(_fitted=sizes.pop())

    @property
    def reads_times(self) -> bool:
        return any(part.reads_times for part in self.parts)

    @property
    def is_personal(self) -> bool:
        return any(part.is_personal for part in self.parts)

    @property
    def name(self) -> str:
        terms = zip(self.weights, self.parts, strict=True)
        return " + ".join(
            part.name if weight == 1 else f"{weight:g} x ({part.name})"
            for weight, part in terms
        )

    def fit(self, data: Interactions, *, split: str = "test") -> "WeightedSum":
        parts = [part.fit(data, split=split) for part in self.parts]
        return dataclasses.replace(self, parts=parts)

    def _fit(self, rows: Rows) -> None:
        raise NotImplementedError("`fit` fits the parts")

    def _score(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        scores = np.zeros((len(users), self.num_items), np.float32)
        for part, weight in zip(self.parts, self.weights, strict=True):
            scores += np.float32(weight) * part.comparable(users, times)
        return scores

    def _linear(self) -> Linear:
        terms = zip(self.parts, self.weights, strict=True)
        return total([p.as_comparable_linear().scaled(w) for p, w in terms])
