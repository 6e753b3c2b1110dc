"""EASE, a linear autoencoder over items in closed form."""

import dataclasses

import numpy as np
import scipy.linalg
import scipy.sparse

from tfrs_models.baselines.item_weights import ItemWeights

# Relative errors of a float32 inverse are about 1e-7 times the condition number.
_FLOAT32_CONDITION = 1e4
_BLOCK = 1024  # columns that stay in the cache


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class EASE(ItemWeights):
    """Scores items by linear weights that reconstruct histories best, none of itself.

    With the users' items `X` of zeros and ones, and `P = (X'X + regularization I)^-1`:

        W_ij = -P_ij / P_jj,    W_jj = 0

    The inverse and the weights of `n` items need `8 n^2` bytes (12 for a small
    regularization) and time in proportion to `n^3`. So only the `max_items` most
    frequent ones have weights. All others score 0, as if they had no user, and add
    nothing as items of a history. Histories may forget older items, as in `ItemKNN`.

    Args:
      regularization: value added to the diagonal; large values approach plain
        co-occurrence.
      max_items: largest number of items with weights.
      half_life_items: number of newer items after which an item of a history counts
        half; infinity for no decay.
      half_life_days: days after which an item of a history counts half.
      floor: smallest weight of an item in a history, if there is a decay.

    Raises:
      ValueError: a parameter is out of range.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aabbc"), "item_id": list("pqpqp")})
      >>> data = tm.data.from_frame(frame.assign(timestamp=range(5)))
      >>> ease = tm.baselines.EASE(regularization=1).fit(data, split="serving")
      >>> ease.weights
      array([[0.       , 0.5      ],
             [0.6666666, 0.       ]], dtype=float32)

    Reference:
      Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019.
    """

    regularization: float = 200.0
    max_items: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.regularization < np.inf:
            raise ValueError(
                "`regularization` must be positive and finite. Got "
                f"{self.regularization}."
            )
        if self.max_items < 1:
            raise ValueError(f"`max_items` must be at least 1. Got {self.max_items}.")

    @property
    def name(self) -> str:
        text = f"EASE, regularization {self.regularization:g}"
        if self.is_fitted and len(self._columns) == self.max_items < self.num_items:
            text += f", {self.max_items:,} most frequent items"
        return text + self._recency_name()

    def _columns_with_weights(self, counts: np.ndarray) -> np.ndarray:
        frequent = np.argsort(-counts, kind="stable")[: self.max_items]
        return np.sort(frequent[counts[frequent] > 0])

    def _item_weights(self, binary: scipy.sparse.csr_array) -> np.ndarray:
        return _ease_weights(binary, self.regularization)


def _ease_weights(binary: scipy.sparse.csr_array, regularization: float) -> np.ndarray:
    """`[n, n]` weights from the `[num_users, n]` items of users."""
    is_mild = _largest_eigenvalue(binary) < _FLOAT32_CONDITION * regularization
    size, users_of = binary.shape[1], binary.T.tocsr()
    # In the order of Fortran, so that LAPACK overwrites it.
    inverse = np.empty((size, size), np.float32 if is_mild else np.float64, order="F")
    for start in range(0, size, _BLOCK):
        columns = slice(start, start + _BLOCK)
        inverse[:, columns] = (users_of @ binary[:, columns]).toarray()
    inverse[np.diag_indices_from(inverse)] += regularization
    factorize, invert = scipy.linalg.get_lapack_funcs(("potrf", "potri"), (inverse,))
    inverse, _ = factorize(inverse, lower=True, overwrite_a=True, clean=False)
    inverse, _ = invert(inverse, lower=True, overwrite_c=True)
    return _weights_of_lower(inverse)


def _weights_of_lower(inverse: np.ndarray) -> np.ndarray:
    """`-P / diag(P)` of each column, from the lower triangle of `P`."""
    size, scale = len(inverse), -1 / np.diag(inverse)
    weights = np.empty((size, size), np.float32)
    for start in range(0, size, _BLOCK):
        columns = slice(start, start + _BLOCK)
        below = inverse[start:, columns]
        weights[start:, columns] = below * scale[columns]
        weights[columns, start:] = below.T * scale[start:]
    for start in range(0, size, _BLOCK):
        square = slice(start, start + _BLOCK)
        lower = np.tril(inverse[square, square])
        weights[square, square] = (lower + np.tril(lower, -1).T) * scale[square]
    np.fill_diagonal(weights, 0)
    return weights


def _largest_eigenvalue(binary: scipy.sparse.csr_array) -> float:
    """The largest eigenvalue of the Gram matrix, by power iterations from counts."""
    vector, value = np.asarray(binary.sum(axis=0), np.float64), 0.0
    for _ in range(10):
        length = np.linalg.norm(vector)
        if not length:
            return 0.0
        vector = binary.T @ (binary @ (vector / length))
        value = float(np.linalg.norm(vector))
    return value
