"""What a ranker of lists gains over retrieval alone, and the verdict."""

from collections.abc import Mapping

import numpy as np

import tfrs_models as tm

from .serve import position_metrics

LIKED = 0.8
"""Share of the largest rating from which on a row counts as liked: 4 of 5 stars."""
ORDERS = ("retrieval", "cascade")
DIFFERENCE = "cascade_minus_retrieval"
VERDICT = "ndcg_at_10"


def values_of(
    retrieved: np.ndarray, reranked: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """Computes the metrics of each row in both orders, and their difference.

    Args:
      retrieved: `[num_rows, num_retrieved]` True where the item of the row is, in the
        order of retrieval.
      reranked: the same in the order of the ranker.

    Returns:
      Each of `ORDERS`, and `DIFFERENCE` -> metric -> `[num_rows]`.
    """
    hits = dict(zip(ORDERS, (retrieved, reranked), strict=True))
    found = {order: position_metrics(values) for order, values in hits.items()}
    found[DIFFERENCE] = {
        name: found["cascade"][name] - values
        for name, values in found["retrieval"].items()
    }
    return found


def liked_rows(data: tm.data.Interactions, split: str) -> np.ndarray | None:
    """Tells which rows of a split have a high rating; None without ratings.

    Args:
      data: interactions.
      split: split of the rows.
    """
    if "rating" not in data.splits[split]:
        return None
    largest = data.splits["train"]["rating"].max(initial=0)
    return data.splits[split]["rating"] >= LIKED * largest


def intervals(
    values: Mapping[str, Mapping[str, np.ndarray]],
    users: np.ndarray,
    liked: np.ndarray | None,
) -> dict[str, dict[str, dict[str, dict]]]:
    """Computes means with 95% intervals over users, of all rows and of liked ones.

    Args:
      values: metrics of each row, from `values_of`.
      users: `[num_rows]` users; whole users are drawn, and differences are paired.
      liked: `[num_rows]` bool, or None.

    Returns:
      "all" or "liked" -> order -> metric -> interval.
    """
    slices = {"all": np.ones(len(users), bool)}
    if liked is not None and liked.any():
        slices["liked"] = liked
    return {
        name: {
            order: {
                metric: tm.metrics.bootstrap_interval(
                    column[chosen], users[chosen]
                )._asdict()
                for metric, column in metrics.items()
            }
            for order, metrics in values.items()
        }
        for name, chosen in slices.items()
    }


def verdict(test: Mapping[str, Mapping], *, is_better: bool = True) -> str:
    """Says in plain words what the ranker gains.

    Args:
      test: metrics with intervals, from `intervals`.
      is_better: False if no epoch was better than retrieval on validation rows.
    """
    if not is_better:
        return (
            "No epoch of the ranker was better than retrieval's own order on the "
            "validation rows, so the cascade keeps that order."
        )
    sentences = []
    for name, orders in test.items():
        gain = orders[DIFFERENCE][VERDICT]
        interval = f"[{gain['low']:+.4f}, {gain['high']:+.4f}]"
        numbers = (
            f"{gain['mean']:+.4f} NDCG@10 on {name} test rows, 95% interval "
            f"{interval}, paired by user."
        )
        if gain["low"] > 0:
            said = "The cascade beats retrieval alone"
        elif gain["high"] < 0:
            said = "The cascade loses to retrieval alone"
        else:
            said = "The cascade is not clearly better than retrieval alone"
        sentences.append(f"{said}: {numbers}")
    return " ".join(sentences)
