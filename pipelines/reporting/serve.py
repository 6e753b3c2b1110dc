"""What the serving pipeline measures and shows of its cascade."""

from typing import Literal

import numpy as np
import tensorflow as tf

import tfrs_models as tm

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def best_weight(cascade: tm.models.Cascade, data: tm.data.Interactions) -> float:
    """The weight of retrieval whose order is best on the validation rows.

    Args:
      cascade: Without a weight, as it would answer before the validation rows.
      data: That retrieval learned from.
    """
    hits, answer, _ = answers(cascade, data, "validation")
    quality = {}
    for weight in WEIGHTS:
        order = np.argsort(-answer["score"] - weight * answer["retrieval_score"])
        ordered = np.take_along_axis(hits, order, axis=1)
        quality[weight] = places_metrics(ordered)["ndcg_at_10"].mean()
    best = max(quality, key=quality.get)
    print("\nWeight of retrieval beside the ranker, NDCG@10 on the validation rows:")
    print("  " + ", ".join(f"{w:g}: {value:.4f}" for w, value in quality.items()))
    return best


def answers(
    cascade: tm.models.Cascade,
    data: tm.data.Interactions,
    split: Literal["validation", "test"],
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Where the held-out items stand, the answers, and the rows of known users."""
    held_out = data.splits[split]
    rows = np.flatnonzero(held_out["user_id"] > 0)
    users = np.array(["", *map(str, data.vocabularies["user_id"])])
    filters = cascade.retriever.filters
    parts = []
    for some in np.array_split(rows, max(1, len(rows) // 64)):
        nothing = {n: tf.zeros([len(some), 0], s.dtype) for n, s in filters.items()}
        parts.append(
            cascade.recommend(
                tf.constant(users[held_out["user_id"][some]]),
                tf.fill([len(some)], cascade.num_retrieved),
                tf.fill([len(some)], True),
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
    """Where the held-out item stands, in the order of retrieval and of the cascade."""
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
                for name, values in places_metrics(found).items()
            }
            for order, found in (("retrieval", by_retrieval), ("cascade", hits))
        }
        for slice_name, chosen in (("all", np.ones(len(rows), bool)), ("liked", liked))
    }


def places_metrics(hits: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of each row from where its one held-out item stands."""
    labels = tf.constant(hits, tf.float32)
    scores = -tf.broadcast_to(tf.range(hits.shape[1], dtype=tf.float32), hits.shape)
    return {
        "hit_rate_at_10": hits[:, :10].any(axis=1).astype(float),
        "hit_rate_of_retrieval": hits.any(axis=1).astype(float),
        "ndcg_at_10": tm.metrics.ndcg(labels, scores, k=10).numpy(),
    }


def print_metrics(metrics: dict, num_retrieved: int) -> None:
    """Prints both orders side by side."""
    print(f"\nThe held-out item among {num_retrieved} candidates, known items excluded")
    for slice_name, orders in metrics.items():
        for order, values in orders.items():
            figures = ", ".join(
                f"{name} {interval['mean']:.4f} "
                f"[{interval['low']:.4f}, {interval['high']:.4f}]"
                for name, interval in values.items()
            )
            print(f"  {slice_name:<6} {order:<10} {figures}")
