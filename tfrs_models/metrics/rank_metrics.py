"""Several metrics of one evaluation, from the ranks of its positives."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.metrics.corpus_metrics import RankMean
from tfrs_models.metrics.rank_values import parse_rank_metric
from tfrs_models.ops.ranks.corpus_ranks import CorpusRanks
from tfrs_models.ops.ranks.hidden_positives import MISS, check_hidden
from tfrs_models.ops.ranks.rank_metrics import check_ties
from tfrs_models.ops.weights import checked_weights


@register
class RankMetrics(tf.keras.layers.Layer):
    """Several metrics of one evaluation, from the ranks of its positives.

    For models whose score is no dot product: rank with `ops.scored_ranks` (a list of
    candidates, or the whole catalogue in blocks) and pass the ranks. A model that holds
    the layer reports its metrics. Where queries and candidates are embeddings,
    `FactorizedTopK` does both.

    Example:
      >>> from tfrs_models.metrics.rank_metrics import RankMetrics
      >>> from tfrs_models.ops.ranks.scored_ranks import ranks_of_columns
      >>> ranked = RankMetrics(["hit_rate_at_1", "mrr"], name="search")
      >>> scores = tf.constant([[0.3, 0.1, 0.7]])
      >>> _ = ranked.update_state(ranks_of_columns(scores, tf.constant([0])))
      >>> {name: float(value) for name, value in ranked.result().items()}
      {'search/hit_rate_at_1': 0.0, 'search/mrr': 0.5}
    """

    def __init__(
        self,
        metrics: Sequence[str] = ("hit_rate_at_10", "ndcg_at_10", "mrr"),
        *,
        ties: str = "expected",
        hidden: str = MISS,
        name: str = "ranks",
    ) -> None:
        """Initializes the metrics.

        Args:
          metrics: names: `"hit_rate_at_10"`, `"ndcg_at_10"` (any k), `"mrr"`, `"auc"`,
            `"tie_rate"` (share of positives that tie with a candidate), `"miss_rate"`
            (share of positives that are no candidate, or hidden) or `"hidden_rate"`
            (share of positives that the exclusions hide).
          ties: value of equal scores: `"expected"` over a random order,
            `"pessimistic"` (the positive comes last) or `"optimistic"`.
          hidden: value of a positive that the exclusions hide: `"miss"`, or
            `"leave-out"` for none: only `"hidden_rate"` counts it.
          name: prefix of the metrics' names.
        """
        super().__init__(name=name)
        self._names, self._ties = list(metrics), check_ties(ties)
        self._hidden = check_hidden(hidden)
        for metric in self._names:
            parse_rank_metric(metric)
        self._means = [
            RankMean(None, metric, ties=ties, hidden=hidden, name=f"{name}/{metric}")
            for metric in self._names
        ]

    def update_state(
        self, ranks: CorpusRanks, sample_weight: tf.Tensor | None = None
    ) -> tf.Operation:
        """Adds a batch.

        Args:
          ranks: ranks of `[batch]` positives.
          sample_weight: `[batch]` weights of the positives.
        """
        weight = checked_weights(sample_weight)
        return tf.group([mean.update_ranks(ranks, weight) for mean in self._means])

    def result(self) -> dict[str, tf.Tensor]:
        """Returns the means so far, by the metrics' names."""
        return {mean.name: mean.result() for mean in self._means}

    def reset_state(self) -> None:
        """Removes all batches."""
        for mean in self._means:
            mean.reset_state()

    def get_config(self) -> dict:
        return {
            "metrics": self._names,
            "ties": self._ties,
            "hidden": self._hidden,
            "name": self.name,
        }
