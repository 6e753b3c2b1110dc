"""Exact, tie-aware metrics over the whole corpus."""

from tfrs_models import _keras  # noqa: F401  isort: skip  `tf.keras` must be Keras 2

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._advice import advise as _advise
from tfrs_models.layers.index.checks import check_duplicates
from tfrs_models.metrics.answers import hits_by_answers
from tfrs_models.metrics.corpus import Corpus, Retriever, is_ranked
from tfrs_models.metrics.corpus_metrics import (
    CoverageAtK,
    Mean,
    NoveltyAtK,
    Ranked,
    RankMean,
    k_of_keras_metric,
)
from tfrs_models.metrics.rank_values import parse_metric
from tfrs_models.ops.numbers import whole_number
from tfrs_models.ops.ranks.corpus_ranks import ranks_by_row, ranks_by_score
from tfrs_models.ops.ranks.hidden_positives import LEAVE_OUT, MISS, check_hidden
from tfrs_models.ops.ranks.lookup import find_copies
from tfrs_models.ops.ranks.rank_metrics import check_ties
from tfrs_models.ops.ranks.scores import best_copies
from tfrs_models.ops.weights import weights_of_rows
from tfrs_models.types import Tensor

_top_k = tfrs.layers.factorized_top_k

__getattr__ = _advise(__name__)


