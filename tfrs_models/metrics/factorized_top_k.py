"""Exact, tie-aware metrics over the whole corpus."""

import re
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models.metrics.corpus import Corpus
from tfrs_models.metrics.coverage import Coverage
from tfrs_models.ops import rank_metrics
from tfrs_models.ops.corpus_ranks import CorpusRanks, ranks_by_row, ranks_by_score
from tfrs_models.ops.lookup import find_rows, match_dtype
from tfrs_models.types import Tensor

_EXTRA = re.compile(r"(ndcg|coverage|novelty)_at_([1-9]\d*)|mrr|auc|tie_rate|miss_rate")
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
        self._ties = rank_metrics.check_ties(ties)
        self._extra = {extra: _parse(extra) for extra in metrics}
        self._exclude = exclude
        self._probabilities = candidate_probabilities
        self._index, self._corpus = _split_source(candidates)
        if self._corpus is None and self._extra:
            raise ValueError(
                "`metrics` need exact ranks, which an approximate index "
                f"({type(candidates).__name__}) does not give. Pass a dataset of "
                f"candidates or a BruteForce layer. Got {tuple(metrics)}."
            )
        if candidate_probabilities is None and any(
            kind == "novelty" for kind, _ in self._extra.values()
        ):
            raise ValueError("Novelty needs `candidate_probabilities`. Got None.")
        self._top_k_metrics = [
            _Mean(self._corpus, f"{self.name}/top_{k}_categorical_accuracy")
            for k in self._ks
        ]
        self._extra_metrics = [
            Coverage(f"{self.name}/{extra}")
            if kind == "coverage"
            else _Mean(self._corpus, f"{self.name}/{extra}")
            for extra, (kind, _) in self._extra.items()
        ]

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
          sample_weight: `[batch]` weights of the metrics.
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
        if true_candidate_ids is None and (self._corpus is None or exclude is not None):
            raise ValueError(
                "`true_candidate_ids` must be given for an approximate index and with "
                "`exclude`: without them the positive is known by its score only."
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
        updates = [
            metric.update_state(value, weight)
            for metric, value in zip(
                self._top_k_metrics, self._hit_rates(ranks), strict=True
            )
        ]
        for metric, (kind, k) in zip(
            self._extra_metrics, self._extra.values(), strict=True
        ):
            if kind in ("coverage", "novelty"):
                shown = _recommended(queries, embeddings, excluded_rows, k)
                updates.append(self._update_shown(metric, kind, shown, embeddings))
            else:
                value, counts = self._value(kind, k, ranks)
                updates.append(metric.update_state(value, _times(weight, counts)))
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

    def _hit_rates(self, ranks: CorpusRanks) -> list[tf.Tensor]:
        above, tied = rank_metrics.resolve_ties(
            ranks.above, ranks.tied, ties=self._ties
        )
        found = tf.cast(ranks.found, tf.float32)
        return [found * rank_metrics.hit_rate(above, tied, k=k) for k in self._ks]

    def _value(
        self, kind: str, k: int | None, ranks: CorpusRanks
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """A metric's `[batch]` values, and the queries that count if not all do."""
        found = tf.cast(ranks.found, tf.float32)
        above, tied = rank_metrics.resolve_ties(
            ranks.above, ranks.tied, ties=self._ties
        )
        if kind == "ndcg":
            return found * rank_metrics.ndcg(above, tied, k=k), None
        if kind == "mrr":
            return found * rank_metrics.reciprocal_rank(above, tied), None
        if kind == "tie_rate":
            return found * tf.cast(ranks.tied > 0, tf.float32), None
        if kind == "miss_rate":
            return 1 - found, None
        value = found * rank_metrics.auc(above, tied, ranks.num_candidates)
        return value, tf.cast(ranks.num_candidates > 0, tf.float32)

    def _update_shown(
        self,
        metric: tf.keras.metrics.Metric,
        kind: str,
        shown: tf.Tensor,
        embeddings: tf.Tensor,
    ) -> tf.Operation:
        if kind == "coverage":
            return metric.update_state(shown, tf.shape(embeddings)[0])
        probability = tf.cast(tf.gather(self._probabilities, shown), tf.float32)
        rarest = tf.reduce_min(
            tf.boolean_mask(self._probabilities, self._probabilities > 0)
        )
        # A candidate that nobody had yet is as surprising as the rarest one.
        probability = tf.maximum(probability, tf.cast(rarest, tf.float32))
        return metric.update_state(-tf.math.log(probability) / tf.math.log(2.0))

    def _update_approximate(
        self,
        queries: tf.Tensor,
        true_candidate_ids: tf.Tensor,
        exclude: tf.RaggedTensor | None,
        weight: tf.Tensor | None,
    ) -> tf.Operation:
        if exclude is None:
            _, retrieved = self._index(queries, k=max(self._ks))
        else:
            own = tf.gather(true_candidate_ids, exclude.value_rowids())
            keep = tf.not_equal(exclude.values, match_dtype(own, exclude.dtype))
            exclude = tf.ragged.boolean_mask(exclude, exclude.with_values(keep))
            _, retrieved = self._index.query_with_exclusions(
                queries, exclude, k=max(self._ks)
            )
        own = match_dtype(true_candidate_ids, retrieved.dtype)
        hit = tf.equal(own[:, None], retrieved)
        return tf.group(
            [
                metric.update_state(tf.reduce_any(hit[:, :k], axis=1), weight)
                for k, metric in zip(self._ks, self._top_k_metrics, strict=True)
            ]
        )


class _Mean(tf.keras.metrics.Mean):
    """A mean whose reset, which begins an evaluation, lets the corpus go stale."""

    def __init__(self, corpus: Corpus | None, name: str) -> None:
        super().__init__(name=name)
        self._corpus = corpus

    def reset_state(self) -> None:
        super().reset_state()
        if self._corpus is not None:
            self._corpus.mark_stale()


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
    if getattr(candidates, "_candidates", None) is None:
        raise ValueError(
            "`candidates` must hold candidates: call its `index` or "
            "`index_from_dataset` first."
        )
    return None, Corpus(candidates)


def _parse(metric: str) -> tuple[str, int | None]:
    match = _EXTRA.fullmatch(metric)
    if not match:
        raise ValueError(
            "`metrics` must be 'mrr', 'auc', 'tie_rate', 'miss_rate', 'ndcg_at_10', "
            f"'coverage_at_10' or 'novelty_at_10' (any k). Got {metric!r}."
        )
    return (match[1], int(match[2])) if match[1] else (metric, None)


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


def _recommended(
    queries: tf.Tensor, embeddings: tf.Tensor, excluded_rows: tf.RaggedTensor, k: int
) -> tf.Tensor:
    """`[batch, k]` corpus rows that serving would show."""
    scores = tf.matmul(queries, embeddings, transpose_b=True)
    owners = tf.cast(excluded_rows.value_rowids(), tf.int32)
    pairs = tf.stack([owners, excluded_rows.values], axis=1)
    pairs = tf.boolean_mask(pairs, excluded_rows.values >= 0)
    lowest = tf.fill(tf.shape(pairs)[:1], scores.dtype.min)
    scores = tf.tensor_scatter_nd_update(scores, pairs, lowest)
    return tf.math.top_k(scores, k=tf.minimum(k, tf.shape(scores)[1])).indices


def _times(weight: tf.Tensor | None, counts: tf.Tensor | None) -> tf.Tensor | None:
    if weight is None or counts is None:
        return counts if weight is None else weight
    return tf.cast(weight, tf.float32) * counts
