"""Definitions as NumPy loops. They share no code and no constant with the package."""

import itertools
import math

import numpy as np


def scores(queries, candidates):
    """`[batch, num_candidates]` float64; several heads score by their best."""
    out = np.zeros((len(queries), len(candidates)))
    for i, query in enumerate(np.asarray(queries, "float64")):
        for j, candidate in enumerate(np.asarray(candidates, "float64")):
            out[i, j] = max(head @ candidate for head in np.atleast_2d(query))
    return out


def ranks(scores, positives, excluded=None):
    """Candidates above and tied with the positive, and how many compete, per row.

    A positive of -1 is no candidate: its row says (0, 0, None).
    """
    above, tied, competing = [], [], []
    for i, positive in enumerate(positives):
        if positive < 0:
            above.append(0), tied.append(0), competing.append(None)
            continue
        out = {positive, *(excluded[i] if excluded is not None else ())}
        rivals = [s for j, s in enumerate(scores[i]) if j not in out]
        above.append(sum(s > scores[i, positive] for s in rivals))
        tied.append(sum(s == scores[i, positive] for s in rivals))
        competing.append(len(rivals))
    return above, tied, competing


def places(above, tied, ties="expected"):
    """The places (from 1) on which the positive can stand under a rule for ties."""
    if ties == "optimistic":
        return [above + 1]
    if ties == "pessimistic":
        return [above + tied + 1]
    orders = itertools.permutations(range(tied + 1)) if tied < 6 else None
    if orders is None:  # every place comes equally often
        return [above + 1 + place for place in range(tied + 1)]
    return [above + 1 + order.index(0) for order in orders]  # 0 is the positive


def metric(kind, place, k=None, competing=None):
    """The value of one metric when the positive stands on one place."""
    if kind == "hits":
        return float(place <= k)
    if kind == "ndcg":
        return 1 / math.log2(place + 1) if place <= k else 0.0
    if kind == "mrr":
        return 1 / place
    return (competing - (place - 1)) / competing  # auc: share of the rivals beaten


def expected(kind, above, tied, *, ties="expected", k=None, competing=None):
    """Mean of a metric over the orders that a rule for ties allows."""
    values = [metric(kind, p, k, competing) for p in places(above, tied, ties)]
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
    """Summed cross-entropy of every row's own candidate against its negatives."""
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
        mass = sum(math.exp(x - top) for x in [logits[i], *negatives])
        weight = 1.0 if weights is None else weights[i]
        total += weight * (top + math.log(mass) - logits[i])
    return total


def gradient(function, values, step=1e-5):
    """Central differences of a scalar function of one array."""
    values = np.asarray(values, "float64")
    out = np.zeros_like(values)
    for place in np.ndindex(*values.shape):
        up, down = values.copy(), values.copy()
        up[place] += step
        down[place] -= step
        out[place] = (function(up) - function(down)) / (2 * step)
    return out
