"""Exact retrieval from a dataset of candidates that is never held in memory."""

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import FromConfig, register
from tfrs_models.layers.index.checks import (
    EMPTY,
    check_duplicates,
    check_k,
    check_queries,
    copies_of_dataset,
    finite_queries,
)
from tfrs_models.layers.index.hooks import search_then_exclude
from tfrs_models.layers.index.precision import keep_precision
from tfrs_models.ops.features.checks import check_width
from tfrs_models.types import Features, Tensor


@register
class Streaming(FromConfig, tfrs.layers.factorized_top_k.Streaming):
    """Runs through a dataset of candidates at every call and keeps the `k` best.

    A drop-in for `tfrs.layers.factorized_top_k.Streaming` with exact exclusions, checks
    and a config. The dataset is not part of the config: call `index_from_dataset` again
    after loading.
    """

    def __init__(
        self,
        query_model: tf.keras.Model | None = None,
        k: int = 10,
        *args,
        duplicates: str = "warn",
        **kwargs,
    ):
        """Initializes the layer.

        Args:
          query_model: Maps raw features to query embeddings; None where the layer is
            given embeddings.
          k: How many candidates to return where `call` does not say.
          *args: Of `tfrs.layers.factorized_top_k.Streaming`.
          duplicates: "warn" for one warning that counts repeated ids, "error" for a
            `ValueError`. `index_from_dataset` counts them.
          **kwargs: Of `tfrs.layers.factorized_top_k.Streaming`.
        """
        super().__init__(query_model, check_k(k, None), *args, **kwargs)
        keep_precision(self)
        self._duplicates = check_duplicates(duplicates)
        self._num_copies = 1

    def index_from_dataset(self, candidates: tf.data.Dataset) -> "Streaming":
        """Takes the candidates; what was indexed before is dropped.

        Args:
          candidates: Batches of embeddings or of (identifiers, embeddings).

        Raises:
          ValueError: an id repeats with `duplicates="error"`, or the width is 0.
        """
        embeddings = tf.nest.flatten(candidates.element_spec)[-1]
        if embeddings.shape.rank:
            check_width(embeddings.shape[-1], "candidates")
        super().index_from_dataset(candidates)
        self._num_copies = copies_of_dataset(candidates, self._duplicates)
        has_ids = isinstance(candidates.element_spec, tuple)
        self._candidates = candidates.map(_checked_with_ids if has_ids else _checked)
        self._reset_tf_function_cache()
        return self

    def call(
        self,
        queries: tf.Tensor | Features,
        k: int | None = None,
        *,
        exclusions: Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query.

        Args:
          queries: `[batch, embedding_dim]` or `[embedding_dim]` embeddings, or what
            `query_model` takes.
          k: How many; the constructor's `k` where None.
          exclusions: As of `query_with_exclusions`.

        Returns:
          Scores and identifiers `[batch, k]`, best first; fewer columns where there are
          fewer candidates.

        Raises:
          ValueError: nothing is indexed.
          InvalidArgumentError: a query or a candidate is not finite.
        """
        if exclusions is not None:
            return self.query_with_exclusions(queries, exclusions, k=k)
        if self._candidates is None:
            raise ValueError(EMPTY)
        k = check_k(self._k if k is None else k, None)
        if self.query_model is not None:
            queries = self.query_model(queries)
        embeddings = tf.nest.flatten(self._candidates.element_spec)[-1]
        queries = check_queries(tf.cast(queries, tf.float32), embeddings.shape[-1])
        if queries.shape.rank == 1:
            scores, identifiers = self._search(finite_queries(queries[None]), k)
            return scores[0], identifiers[0]
        return self._search(finite_queries(queries), k)

    @tf.function
    def query_with_exclusions(
        self,
        queries: tf.Tensor | Features,
        exclusions: Tensor,
        k: int | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query that are not excluded for it.

        Args:
          queries: Embeddings or what `query_model` takes.
          exclusions: `[batch, None]` ids, dense or ragged.
          k: How many; the constructor's `k` where None.

        Returns:
          Scores and identifiers `[batch, k]`. A place for which no candidate is left
          has the score `-inf` and the id -1, or "" for strings.
        """
        return search_then_exclude(
            self,
            queries,
            exclusions,
            k=check_k(self._k if k is None else k, None),
            num_candidates=None,
            num_copies=self._num_copies,
        )

    def _search(
        self, queries: tf.Tensor, k: int | tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and identifiers of the best of all batches."""
        has_ids = isinstance(self._candidates.element_spec, tuple)
        dtype = self._candidates.element_spec[0].dtype if has_ids else tf.int64

        def best_of_batch(*element: tf.Tensor) -> tuple[tf.Tensor, ...]:
            embeddings = element[-1]
            scores = self._compute_score(queries, embeddings)
            scores, places = _top_k(scores, k)
            ids = tf.gather(element[0], places) if has_ids else tf.cast(places, dtype)
            return tf.shape(embeddings, tf.int64)[0], scores, ids

        def best_so_far(
            best: tuple[tf.Tensor, ...], batch: tuple[tf.Tensor, ...]
        ) -> tuple[tf.Tensor, ...]:
            (start, scores, ids), (size, more_scores, more_ids) = best, batch
            more_ids = more_ids if has_ids else more_ids + start
            scores, places = _top_k(tf.concat([scores, more_scores], axis=1), k)
            ids = tf.gather(tf.concat([ids, more_ids], axis=1), places, batch_dims=1)
            return start + size, scores, ids

        nothing = [tf.shape(queries)[0], 0]
        blank = tf.constant("" if dtype == tf.string else 0)
        start = tf.constant(0, tf.int64)
        best = (start, tf.zeros(nothing), tf.fill(nothing, tf.cast(blank, dtype)))
        batches = self._candidates.map(
            best_of_batch, num_parallel_calls=self._num_parallel_calls
        )
        _, scores, identifiers = batches.reduce(best, best_so_far)
        return scores, identifiers

    def get_config(self) -> dict:
        query_model = self.query_model
        if query_model is not None:
            query_model = tf.keras.utils.serialize_keras_object(query_model)
        return {
            "query_model": query_model,
            "k": self._k,
            "handle_incomplete_batches": self._handle_incomplete_batches,
            "num_parallel_calls": self._num_parallel_calls,
            "sorted_order": self._sorted,
            "duplicates": self._duplicates,
        }


def _top_k(scores: tf.Tensor, k: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    scores, places = tf.math.top_k(scores, k=tf.minimum(k, tf.shape(scores)[1]))
    return scores, places


def _checked(embeddings: tf.Tensor) -> tf.Tensor:
    return tf.debugging.check_numerics(
        tf.cast(embeddings, tf.float32),
        "`candidates` must be finite: a NaN or infinite embedding has no rank. Look at "
        "the items' features",
    )


def _checked_with_ids(
    identifiers: tf.Tensor, embeddings: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    return identifiers, _checked(embeddings)
