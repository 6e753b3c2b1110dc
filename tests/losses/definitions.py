"""The losses of one list or batch as NumPy loops; they share nothing with the code."""

import math

import numpy as np


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def logsumexp(values):
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def items_of(labels, scores, mask=None):
    """(label, score) of the places that hold an item."""
    return [
        (float(y), float(s))
        for i, (y, s) in enumerate(zip(labels, scores, strict=True))
        if (mask is None or mask[i]) and y != -1
    ]


def best_dcg(labels):
    ordered = sorted(labels, reverse=True)
    return sum((2**y - 1) / math.log2(i + 2) for i, y in enumerate(ordered))


def pairwise(
    labels,
    scores,
    mask=None,
    *,
    penalty=lambda m: softplus(-m),
    positive="graded",
    pairs="mean",
    weights=None,
    frozen=None,
):
    """`frozen` are the scores that weights are computed from."""
    items = items_of(labels, scores, mask)
    before = items_of(labels, scores if frozen is None else frozen, mask)
    # Of equal scores the worse stands first.
    order = sorted(range(len(before)), key=lambda i: (-before[i][1], before[i][0]))
    place = {item: i + 1 for i, item in enumerate(order)}
    total, number = 0.0, 0
    for i, (yi, si) in enumerate(items):
        for j, (yj, sj) in enumerate(items):
            if not (yi >= 1 and yj == 0 if positive == "binary" else yi > yj):
                continue
            weight = 1.0
            if weights == "label_difference":
                weight = yi - yj
            if weights == "delta_ndcg":
                gap = 1 / math.log2(place[i] + 1) - 1 / math.log2(place[j] + 1)
                best = best_dcg([y for y, _ in items])
                weight = abs((2**yi - 2**yj) * gap) / best
            total += weight * penalty(si - sj)
            number += 1
    return total / max(number, 1) if pairs == "mean" else total


def list_mle(labels, scores, mask=None):
    items = items_of(labels, scores, mask)
    total = 0.0
    for yi, si in items:
        total += logsumexp([si, *(sj for yj, sj in items if yj < yi)]) - si
    return total


def listwise_softmax(labels, scores, mask=None):
    items = items_of(labels, scores, mask)
    relevance = sum(y for y, _ in items)
    if relevance == 0:
        return 0.0
    mass = logsumexp([s for _, s in items])
    return sum(y / relevance * (mass - s) for y, s in items)


def smooth_places(items, temperature, among=lambda y: True):  # noqa: ARG005
    return [
        1
        + sum(
            sigmoid((sj - si) / temperature)
            for j, (yj, sj) in enumerate(items)
            if j != i and among(yj)
        )
        for i, (_, si) in enumerate(items)
    ]


def approx_ndcg(labels, scores, mask=None, *, temperature=0.1):
    items = items_of(labels, scores, mask)
    if len({y for y, _ in items}) < 2:
        return 0.0
    places = smooth_places(items, temperature)
    dcg = sum(
        (2**y - 1) / math.log2(place + 1)
        for (y, _), place in zip(items, places, strict=True)
    )
    return 1 - dcg / best_dcg([y for y, _ in items])


def smooth_ap(labels, scores, mask=None, *, temperature=0.01):
    items = items_of(labels, scores, mask)
    if not any(y > 0 for y, _ in items):
        return 0.0
    everyone = smooth_places(items, temperature)
    relevant = smooth_places(items, temperature, among=lambda y: y > 0)
    ratios = [
        a / b for (y, _), a, b in zip(items, relevant, everyone, strict=True) if y > 0
    ]
    return 1 - sum(ratios) / len(ratios)


def pairwise_distillation(teacher, student, mask=None, *, k=None, pairs="mean"):
    kept = [i for i in range(len(teacher)) if mask is None or mask[i]]
    last = sorted([teacher[i] for i in kept], reverse=True)[:k][-1:]
    first = [i for i in kept if teacher[i] >= last[0]]
    losses = [
        softplus(float(student[j]) - float(student[i]))
        for i in first
        for j in kept
        if teacher[i] > teacher[j]
    ]
    return sum(losses) / max(len(losses), 1) if pairs == "mean" else sum(losses)


def listwise_distillation(teacher, student, mask=None, *, temperature=1.0):
    kept = [i for i in range(len(teacher)) if mask is None or mask[i]]
    if not kept:
        return 0.0
    t = [float(teacher[i]) / temperature for i in kept]
    s = [float(student[i]) / temperature for i in kept]
    gaps = [
        math.exp(a - logsumexp(t)) * (a - logsumexp(t) - b + logsumexp(s))
        for a, b in zip(t, s, strict=True)
    ]
    return temperature**2 * sum(gaps)


def distance(a, b, kind):
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    if kind == "cosine":
        lengths = math.sqrt(a @ a) * math.sqrt(b @ b)
        return 1 - (a @ b / lengths if lengths else 0.0)
    squared = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return squared if kind == "squared_euclidean" else math.sqrt(squared)


def batch_triplet(embeddings, labels, margin, *, mining, kind):
    """`[batch]` losses of the anchors."""
    size = len(labels)
    apart = [[distance(a, b, kind) for b in embeddings] for a in embeddings]
    out, nonzero = [], 0
    for a in range(size):
        positives = [p for p in range(size) if p != a and labels[p] == labels[a]]
        negatives = [n for n in range(size) if labels[n] != labels[a]]
        if not positives or not negatives:
            out.append(0.0)
            continue
        if mining == "hard":
            far = max(apart[a][p] for p in positives)
            near = min(apart[a][n] for n in negatives)
            out.append(max(0.0, far - near + margin))
            continue
        losses = []
        for p in positives:
            farther = [apart[a][n] for n in negatives if apart[a][n] > apart[a][p]]
            if mining == "all":
                losses += [apart[a][p] - apart[a][n] + margin for n in negatives]
            elif farther:
                losses.append(apart[a][p] - min(farther) + margin)
            else:
                losses.append(
                    apart[a][p] - max(apart[a][n] for n in negatives) + margin
                )
        losses = [max(0.0, loss) for loss in losses]
        nonzero += sum(loss > 0 for loss in losses)
        out.append(sum(losses) if mining == "all" else sum(losses) / len(losses))
    if mining == "all":
        return [loss * size / max(nonzero, 1) for loss in out]
    return out