class FactorizedTopK(tfrs.metrics.Factorized):
    """Metrics of the rank of each query's positive among all candidates.

    A drop-in for `tfrs.metrics.FactorizedTopK` that counts instead of sorting: the rank
    is the number of candidates that score higher, so every `k` and every metric comes
    out of one pass, and a tie with the positive is no hit for sure. The candidates are
    embedded once per evaluation, and again when a variable they depend on has changed.

    Example:
      >>> corpus = tf.data.Dataset.from_tensors((np.arange(4), tf.eye(4)))
      >>> metric = tm.metrics.FactorizedTopK(corpus, ks=[1, 2], metrics=["mrr"])
      >>> queries = tf.constant([[4.0, 3, 2, 1], [4, 3, 2, 1]])
      >>> ids = tf.constant([0, 1])  # the positives: first and second
      >>> _ = metric.update_state(queries, tf.eye(4)[:2], ids)
      >>> [float(value) for value in metric.result()]
      [0.5, 1.0, 0.75]

    Reference:
      Ties: McSherry and Najork, Computing information retrieval performance measures
      efficiently in the presence of tied scores, ECIR 2008.
    """

    def __init__(
        self,
        candidates: tf.data.Dataset | _top_k.TopK | None,
        ks: Sequence[int] = (1, 5, 10, 50, 100),
        name: str = "factorized_top_k",
        *,
        ties: str = "expected",
        metrics: Sequence[str | tf.keras.metrics.TopKCategoricalAccuracy] = (),
        exclude: tf.RaggedTensor | None = None,
        hidden: str = MISS,
        candidate_probabilities: tf.Tensor | None = None,
        duplicates: str = "warn",
    ) -> None:
        """Initializes the metric.

        Args:
          candidates: dataset of `[batch, embedding_dim]` candidate embeddings or of
            (identifiers, embeddings), or an index layer. Without ids, the row numbers
            are the ids. An index that is approximate, or a class of your own, gives
            top-k accuracy only, and by its answers. Where None, a subclass assigns
            `_candidates` before the first update.
          ks: numbers of ranks at which top-k accuracy (the hit rate) is reported; a `k`
            above the number of candidates is always a hit.
          name: prefix of the metrics' names.
          ties: value of equal scores: `"expected"` over a random order,
            `"pessimistic"` (the positive comes last) or `"optimistic"`.
          metrics: names of additional metrics: `"mrr"`, `"ndcg_at_10"`, `"auc"` (any
            `k`); `"coverage_at_10"`, share of the candidates that are recommended to
            at least one user; `"novelty_at_10"`, mean bits of surprise of the
            recommended candidates; `"tie_rate"`, share of queries whose positive ties
            with another candidate; `"miss_rate"`, share of queries whose positive is no
            candidate at all, or hidden; `"hidden_rate"`, share of all queries whose
            positive is among their own exclusions. A `TopKCategoricalAccuracy`, as old
            scripts give it, adds its `k` to `ks`.
          exclude: `[num_queries, None]` candidate ids by query id: items that each user
            already has and will not be given. `update_state` then needs `query_ids`.
          hidden: value of a query whose positive is among its own exclusions: `"miss"`,
            because it will not be given either, or `"leave-out"` for none. The latter
            adds `"hidden_rate"` to the metrics.
          candidate_probabilities: `[num_candidates]` popularity of each candidate in
            the order of `candidates`, for novelty.
          duplicates: "warn" or "error", the consequence of ids that repeat among the
            candidates. A positive ranks by its best copy, and its other copies are no
            rivals.
        """
        super().__init__(name=name)
        self._ks = [_check_k(k) for k in ks]
        check_ties(ties)
        self._exclude = exclude
        if check_hidden(hidden) == LEAVE_OUT and "hidden_rate" not in metrics:
            metrics = [*metrics, "hidden_rate"]
        self._corpus = Corpus(duplicates=check_duplicates(duplicates))
        self._index = None
        old = [metric for metric in metrics if not isinstance(metric, str)]
        kinds = {name: parse_metric(name) for name in metrics if isinstance(name, str)}
        self._needs_ranks = tuple(name for name in kinds if name != "hidden_rate")
        if candidates is not None:
            self._take(candidates)
        names = [f"{self.name}/top_{k}_categorical_accuracy" for k in self._ks]
        names += [metric.name for metric in old]
        self._ks += [k_of_keras_metric(metric) for metric in old]
        self._top_k_metrics = [
            Mean(
                self._corpus, f"hit_rate_at_{k}", ties=ties, hidden=hidden, name=metric
            )
            for k, metric in zip(self._ks, names, strict=True)
        ]
        extras = []
        for metric, (kind, k) in kinds.items():
            own_name = f"{self.name}/{metric}"
            if kind == "coverage":
                extra = CoverageAtK(k, name=own_name)
            elif kind == "novelty":
                if candidate_probabilities is None:
                    raise ValueError("Novelty needs `candidate_probabilities`.")
                extra = NoveltyAtK(
                    self._corpus, k, candidate_probabilities, name=own_name
                )
            else:
                extra = RankMean(
                    self._corpus, metric, ties=ties, hidden=hidden, name=own_name
                )
            extras.append(extra)
        self._extra_metrics = extras  # whole: Keras tracks what is assigned

    # `_candidates` is the layer that retrieves in upstream's metric; subclasses read it
    # and assign it. Keras does not track an index, whose candidates it would write into
    # files of the model.

    def __getattr__(self, name: str) -> object:
        if name != "_candidates":
            raise AttributeError(f"{type(self).__name__} has no attribute `{name}`.")
        return self._corpus.given

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_candidates":
            self._take(value)
        else:
            super().__setattr__(name, value)

    def _take(self, candidates: tf.data.Dataset | _top_k.TopK) -> None:
        self._index = None
        if "_candidates" in self.__dict__:
            del self._candidates
        if isinstance(candidates, tf.data.Dataset):
            retriever = Retriever(self._corpus, k=max(self._ks))
            super().__setattr__("_candidates", retriever)
        if is_ranked(candidates):
            self._corpus.take(candidates)
            return
        if self._needs_ranks:
            raise ValueError(
                "`metrics` need exact ranks, which an approximate index or one with "
                f"scores of its own ({type(candidates).__name__}) does not give. Pass "
                "a dataset of candidates or a BruteForce layer. Got "
                f"{self._needs_ranks}."
            )
        self._index = self._corpus.given = candidates

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
          true_candidate_embeddings: `[batch, embedding_dim]` positives; used only where
            there are no ids.
          true_candidate_ids: `[batch]` ids of the positives. Without them the positive
            is found by its score, and one candidate with that score is taken for it.
          sample_weight: `[batch]` weights of the metrics; coverage and novelty, which
            are about all recommendations, ignore them.
          query_ids: `[batch]` integer rows of the constructor's `exclude`.
          exclude: `[batch, None]` ids of candidates that this row will not be given,
            ragged or dense, on top of the constructor's.

        Returns:
          The update op, for graph mode.

        Raises:
          ValueError: ids are needed and missing, or widths do not match.
        """
        queries = tf.cast(query_embeddings, tf.float32)
        weight = weights_of_rows(sample_weight, tf.shape(queries)[0])
        queries = tf.debugging.check_numerics(
            queries, "A query embedding is not finite: look at the query tower"
        )
        if true_candidate_ids is not None:
            true_candidate_ids = tf.reshape(true_candidate_ids, [-1])
        exclude = self._excluded(query_ids, exclude)
        if self._corpus.given is None:
            raise ValueError(
                "`candidates` was None: a subclass assigns `_candidates`, a dataset of "
                "embeddings or an index layer, before the first update."
            )
        index = self._index
        if true_candidate_ids is None and (
            exclude is not None
            or queries.shape.rank == 3
            or (index is not None and not index.is_exact())
        ):
            raise ValueError(
                "`true_candidate_ids` must be given for an approximate index, for "
                "queries with several heads and with `exclude`: without them the "
                "positive is known by its score only."
            )
        if index is not None:
            hits, hidden = hits_by_answers(
                index,
                queries,
                tf.cast(true_candidate_embeddings, tf.float32),
                true_candidate_ids,
                exclude,
                ks=self._ks,
            )
            hits += [hidden] * len(self._extra_metrics)  # `hidden_rate` at most
            means = zip(self._top_k_metrics + self._extra_metrics, hits, strict=True)
            return tf.group(
                [mean.update_values(hit, hidden, weight) for mean, hit in means]
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
                else exclude.with_values(find_copies(index, exclude.values))
            )
            if exclude is not None:
                excluded_rows = excluded_rows.merge_dims(1, 2)
            copies = find_copies(index, true_candidate_ids)
            rows, others = best_copies(queries, embeddings, copies)
            ranks = ranks_by_row(
                queries, embeddings, rows, tf.concat([excluded_rows, others], axis=1)
            )
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


def _check_k(k: int) -> int:
    return whole_number("k` of `ks", k, least=1)


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
