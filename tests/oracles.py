"""Definitions as NumPy loops, without code or constants of the package."""

import itertools
import math

import numpy as np


def scores(queries, candidates):
    """Computes `[batch, num_candidates]` float64 scores; the best of several heads."""
    out = np.zeros((len(queries), len(candidates)))
    for i, query in enumerate(np.asarray(queries, "float64")):
        for j, candidate in enumerate(np.asarray(candidates, "float64")):
            out[i, j] = max(head @ candidate for head in np.atleast_2d(query))
    return out


def ranks(scores, positives, exclusions=None):
    """Counts the candidates above each positive, those tied with it, and all rivals.

    A positive of -1 is no candidate, and one that is excluded is not recommended: both
    rank behind everything, with no number of rivals: inf, 0 and None.
    """
    above, tied, competing = [], [], []
    for i, positive in enumerate(positives):
        own = {*exclusions[i]} if exclusions is not None else set()
        if positive < 0 or positive in own:
            above.append(math.inf), tied.append(0), competing.append(None)
            continue
        rivals = [s for j, s in enumerate(scores[i]) if j not in {positive, *own}]
        above.append(sum(s > scores[i, positive] for s in rivals))
        tied.append(sum(s == scores[i, positive] for s in rivals))
        competing.append(len(rivals))
    return above, tied, competing


def possible_ranks(above, tied, ties="expected"):
    """Lists the ranks (from 1) that the positive can have under a rule for ties."""
    if ties == "optimistic":
        return [above + 1]
    if ties == "pessimistic":
        return [above + tied + 1]
    orders = itertools.permutations(range(tied + 1)) if tied < 6 else None
    if orders is None:  # all ranks occur equally often
        return [above + 1 + before for before in range(tied + 1)]
    return [above + 1 + order.index(0) for order in orders]  # 0 is the positive


def metric(kind, rank, k=None, competing=None):
    """Computes one metric of a positive with a given rank."""
    if kind == "hits":
        return float(rank <= k)
    if kind == "ndcg":
        return 1 / math.log2(rank + 1) if rank <= k else 0.0
    if kind == "mrr":
        return 1 / rank
    return (competing - (rank - 1)) / competing  # auc: share of the rivals beaten


def expected(kind, above, tied, *, ties="expected", k=None, competing=None):
    """Computes the mean of a metric over the orders that a rule for ties allows."""
    values = [
        metric(kind, rank, k, competing) for rank in possible_ranks(above, tied, ties)
    ]
    return sum(values) / len(values)


def retrieval_loss(
    queries,
    candidates,
    *,
    weights=None,
    temperature=1.0,
    probability=None,
    ids=None,
    remove_hits=False,
    mask=None,
    known=None,
    num_hard=None,
):
    """Sums the cross-entropies of each row's positive against its negatives."""
    table = scores(queries, candidates) / temperature
    total = 0.0
    for i, row in enumerate(table):
        logits = list(row)
        if probability is not None:
            logits = [s - math.log(q) for s, q in zip(row, probability, strict=True)]
        negatives = []
        for j, logit in enumerate(logits):
            if j == i:
                continue
            if remove_hits and ids[j] == ids[i]:
                continue
            if mask is not None and not mask[i][j]:
                continue
            if known is not None and ids[j] in known[i]:
                continue
            negatives.append(logit)
        if num_hard is not None and num_hard > 0:
            negatives = sorted(negatives)[-num_hard:]
        top = max([logits[i], *negatives])
        total_of_row = sum(math.exp(x - top) for x in [logits[i], *negatives])
        weight = 1.0 if weights is None else weights[i]
        total += weight * (top + math.log(total_of_row) - logits[i])
    return total


def gradient(function, values, step=1e-5):
    """Computes central differences of a scalar function of one array."""
    values = np.asarray(values, "float64")
    out = np.zeros_like(values)
    for index in np.ndindex(*values.shape):
        up, down = values.copy(), values.copy()
        up[index] += step
        down[index] -= step
        out[index] = (function(up) - function(down)) / (2 * step)
    return out
