"""Item-kNN: scores by the nearest neighbours of the items of a history."""

import dataclasses

import numpy as np
import scipy.sparse

from tfrs_models.baselines.item_weights import ItemWeights

_BLOCK = 512  # items whose neighbours are found at once


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ItemKNN(ItemWeights):
    """Scores items by their similarity to the items of the user.

    The similarity of two items is the cosine of their users, shrunk where few users are
    common:

        W_ij = |users of both| / (sqrt(|users of i| |users of j|) + shrinkage)

    Only the `num_neighbours` most similar items of each item count. An item of the
    history counts 1, or `0.5^(age / half_life) + floor`: its age is the number of newer
    items, or the days up to the user's newest row.

    Args:
      num_neighbours: number of neighbours of each item; ties with the last one count
        as well.
      shrinkage: value added to the denominator; lowers what few common users support.
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
      >>> knn = tm.baselines.ItemKNN(shrinkage=0).fit(data, split="serving")
      >>> data.titles[1 + knn.score(np.array([3]))[0].argmax()]  # c had p only
      np.str_('item q')

    Reference:
      Sarwar et al., Item-based collaborative filtering recommendation algorithms,
      WWW 2001.
    """

    num_neighbours: int = 100
    shrinkage: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_neighbours < 1:
            raise ValueError(
                f"`num_neighbours` must be at least 1. Got {self.num_neighbours}."
            )
        if not 0 <= self.shrinkage < np.inf:
            raise ValueError(
                f"`shrinkage` must be finite, 0 or above. Got {self.shrinkage}."
            )

    @property
    def name(self) -> str:
        return (
            f"item-kNN, {self.num_neighbours} neighbours, shrinkage "
            f"{self.shrinkage:g}{self._recency_name()}"
        )

    def _item_weights(self, binary: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
        users_of = binary.T.tocsr()  # [num_items, num_users]
        num_users = np.diff(users_of.indptr).astype(np.float64)
        num_items = len(num_users)
        blocks = []
        for start in range(0, num_items, _BLOCK):
            # W is symmetric before the cut: a row holds the neighbours of its item.
            common = (users_of[start : start + _BLOCK] @ binary).tocsr()
            row = np.repeat(np.arange(common.shape[0]), np.diff(common.indptr)) + start
            length = np.sqrt(num_users[row] * num_users[common.indices])
            value = common.data / (length + self.shrinkage)
            value[common.indices == row] = 0
            common.data = self._cut(value, common.indptr).astype(np.float32)
            common.eliminate_zeros()
            blocks.append(common)
        return scipy.sparse.vstack(blocks).T.tocsr()

    def _cut(self, value: np.ndarray, indptr: np.ndarray) -> np.ndarray:
        """Sets all values of a row below its last neighbour to 0."""
        bound = np.zeros(len(indptr) - 1)
        for row in np.flatnonzero(np.diff(indptr) > self.num_neighbours):
            own = value[indptr[row] : indptr[row + 1]]
            bound[row] = np.partition(own, -self.num_neighbours)[-self.num_neighbours]
        return np.where(value >= np.repeat(bound, np.diff(indptr)), value, 0)
