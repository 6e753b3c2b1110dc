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
    keep_precision,
)
from tfrs_models.layers.index.hooks import search_then_exclude
from tfrs_models.ops.features.checks import check_width
from tfrs_models.types import Features, Tensor


@register
class Streaming(FromConfig, tfrs.layers.factorized_top_k.Streaming):
    """Scores the candidates of a dataset at every call and returns the `k` best.

    A drop-in for `tfrs.layers.factorized_top_k.Streaming` with exact exclusions, checks
    and a config. The dataset is not part of the config: call `index_from_dataset` again
    after loading.

    Example:
      >>> items = tf.data.Dataset.from_tensor_slices((["a", "b", "c"], np.eye(3)))
      >>> index = tm.layers.Streaming(k=2).index_from_dataset(items.batch(2))
      >>> query = tf.constant([[3.0, 1.0, 2.0]])
      >>> index(query)[1].numpy()
      array([[b'a', b'c']], dtype=object)
      >>> index(query, exclusions=[["a"]])[1].numpy()
      array([[b'c', b'b']], dtype=object)
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
          query_model: model from raw features to query embeddings; None if the layer
            is called with embeddings.
          k: number of candidates to return if `call` is given none.
          *args: arguments of `tfrs.layers.factorized_top_k.Streaming`.
          duplicates: "warn" for one warning that counts repeated ids, "error" for a
            `ValueError`. `index_from_dataset` counts them.
          **kwargs: arguments of `tfrs.layers.factorized_top_k.Streaming`.
        """
        super().__init__(query_model, check_k(k, None), *args, **kwargs)
        keep_precision(self)
        self._duplicates = check_duplicates(duplicates)
        self._num_copies = 1

    def index_from_dataset(self, candidates: tf.data.Dataset) -> "Streaming":
        """Indexes the candidates of a dataset, and drops all earlier ones.

        Args:
          candidates: batches of embeddings or of (identifiers, embeddings).

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
        """Finds the best candidates of each query.

        Args:
          queries: `[batch, embedding_dim]` or `[embedding_dim]` embeddings, or the
            input of `query_model`.
          k: number of candidates to return; the constructor's `k` if None.
          exclusions: `[batch, None]` ids, dense or ragged, that a query must not be
            answered with; repeats and unknown ids are harmless.

        Returns:
          Scores and identifiers `[batch, k]`, best first; fewer columns if there are
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
        """Finds the best candidates of each query that are not excluded for it.

        Args:
          queries: `[batch, embedding_dim]` or `[embedding_dim]` embeddings, or the
            input of `query_model`.
          exclusions: `[batch, None]` ids, dense or ragged, that a query must not be
            answered with; repeats and unknown ids are harmless.
          k: number of candidates to return; the constructor's `k` if None.

        Returns:
          Scores and identifiers `[batch, k]`, best first. A position without a
          candidate has the score `-inf` and the id -1, or "" for strings.
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
        """Finds scores and identifiers of the best candidates of all batches."""
        has_ids = isinstance(self._candidates.element_spec, tuple)
        dtype = self._candidates.element_spec[0].dtype if has_ids else tf.int64

        def best_of_batch(*element: tf.Tensor) -> tuple[tf.Tensor, ...]:
            embeddings = element[-1]
            scores = self._compute_score(queries, embeddings)
            scores, rows = _top_k(scores, k)
            ids = tf.gather(element[0], rows) if has_ids else tf.cast(rows, dtype)
            return tf.shape(embeddings, tf.int64)[0], scores, ids

        def best_so_far(
            best: tuple[tf.Tensor, ...], batch: tuple[tf.Tensor, ...]
        ) -> tuple[tf.Tensor, ...]:
            (start, scores, ids), (size, more_scores, more_ids) = best, batch
            more_ids = more_ids if has_ids else more_ids + start
            scores, columns = _top_k(tf.concat([scores, more_scores], axis=1), k)
            ids = tf.gather(tf.concat([ids, more_ids], axis=1), columns, batch_dims=1)
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
    scores, columns = tf.math.top_k(scores, k=tf.minimum(k, tf.shape(scores)[1]))
    return scores, columns


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
