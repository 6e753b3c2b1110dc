"""Metrics of the cascade of the serving pipeline."""

from typing import Literal

import numpy as np
import tensorflow as tf

import tfrs_models as tm

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def best_weight(cascade: tm.models.Cascade, data: tm.data.Interactions) -> float:
    """Chooses the weight of the retrieval score by NDCG@10 on the validation rows.

    Args:
      cascade: cascade with weight 0 and the state before the validation rows.
      data: interactions that the retrieval model was trained on.
    """
    hits, answer, _ = answers(cascade, data, "validation")
    quality = {}
    for weight in WEIGHTS:
        order = np.argsort(-answer["score"] - weight * answer["retrieval_score"])
        ordered = np.take_along_axis(hits, order, axis=1)
        quality[weight] = position_metrics(ordered)["ndcg_at_10"].mean()
    best = max(quality, key=quality.get)
    print("\nWeight of retrieval beside the ranker, NDCG@10 on the validation rows:")
    print("  " + ", ".join(f"{w:g}: {value:.4f}" for w, value in quality.items()))
    return best


def answers(
    cascade: tm.models.Cascade,
    data: tm.data.Interactions,
    split: Literal["validation", "test"],
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Queries the cascade for the known users of a split, by its rule of repeats.

    Where known items are excluded, rows that repeat are left out.

    Args:
      cascade: cascade with the state before the split.
      data: interactions.
      split: split whose items are the relevant ones.

    Returns:
      `[num_queries, num_retrieved]` True where an answer has the relevant item; output
      -> `[num_queries, num_retrieved]` array; `[num_queries]` rows of the split.
    """
    held_out = data.splits[split]
    excludes = data.repeats != "allow"
    left_out = tm.data.repeated_rows(data, split) & excludes
    rows = np.flatnonzero((held_out["user_id"] > 0) & ~left_out)
    users = np.array(["", *map(str, data.vocabularies["user_id"])])
    filters = cascade.retriever.filters
    parts = []
    for some in np.array_split(rows, max(1, len(rows) // 64)):
        nothing = {n: tf.zeros([len(some), 0], s.dtype) for n, s in filters.items()}
        parts.append(
            cascade.recommend(
                tf.constant(users[held_out["user_id"][some]]),
                tf.fill([len(some)], cascade.num_retrieved),
                tf.fill([len(some)], excludes),
                tf.zeros([len(some), 0], tf.string),
                nothing,
            )
        )
    answer = {
        name: np.concatenate([part[name].numpy() for part in parts])
        for name in ("item_id", "score", "retrieval_score")
    }
    ids = np.array(["", *data.vocabularies["item_id"]])
    hits = answer["item_id"].astype(str) == ids[held_out["item_id"][rows]][:, None]
    return hits, answer, rows


def evaluate(cascade: tm.models.Cascade, data: tm.data.Interactions) -> dict:
    """Measures the order of retrieval and of the cascade on the test rows.

    Args:
      cascade: cascade with the state before the test rows.
      data: interactions.

    Returns:
      "all" or "liked" rows -> "retrieval" or "cascade" -> metric -> interval.
    """
    test = data.splits["test"]
    hits, answer, rows = answers(cascade, data, "test")
    scores = answer["retrieval_score"]
    by_retrieval = np.take_along_axis(hits, np.argsort(-scores, axis=1), axis=1)
    liked = np.ones(len(rows), bool)
    if "rating" in test:
        liked = test["rating"][rows] >= tm.data.RANKING_TASKS["like"]
    groups = test["user_id"][rows]
    return {
        slice_name: {
            order: {
                name: tm.metrics.bootstrap_interval(
                    values[chosen], groups[chosen]
                )._asdict()
                for name, values in position_metrics(found).items()
            }
            for order, found in (("retrieval", by_retrieval), ("cascade", hits))
        }
        for slice_name, chosen in (("all", np.ones(len(rows), bool)), ("liked", liked))
    }


def position_metrics(hits: np.ndarray) -> dict[str, np.ndarray]:
    """Computes metrics of each query from the position of its relevant item.

    Args:
      hits: `[num_queries, num_retrieved]` True where an answer has the relevant item.

    Returns:
      Metric -> `[num_queries]`.
    """
    labels = tf.constant(hits, tf.float32)
    scores = -tf.broadcast_to(tf.range(hits.shape[1], dtype=tf.float32), hits.shape)
    return {
        "hit_rate_at_10": hits[:, :10].any(axis=1).astype(float),
        "hit_rate_of_retrieval": hits.any(axis=1).astype(float),
        "ndcg_at_10": tm.metrics.ndcg(labels, scores, k=10).numpy(),
    }


def print_metrics(metrics: dict, num_retrieved: int, *, repeats: str) -> None:
    """Prints both orders side by side."""
    excluded = "nothing" if repeats == "allow" else "known items"
    print(f"\nThe held-out item among {num_retrieved} candidates, {excluded} excluded")
    for slice_name, orders in metrics.items():
        for order, values in orders.items():
            figures = ", ".join(
                f"{name} {interval['mean']:.4f} "
                f"[{interval['low']:.4f}, {interval['high']:.4f}]"
                for name, interval in values.items()
            )
            name = order.replace("_", " ")
            print(f"  {slice_name:<6} {name:<23} {figures}")
