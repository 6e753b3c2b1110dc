"""Updates of metrics over the whole corpus, upstream's or ours."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models.metrics.factorized_top_k import FactorizedTopK
from tfrs_models.types import Tensor


def as_list(
    metrics: Sequence[tfrs.metrics.Factorized] | tfrs.metrics.Factorized | None,
) -> list[tfrs.metrics.Factorized]:
    """One metric, several or none as a list."""
    if metrics is None:
        return []
    return list(metrics) if isinstance(metrics, Sequence) else [metrics]


def update_corpus_metrics(
    metrics: Sequence[tfrs.metrics.Factorized],
    queries: tf.Tensor,
    positives: tf.Tensor,
    positive_ids: tf.Tensor | None,
    **arguments: Tensor | None,
) -> list[tf.Operation]:
    """Updates all metrics with a batch.

    Args:
      metrics: To update.
      queries: `[batch, embedding_dim]`, or with heads.
      positives: `[batch, embedding_dim]`.
      positive_ids: `[batch]`, or None.
      **arguments: Of `update_state`; None where not given.

    Raises:
      ValueError: candidates are to be left out and a metric cannot do that.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if positive_ids is not None:
        given["true_candidate_ids"] = positive_ids
    if "exclude" in given and not isinstance(given["exclude"], tf.RaggedTensor):
        given["exclude"] = tf.RaggedTensor.from_tensor(given["exclude"])
    for metric in metrics:
        if {"exclude", "query_ids"} & given.keys() and not isinstance(
            metric, FactorizedTopK
        ):
            raise ValueError(
                "Known positives can only be left out by "
                "`tfrs_models.metrics.FactorizedTopK`. Got a metric of "
                f"{type(metric)}."
            )
    return [metric.update_state(queries, positives, **given) for metric in metrics]
