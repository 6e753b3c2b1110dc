"""The single metrics that one pass over the corpus updates."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.metrics.corpus import Corpus
from tfrs_models.metrics.rank_values import parse_metric, rank_values
from tfrs_models.ops.ranks.corpus_ranks import CorpusRanks
from tfrs_models.ops.ranks.hidden_positives import LEAVE_OUT, MISS
from tfrs_models.ops.ranks.scores import dot_scores


class Ranked(NamedTuple):
    """A batch that has been ranked.

    Attributes:
      ranks: ranks of the positives among the candidates.
      queries: `[batch, embedding_dim]` or `[batch, num_heads, embedding_dim]`.
      embeddings: `[num_candidates, embedding_dim]`, the corpus.
      excluded_rows: `[batch, None]` ragged rows of the corpus, -1 for none.
      weight: `[batch]` weights of the queries, or None.
    """

    ranks: CorpusRanks
    queries: tf.Tensor
    embeddings: tf.Tensor
    excluded_rows: tf.RaggedTensor
    weight: tf.Tensor | None


def k_of_keras_metric(metric: tf.keras.metrics.TopKCategoricalAccuracy) -> int:
    """Returns the `k` of a Keras metric as old scripts give it.

    Args:
      metric: Keras metric.

    Raises:
      ValueError: a metric of another class.
    """
    if not isinstance(metric, tf.keras.metrics.TopKCategoricalAccuracy):
        raise ValueError(
            "`metrics` must be names, such as 'mrr' or 'ndcg_at_10'. Got a "
            f"{type(metric).__name__}: of Keras metrics only TopKCategoricalAccuracy "
            "says something about ranks; put others into the task's `batch_metrics`."
        )
    return int(metric.get_config()["k"])


@register
class EvaluationMean(tf.keras.metrics.Mean):
    """A mean whose reset, which begins an evaluation, makes the corpus stale."""

    def __init__(self, corpus: Corpus | None, name: str) -> None:
        super().__init__(name=name)
        self._corpus = corpus

    def reset_state(self) -> None:
        super().reset_state()
        if self._corpus is not None:
            self._corpus.mark_stale()

    def load_own_variables(self, store: dict) -> None:
        """Reads the state of a file, if it has any: the metric may be new."""
        if store.keys():
            super().load_own_variables(store)

    @classmethod
    def from_config(cls, config: dict) -> tf.keras.metrics.Mean:
        """Makes a plain mean: a loaded model has no corpus until it is given one."""
        return tf.keras.metrics.Mean.from_config(config)


@register
class RankMean(EvaluationMean):
    """The mean over queries of a metric that follows from their ranks."""

    def __init__(
        self,
        corpus: Corpus | None,
        metric: str,
        *,
        ties: str,
        name: str,
        hidden: str = MISS,
    ) -> None:
        super().__init__(corpus, name)
        self._kind, self._k = parse_metric(metric)
        self._ties = ties
        self._leaves_out = hidden == LEAVE_OUT and self._kind != "hidden_rate"

    def update(self, ranked: Ranked) -> tf.Operation:
        """Adds a batch."""
        return self.update_ranks(ranked.ranks, ranked.weight)

    def update_ranks(
        self, ranks: CorpusRanks, weight: tf.Tensor | None
    ) -> tf.Operation:
        """Adds a batch that needs no corpus."""
        if self._kind == "auc":  # a query without another candidate has none
            weight = _weight_where(ranks.num_candidates > 0, weight)
        values = rank_values(ranks, self._kind, self._k, ties=self._ties)
        return self.update_values(values, ranks.hidden, weight)

    def update_values(
        self, values: tf.Tensor, hidden: tf.Tensor, weight: tf.Tensor | None
    ) -> tf.Operation:
        """Adds the values of a batch, whose `hidden` rows may be left out."""
        if self._leaves_out:
            weight = _weight_where(~hidden, weight)
        return self.update_state(values, weight)


def _weight_where(mask: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    mask = tf.cast(mask, tf.float32)
    return mask if weight is None else tf.cast(weight, tf.float32) * mask


@register
class Mean(RankMean):
    """A `RankMean` under the name by which files of upstream's models hold it."""


