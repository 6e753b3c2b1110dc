"""What two ranked lists of ids have in common, and what one of them is worth."""

from collections.abc import Collection, Sequence

import numpy as np

_PERSISTENCE = 0.9  # with which a reader goes on to the next place


def ranked_ids(
    ids: np.ndarray, scores: np.ndarray | None = None, *, k: int | None = None
) -> list[list]:
    """The items of each row, best first; places without an item are left out.

    Args:
      ids: `[batch, n]`, -1 or "" where there is none.
      scores: `[batch, n]`, `-inf` where there is none.
      k: Places that count; all where None.
    """
    ids = np.asarray(ids)
    there = np.ones(ids.shape, bool) if scores is None else ~np.isneginf(scores)
    rows = []
    for names, valid in zip(ids[:, :k].tolist(), there[:, :k], strict=True):
        texts = [n.decode() if isinstance(n, bytes) else n for n in names]
        pairs = zip(texts, valid, strict=True)
        rows.append([name for name, good in pairs if good and name not in ("", -1)])
    return rows


def overlap(first: Sequence, second: Sequence) -> float:
    """Share of the longer list that is in the other; 1 where both are empty."""
    longer = max(len(first), len(second))
    return len(set(first) & set(second)) / longer if longer else 1.0


def rank_biased_overlap(first: Sequence, second: Sequence) -> float:
    """Agreement of the beginnings of two lists, the first places counting most.

    `(1 - p) sum_d p^(d - 1) A_d + p^k A_k`, where `A_d` is the share of the first `d`
    places that both have, and `p` = 0.9: the agreement at the end is taken to go on.

    Reference:
      Webber, Moffat and Zobel, A similarity measure for indefinite rankings, TOIS 2010.
    """
    depth = max(len(first), len(second))
    if not depth:
        return 1.0
    total, weight, share = 0.0, 1 - _PERSISTENCE, 1.0
    for d in range(1, depth + 1):
        share = len(set(first[:d]) & set(second[:d])) / d
        total += weight * share
        weight *= _PERSISTENCE
    return total + weight / (1 - _PERSISTENCE) * share


def hit_rate(ranked: Sequence, relevant: Collection, *, k: int) -> float:
    """1 where one of the first `k` is relevant, else 0."""
    return float(bool(set(ranked[:k]) & set(relevant)))


def ndcg(ranked: Sequence, relevant: Collection, *, k: int) -> float:
    """Discounted gain of the relevant items over that of having them all first.

    Reference:
      Jarvelin and Kekalainen, Cumulated gain-based evaluation of IR techniques, TOIS
      2002.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    hits = np.isin(np.array(ranked[:k], object), np.array([*relevant], object))
    ideal = discounts[: len(set(relevant))].sum()
    return float((discounts[: len(hits)] * hits).sum() / ideal)
