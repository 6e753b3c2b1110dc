"""The AUC of the rows of each user."""

import numpy as np


def grouped_auc(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the AUC within each group: how often a positive is above a negative.

    Equal scores count half. Groups without a positive or without a negative have no
    AUC and are left out.

    Args:
      labels: `[num_rows]` labels in {0, 1}.
      scores: `[num_rows]` predicted scores.
      groups: `[num_rows]` integer ids of groups, such as users or requests.

    Returns:
      The groups that have an AUC, ascending, and their AUC, `[num_groups]` each.

    Example:
      >>> users = [7, 7, 7, 8, 8]
      >>> tm.metrics.grouped_auc([1, 0, 0, 1, 1], [0.5, 0.9, 0.1, 0.3, 0.2], users)
      (array([7]), array([0.5]))

    Reference:
      Zhou et al., Deep interest network for click-through rate prediction, KDD 2018.
    """
    labels = np.asarray(labels) == 1
    names, group = np.unique(groups, return_inverse=True)
    order = np.lexsort((scores, group))
    group, scores, labels = group[order], np.asarray(scores)[order], labels[order]
    row = np.arange(len(group))
    is_new = np.ones(len(group), bool)  # begins a run of equal scores of a group
    is_new[1:] = (group[1:] != group[:-1]) | (scores[1:] != scores[:-1])
    first = row[is_new]
    size = np.diff(np.append(first, len(group)))
    rank = (first + (size - 1) / 2)[np.cumsum(is_new) - 1]  # mean over a tie
    starts = np.searchsorted(group, np.arange(len(names)))
    rank -= starts[group]
    positives = np.bincount(group, labels, len(names)).astype(np.float64)
    negatives = np.bincount(group, ~labels, len(names)).astype(np.float64)
    beaten = np.bincount(group, rank * labels, len(names)).astype(np.float64)
    beaten -= positives * (positives - 1) / 2  # other positives below
    has_both = (positives > 0) & (negatives > 0)
    pairs = positives[has_both] * negatives[has_both]
    return names[has_both], beaten[has_both] / pairs
