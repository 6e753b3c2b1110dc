"""Alternating least squares by the package `implicit`."""

import dataclasses

import numpy as np
import scipy.sparse

from tfrs_models.baselines.baseline import Baseline
from tfrs_models.baselines.linear import Linear, Term
from tfrs_models.baselines.rows import Rows


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ALS(Baseline):
    """Scores items by embeddings that alternating least squares fits to counts.

    The package `implicit` computes them: `pip install "tfrs-models[baselines]"`. The
    unknown user has an embedding of zeros.

    Args:
      weighting: `"bm25:<B>"` weighs interactions by BM25 (K1 100) with this `B`,
        `"alpha:<a>"` by a constant.
      factors: number of dimensions of the embeddings.
      regularization: L2 penalty of the least squares.
      iterations: number of alternations.
      seed: seed of the first embeddings.

    Raises:
      ValueError: a parameter is out of range.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aabbc"), "item_id": list("pqpqp")})
      >>> data = tm.data.from_frame(frame.assign(timestamp=range(5)))
      >>> als = tm.baselines.ALS(factors=2).fit(data, split="serving")
      >>> als.score(np.array([0, 1])).shape, als.score(np.array([0])).sum()
      ((2, 2), np.float32(0.0))

    Reference:
      Hu et al., Collaborative filtering for implicit feedback datasets, ICDM 2008.
    """

    weighting: str = "alpha:10"
    factors: int = 64
    regularization: float = 0.01
    iterations: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        kind, _, value = self.weighting.partition(":")
        try:
            number = float(value)
        except ValueError:
            number = np.nan
        if kind not in ("bm25", "alpha") or not number >= 0:
            raise ValueError(
                '`weighting` must be "bm25:<B>" or "alpha:<a>" with a number, 0 or '
                f"above. Got {self.weighting!r}."
            )
        if self.factors < 1 or self.iterations < 1:
            raise ValueError(
                "`factors` and `iterations` must be at least 1. Got "
                f"{self.factors} and {self.iterations}."
            )
        if not self.regularization >= 0:
            raise ValueError(
                f"`regularization` must not be negative. Got {self.regularization}."
            )

    @property
    def name(self) -> str:
        return f"ALS, {self.factors} dimensions, {self.weighting}"

    @property
    def embeddings(self) -> tuple[np.ndarray, np.ndarray]:
        """Users `[num_users + 1, factors]` and items `[num_items, factors]`."""
        self._sizes  # noqa: B018  refuses a baseline that is not fitted
        return self._users, self._items

    def _fit(self, rows: Rows) -> None:
        als, bm25_weight, limits = _implicit()
        known = scipy.sparse.csr_matrix(rows.earlier.binary[1:])
        kind, _, value = self.weighting.partition(":")
        if kind == "bm25":
            # implicit's BM25 takes items as documents
            known = bm25_weight(known.T, K1=100, B=float(value)).T.tocsr()
        with limits(1, "blas"):  # it has threads of its own
            model = als(
                factors=self.factors,
                regularization=self.regularization,
                alpha=float(value) if kind == "alpha" else 1.0,
                iterations=self.iterations,
                random_state=self.seed,
            )
            model.fit(known.astype(np.float32), show_progress=False)
        users = np.asarray(model.user_factors, np.float32)
        unknown = np.zeros((1, self.factors), np.float32)
        items = np.asarray(model.item_factors, np.float32)
        self._set(_users=np.concatenate([unknown, users]), _items=items)

    def _score(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        del times
        return self._users[users] @ self._items.T

    def _linear(self) -> Linear:
        base = np.zeros(self.num_items, np.float32)
        features = scipy.sparse.csr_array(self._users)
        term = Term(features, self._items.T, np.arange(self.num_items))
        return Linear(base, (term,))


def is_installed() -> bool:
    """Returns whether the package `implicit` can be imported."""
    try:
        _implicit()
    except ImportError:
        return False
    return True


def _implicit():
    """The classes that this module uses."""
    try:
        import threadpoolctl
        from implicit.als import AlternatingLeastSquares
        from implicit.nearest_neighbours import bm25_weight
    except ImportError as error:
        raise ImportError(
            "ALS needs the package `implicit`, which is not installed. What to do: "
            '`pip install "tfrs-models[baselines]"`.'
        ) from error
    return AlternatingLeastSquares, bm25_weight, threadpoolctl.threadpool_limits
