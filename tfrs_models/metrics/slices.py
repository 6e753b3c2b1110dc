"""Cuts of an evaluation by how popular the positive is."""

import numpy as np


def popularity_slices(candidate_probabilities: np.ndarray) -> np.ndarray:
    """Names the part of the popularity curve that each item is on.

    The head are the most popular items that make up a third of the training rows, the
    torso those of the next third, the tail the rest; cold items have no training row.
    Everybody's favourites are easy to recommend: a mean over all hides the tail.

    Args:
      candidate_probabilities: `[num_items]` share of the training rows.

    Returns:
      `[num_items]` strings: "head", "torso", "tail" or "cold".
    """
    order = np.argsort(-candidate_probabilities, kind="stable")
    share = candidate_probabilities[order].astype("float64")
    before = np.cumsum(share) - share  # of an item: the rows of all more popular ones
    names = np.empty(len(order), dtype="<U5")
    names[order] = np.select(
        [before < 1 / 3, before < 2 / 3], ["head", "torso"], "tail"
    )
    names[candidate_probabilities == 0] = "cold"
    return names
