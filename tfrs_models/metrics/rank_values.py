"""Names of metrics that follow from ranks, and their values."""

import re

import tensorflow as tf

from tfrs_models.ops.ranks import rank_metrics
from tfrs_models.ops.ranks.corpus_ranks import CorpusRanks

_NAME = re.compile(
    r"(hit_rate|ndcg|coverage|novelty)_at_([1-9]\d*)"
    r"|mrr|auc|tie_rate|miss_rate|hidden_rate"
)
_OF_RECOMMENDATIONS = ("coverage", "novelty")


def parse_metric(metric: str, argument: str = "metrics") -> tuple[str, int | None]:
    """Splits a metric's name, such as `"ndcg_at_10"`, into its kind and its `k`.

    Args:
      metric: name of the metric.
      argument: name of the argument in the message.

    Returns:
      The kind, and `k` or None.

    Raises:
      ValueError: no metric has this name.
    """
    match = _NAME.fullmatch(metric)
    if not match:
        raise ValueError(
            f"`{argument}` must be 'hit_rate_at_10', 'ndcg_at_10', 'mrr', 'auc', "
            "'tie_rate', 'miss_rate', 'hidden_rate', 'coverage_at_10' or "
            f"'novelty_at_10' (any k). Got {metric!r}."
        )
    return (match[1], int(match[2])) if match[1] else (metric, None)


def parse_rank_metric(metric: str, argument: str = "metrics") -> tuple[str, int | None]:
    """Splits the name of a metric that follows from the rank of the positive.

    Args:
      metric: name of the metric.
      argument: name of the argument in the message.

    Returns:
      The kind, and `k` or None.

    Raises:
      ValueError: no metric has this name, or it is one of all recommendations.
    """
    kind, k = parse_metric(metric, argument)
    if kind in _OF_RECOMMENDATIONS:
        raise ValueError(
            f"`{argument}` must follow from the rank of the positive. Got {metric!r}; "
            "`FactorizedTopK` has it."
        )
    return kind, k


def rank_values(
    ranks: CorpusRanks, kind: str, k: int | None, *, ties: str
) -> tf.Tensor:
    """Computes a metric of each positive from its rank.

    Args:
      ranks: ranks of `[batch]` positives.
      kind: kind of the metric, such as `"ndcg"`.
      k: number of ranks that count, or None.
      ties: `"expected"`, `"pessimistic"` or `"optimistic"`.

    Returns:
      `[batch]` float32; the worst value where the positive is a miss.
    """
    found = tf.cast(ranks.found, tf.float32)
    above, tied = rank_metrics.resolve_ties(ranks.above, ranks.tied, ties=ties)
    if kind == "hit_rate":
        return found * rank_metrics.hit_rate(above, tied, k=k)
    if kind == "ndcg":
        return found * rank_metrics.ndcg(above, tied, k=k)
    if kind == "mrr":
        return found * rank_metrics.reciprocal_rank(above, tied)
    if kind == "auc":
        return found * rank_metrics.auc(above, tied, ranks.num_candidates)
    if kind == "tie_rate":
        return found * tf.cast(ranks.tied > 0, tf.float32)
    if kind == "hidden_rate":
        return tf.cast(ranks.hidden, tf.float32)
    return 1 - found  # miss_rate
