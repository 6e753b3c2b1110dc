"""Exact, tie-aware metrics over the whole corpus."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models.metrics.corpus import Corpus, holds_candidates
from tfrs_models.metrics.corpus_metrics import (
    CoverageAtK,
    NoveltyAtK,
    Ranked,
    RankMean,
    parse_metric,
)
from tfrs_models.ops.corpus_ranks import ranks_by_row, ranks_by_score
from tfrs_models.ops.lookup import comparable, find_rows
from tfrs_models.ops.rank_metrics import check_ties
from tfrs_models.types import Tensor

_top_k = tfrs.layers.factorized_top_k


class FactorizedTopK(tfrs.metrics.Factorized):
    """How high the model ranks each query's positive among all candidates.

    A drop-in for `tfrs.metrics.FactorizedTopK` that counts instead of sorting: the rank
    is the number of candidates that score higher, so every `k` and every metric comes
    out of one pass, and ties are seen instead of won. The candidates are embedded once
    per evaluation, and again whenever a variable they depend on has changed.

    Reference:
      Ties: McSherry and Najork, Computing information retrieval performance measures
      efficiently in the presence of tied scores, ECIR 2008.
    """

    def __init__(
        self,
        candidates: tf.data.Dataset | _top_k.TopK,
        ks: Sequence[int] = (1, 5, 10, 50, 100),
        name: str = "factorized_top_k",
        *,
        ties: str = "expected",
        metrics: Sequence[str] = (),
        exclude: tf.RaggedTensor | None = None,
        candidate_probabilities: tf.Tensor | None = None,
    ) -> None:
        """Initializes the metric.

        Args:
          candidates: Dataset of `[batch, embedding_dim]` candidate embeddings or of
            (identifiers, embeddings), or an index layer. Ids must be unique. Where
            there are no ids, the positions are the ids. An approximate index gives
            top-k accuracy only, and only by id.
          ks: Places at which top-k accuracy (the hit rate) is reported; a `k` above
            the number of candidates is always a hit.
          name: Prefix of the metrics' names.
          ties: `"expected"` value over a random order of equal scores,
            `"pessimistic"` (the positive comes last) or `"optimistic"`.
          metrics: More of them: `"mrr"`, `"ndcg_at_10"`, `"auc"` (any `k`);
            `"coverage_at_10"`, share of the candidates that are recommended to anyone;
            `"novelty_at_10"`, mean bits of surprise of the recommended candidates;
            `"tie_rate"`, share of queries whose positive ties with another candidate;
            `"miss_rate"`, share of queries whose positive is no candidate at all.
          exclude: `[num_queries, None]` candidate ids by query id: what each user
            already has and will not be given. `update_state` then needs `query_ids`.
            The positive itself is never excluded.
          candidate_probabilities: `[num_candidates]` popularity of each candidate in
            the order of `candidates`, for novelty.
        """
        super().__init__(name=name)
        self._ks = [_check_k(k) for k in ks]
        check_ties(ties)
        self._exclude = exclude
        self._index, self._corpus = _split_source(candidates)
        kinds = {metric: parse_metric(metric) for metric in metrics}
        if self._corpus is None and kinds:
            raise ValueError(
                "`metrics` need exact ranks, which an approximate index "
                f"({type(candidates).__name__}) does not give. Pass a dataset of "
                f"candidates or a BruteForce layer. Got {tuple(metrics)}."
            )

        def mean(metric: str, name: str) -> RankMean:
            return RankMean(self._corpus, metric, ties=ties, name=f"{self.name}/{name}")

        self._top_k_metrics = [
            mean(f"hit_rate_at_{k}", f"top_{k}_categorical_accuracy") for k in self._ks
        ]
        extras = []
        for metric, (kind, k) in kinds.items():
            if kind == "coverage":
                extra = CoverageAtK(k, name=f"{self.name}/{metric}")
            elif kind == "novelty":
                if candidate_probabilities is None:
                    raise ValueError("Novelty needs `candidate_probabilities`.")
                extra = NoveltyAtK(
                    self._corpus,
                    k,
                    candidate_probabilities,
                    name=f"{self.name}/{metric}",
                )
            else:
                extra = mean(metric, metric)
            extras.append(extra)
        self._extra_metrics = extras  # whole: Keras tracks what is assigned

    def update_state(
        self,
        query_embeddings: tf.Tensor,
        true_candidate_embeddings: tf.Tensor,
        true_candidate_ids: tf.Tensor | None = None,
        sample_weight: tf.Tensor | None = None,
        *,
        query_ids: tf.Tensor | None = None,
        exclude: Tensor | None = None,
    ) -> tf.Operation:
        """Ranks the positives of a batch.

        Args:
          query_embeddings: `[batch, embedding_dim]`, or `[batch, num_heads,
            embedding_dim]` with ids (the best head counts).
          true_candidate_embeddings: `[batch, embedding_dim]`; used only where there are
            no ids.
          true_candidate_ids: `[batch]` ids of the positives. Without them the positive
            is known by its score, and one candidate with that score is taken for it.
          sample_weight: `[batch]` weights of the metrics; coverage and novelty, which
            are about what is shown, ignore them.
          query_ids: `[batch]` integer rows of the constructor's `exclude`.
          exclude: `[batch, None]` ids of candidates that do not compete in this row,
            ragged or dense, on top of the constructor's.

        Returns:
          The update op, for graph mode.

        Raises:
          ValueError: ids are needed and missing, or widths do not match.
        """
        queries = tf.cast(query_embeddings, tf.float32)
        weight = None if sample_weight is None else tf.reshape(sample_weight, [-1])
        queries = tf.debugging.check_numerics(
            queries, "A query embedding is not finite: look at the query tower"
        )
        if true_candidate_ids is not None:
            true_candidate_ids = tf.reshape(true_candidate_ids, [-1])
        exclude = self._excluded(query_ids, exclude)
        if true_candidate_ids is None and (
            self._corpus is None or exclude is not None or queries.shape.rank == 3
        ):
            raise ValueError(
                "`true_candidate_ids` must be given for an approximate index, for "
                "queries with several heads and with `exclude`: without them the "
                "positive is known by its score only."
            )
        if self._corpus is None:
            return self._update_approximate(
                queries, true_candidate_ids, exclude, weight
            )
        embeddings, index = self._corpus.read()
        _check_width(queries, embeddings)
        if true_candidate_ids is None:
            positives = tf.cast(true_candidate_embeddings, tf.float32)
            ranks = ranks_by_score(queries, embeddings, positives)
            excluded_rows = _empty_rows(queries)
        else:
            excluded_rows = (
                _empty_rows(queries)
                if exclude is None
                else exclude.with_values(find_rows(index, exclude.values))
            )
            rows = find_rows(index, true_candidate_ids)
            ranks = ranks_by_row(queries, embeddings, rows, excluded_rows)
        ranked = Ranked(ranks, queries, embeddings, excluded_rows, weight)
        updates = [
            metric.update(ranked)
            for metric in self._top_k_metrics + self._extra_metrics
        ]
        return tf.group([update for update in updates if update is not None])

    def _excluded(
        self, query_ids: tf.Tensor | None, exclude: Tensor | None
    ) -> tf.RaggedTensor | None:
        if exclude is not None and not isinstance(exclude, tf.RaggedTensor):
            exclude = tf.RaggedTensor.from_tensor(exclude)
        if self._exclude is None:
            return exclude
        if query_ids is None:
            raise ValueError(
                "`query_ids` must be given: the metric's `exclude` is a table by query."
            )
        table = tf.gather(self._exclude, query_ids)
        return table if exclude is None else tf.concat([table, exclude], axis=1)

    def _update_approximate(
        self,
        queries: tf.Tensor,
        true_candidate_ids: tf.Tensor,
        exclude: tf.RaggedTensor | None,
        weight: tf.Tensor | None,
    ) -> tf.Operation:
        k = max(self._ks)
        if (size := getattr(self._index, "num_candidates", None)) is not None:
            k = min(k, size)  # upstream's cut a `k` that is too large
        if exclude is None:
            scores, retrieved = self._index(queries, k=k)
        else:
            own = tf.gather(true_candidate_ids, exclude.value_rowids())
            keep = tf.not_equal(
                comparable(exclude.values, own.dtype), comparable(own, exclude.dtype)
            )
            exclude = tf.ragged.boolean_mask(exclude, exclude.with_values(keep))
            scores, retrieved = self._index.query_with_exclusions(queries, exclude, k=k)
        own = comparable(true_candidate_ids, retrieved.dtype)
        hit = tf.equal(own[:, None], comparable(retrieved, own.dtype))
        hit &= tf.math.is_finite(scores)  # or else there is no candidate in the place
        return tf.group(
            [
                metric.update_state(tf.reduce_any(hit[:, :k], axis=1), weight)
                for k, metric in zip(self._ks, self._top_k_metrics, strict=True)
            ]
        )


def _split_source(
    candidates: tf.data.Dataset | _top_k.TopK,
) -> tuple[_top_k.TopK | None, Corpus | None]:
    """The index of an approximate source, or the corpus of an exact one."""
    if isinstance(candidates, tf.data.Dataset):
        return None, Corpus(candidates)
    if not isinstance(candidates, _top_k.TopK):
        raise ValueError(
            "`candidates` must be a tf.data.Dataset of embeddings or an index layer. "
            f"Got {type(candidates).__name__}."
        )
    if not candidates.is_exact():
        return candidates, None
    if not holds_candidates(candidates):
        raise ValueError(
            "`candidates` must hold candidates: call its `index` or "
            "`index_from_dataset` first."
        )
    return None, Corpus(candidates)


def _check_k(k: int) -> int:
    if k < 1:
        raise ValueError(f"Every `k` of `ks` must be at least 1. Got {k}.")
    return int(k)


def _check_width(queries: tf.Tensor, embeddings: tf.Tensor) -> None:
    if (
        None not in (queries.shape[-1], embeddings.shape[-1])
        and queries.shape[-1] != embeddings.shape[-1]
    ):
        raise ValueError(
            "Query and candidate embeddings must have the same width. Got queries of "
            f"{queries.shape[-1]} and candidates of {embeddings.shape[-1]}."
        )


def _empty_rows(queries: tf.Tensor) -> tf.RaggedTensor:
    lengths = tf.zeros(tf.shape(queries)[:1], tf.int64)
    return tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int32), lengths)