@register
class Coverage(tf.keras.metrics.Metric):
    """The share of the candidates that were recommended to at least one user.

    Near 0 is a collapse: all users get the same items.
    """

    def __init__(self, name: str = "coverage", **kwargs) -> None:
        super().__init__(name=name, **kwargs)
        self._seen = tf.Variable(
            tf.zeros([0]),
            shape=[None],
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )

    def update_state(self, rows: tf.Tensor, num_candidates: tf.Tensor) -> tf.Operation:
        """Counts recommendations.

        Args:
          rows: corpus rows of recommended candidates, any shape.
          num_candidates: scalar, number of rows of the corpus.
        """
        seen = self._seen.read_value()
        seen = tf.pad(seen, [[0, num_candidates - tf.size(seen)]])
        rows = tf.reshape(rows, [-1, 1])
        shown = tf.ones(tf.shape(rows)[:1])
        return self._seen.assign(tf.tensor_scatter_nd_max(seen, rows, shown))

    def result(self) -> tf.Tensor:
        """Returns a scalar share in [0, 1]; 0 before the first update."""
        seen = tf.convert_to_tensor(self._seen)
        shown = tf.math.count_nonzero(seen, dtype=tf.float32)
        return tf.math.divide_no_nan(shown, tf.cast(tf.size(seen), tf.float32))

    def reset_state(self) -> None:
        self._seen.assign(tf.zeros([0]))


@register
class CoverageAtK(Coverage):
    """The share of the candidates that are among the first `k` of any user."""

    def __init__(self, k: int, *, name: str) -> None:
        super().__init__(name)
        self._k = k

    def update(self, ranked: Ranked) -> tf.Operation:
        """Adds a batch."""
        shown = recommended_rows(ranked, self._k)
        return self.update_state(shown, tf.shape(ranked.embeddings)[0])

    @classmethod
    def from_config(cls, config: dict) -> Coverage:
        return Coverage.from_config(config)


@register
class NoveltyAtK(EvaluationMean):
    """The mean of `-log2 p` over the first `k` of all users, in bits."""

    def __init__(
        self, corpus: Corpus, k: int, probabilities: tf.Tensor, *, name: str
    ) -> None:
        super().__init__(corpus, name)
        self._k = k
        probabilities = tf.cast(probabilities, tf.float32)
        # A candidate without rows is as surprising as the rarest with rows.
        rarest = tf.reduce_min(tf.boolean_mask(probabilities, probabilities > 0))
        bits = -tf.math.log(tf.maximum(probabilities, rarest)) / tf.math.log(2.0)
        self._bits = bits.numpy()

    def update(self, ranked: Ranked) -> tf.Operation:
        """Adds a batch."""
        return self.update_state(
            tf.gather(self._bits, recommended_rows(ranked, self._k))
        )


def recommended_rows(ranked: Ranked, k: int) -> tf.Tensor:
    """Returns the flat corpus rows of each query's first `k` without the excluded.

    Args:
      ranked: batch of ranked queries.
      k: number of candidates of each query.

    Returns:
      `[num_recommended]` int32.
    """
    scores = dot_scores(ranked.queries, ranked.embeddings)
    excluded = ranked.excluded_rows
    owners = tf.cast(excluded.value_rowids(), tf.int32)
    pairs = tf.stack([owners, excluded.values], axis=1)
    pairs = tf.boolean_mask(pairs, excluded.values >= 0)
    nothing = tf.fill(tf.shape(pairs)[:1], tf.constant(-float("inf"), scores.dtype))
    scores = tf.tensor_scatter_nd_update(scores, pairs, nothing)
    best, rows = tf.math.top_k(scores, k=tf.minimum(k, tf.shape(scores)[1]))
    return tf.boolean_mask(rows, tf.math.is_finite(best))
