"""Shares of the items that follow an item in the sequences of users."""

import numpy as np
import scipy.sparse

from tfrs_models.data.interactions import EARLIER, Interactions, timeline


def transitions(
    data: Interactions, *, split: str = "test", steps: int = 3, shrinkage: float = 5.0
) -> scipy.sparse.csr_array:
    """Counts which items follow an item within a few steps, as shares.

        W_ij = sum_s count(j is s rows after i) / s  /  (sum_j of the same + shrinkage)

    Args:
      data: interactions with timestamps.
      split: "validation", "test" or "serving", which is after all rows: the rows of all
        earlier splits are counted.
      steps: largest number of rows from an item to one that follows it.
      shrinkage: value added to the denominator; lowers what few rows support.

    Returns:
      `[num_items + 1, num_items + 1]` float32: row the item, column the following one.

    Raises:
      ValueError: the data have no timestamps, or an argument is out of range.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrpq")})
      >>> data = tm.data.from_frame(frame.assign(timestamp=range(5)))
      >>> tm.baselines.transitions(data, split="serving", steps=1).toarray().max()
      np.float32(0.2857143)
    """
    if split not in EARLIER:
        raise ValueError(f"`split` must be one of {tuple(EARLIER)}. Got {split!r}.")
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1. Got {steps}.")
    if not 0 <= shrinkage < np.inf:
        raise ValueError(f"`shrinkage` must be finite, 0 or above. Got {shrinkage}.")
    columns, _, order = timeline(data, EARLIER[split])
    user, item = columns["user_id"][order], columns["item_id"][order]
    shape = (data.num_items + 1, data.num_items + 1)
    counts = scipy.sparse.csr_array(shape, dtype=np.float64)
    for step in range(1, steps + 1):
        same = (user[step:] == user[:-step]) & (user[step:] > 0)
        pair = item[:-step][same], item[step:][same]
        weight = np.full(len(pair[0]), 1 / step)
        counts = counts + scipy.sparse.coo_array((weight, pair), shape).tocsr()
    total = np.asarray(counts.sum(axis=1)).ravel() + shrinkage
    row = np.repeat(np.arange(shape[0]), np.diff(counts.indptr))
    counts.data /= total[row]
    return counts.astype(np.float32)
