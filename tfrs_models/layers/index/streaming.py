"""Exact retrieval from a dataset of candidates that is never held in memory."""

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import FromConfig, register
from tfrs_models.layers.index.checks import EMPTY, check_k, check_queries
from tfrs_models.layers.index.exclusions import keep_allowed
from tfrs_models.types import Features, Tensor


@register
class Streaming(FromConfig, tfrs.layers.factorized_top_k.Streaming):
    """Runs through a dataset of candidates at every call and keeps the `k` best.

    `tfrs.layers.factorized_top_k.Streaming` with exact exclusions and a config. The
    dataset is not part of the layer's config: call `index_from_dataset` again after
    loading.
    """

    def __init__(
        self, query_model: tf.keras.Model | None = None, k: int = 10, **kwargs
    ):
        """Initializes the layer.

        Args:
          query_model: Maps raw features to query embeddings; None where the layer is
            given embeddings.
          k: How many candidates to return where `call` does not say.
          **kwargs: Of `tfrs.layers.factorized_top_k.Streaming`.
        """
        super().__init__(query_model, check_k(k, None), **kwargs)

    def index_from_dataset(self, candidates: tf.data.Dataset) -> "Streaming":
        """Takes the candidates; what was indexed before is dropped.

        Args:
          candidates: Batches of embeddings or of (identifiers, embeddings).
        """
        super().index_from_dataset(candidates)
        has_ids = isinstance(candidates.element_spec, tuple)
        self._candidates = candidates.map(_float_with_ids if has_ids else _float)
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
          queries: `[batch, embedding_dim]` embeddings, or what `query_model` takes.
          k: How many; the constructor's `k` where None.
          exclusions: As of `query_with_exclusions`.

        Returns:
          Scores and identifiers `[batch, k]`, best first; fewer columns where there are
          fewer candidates.
        """
        if exclusions is not None:
            return self.query_with_exclusions(queries, exclusions, k=k)
        if self._candidates is None:
            raise ValueError(EMPTY)
        k = check_k(self._k if k is None else k, None)
        if self.query_model is None:
            embeddings = tf.nest.flatten(self._candidates.element_spec)[-1]
            queries = check_queries(tf.cast(queries, tf.float32), embeddings.shape[-1])
        return super().call(queries, k=k)

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
        k = check_k(self._k if k is None else k, None)
        widest = (
            exclusions.bounding_shape(axis=1, out_type=tf.int32)
            if isinstance(exclusions, tf.RaggedTensor)
            else tf.shape(exclusions)[1]
        )
        scores, identifiers = self(queries, k=k + widest)
        return keep_allowed(scores, identifiers, exclusions, k=k)

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
        }


def _float(embeddings: tf.Tensor) -> tf.Tensor:
    return tf.cast(embeddings, tf.float32)


def _float_with_ids(
    identifiers: tf.Tensor, embeddings: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    return identifiers, _float(embeddings)
