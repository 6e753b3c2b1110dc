"""Approximate retrieval with ScaNN."""

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import FromConfig, register
from tfrs_models.layers.index.checks import (
    EMPTY,
    check_candidates,
    check_k,
    check_queries,
)
from tfrs_models.layers.index.exclusions import (
    dense_exclusions,
    keep_allowed,
    pad_places,
)
from tfrs_models.types import Features, Tensor


@register
class ScaNN(FromConfig, tfrs.layers.factorized_top_k.ScaNN):
    """An approximate index: far faster than brute force on a large corpus.

    `tfrs.layers.factorized_top_k.ScaNN` with checked candidates, exact exclusions and a
    config. It needs the `scann` package (Linux); a SavedModel of it loads only where
    ScaNN's ops are loaded first, so not in stock TensorFlow Serving.

    Reference:
      Guo et al., Accelerating large-scale inference with anisotropic vector
      quantization, ICML 2020.
    """

    def __init__(
        self,
        query_model: tf.keras.Model | None = None,
        k: int = 10,
        distance_measure: str = "dot_product",
        num_leaves: int = 100,
        num_leaves_to_search: int = 10,
        training_iterations: int = 12,
        dimensions_per_block: int = 2,
        num_reordering_candidates: int | None = None,
        parallelize_batch_searches: bool = True,
        name: str | None = None,
    ) -> None:
        """Initializes the layer.

        Args:
          query_model: Maps raw features to query embeddings; None where the layer is
            given embeddings.
          k: How many candidates to return where `call` does not say.
          distance_measure: `"dot_product"` or `"squared_l2"`.
          num_leaves: Partitions of the corpus.
          num_leaves_to_search: Partitions that a query looks into.
          training_iterations: Of the partitioning.
          dimensions_per_block: Width of a quantised block; wider is smaller, faster and
            less exact.
          num_reordering_candidates: How many of the best to score again exactly; None
            for none, which keeps no exact embeddings.
          parallelize_batch_searches: Whether a batch is searched by several threads.
          name: Of the layer.

        Raises:
          ImportError: the `scann` package is not installed.
        """
        self._settings = {
            "k": check_k(k, None),
            "distance_measure": distance_measure,
            "num_leaves": num_leaves,
            "num_leaves_to_search": num_leaves_to_search,
            "training_iterations": training_iterations,
            "dimensions_per_block": dimensions_per_block,
            "num_reordering_candidates": num_reordering_candidates,
            "parallelize_batch_searches": parallelize_batch_searches,
        }
        super().__init__(query_model=query_model, name=name, **self._settings)
        self._num_candidates = self._width = None

    def index(
        self, candidates: tf.Tensor, identifiers: tf.Tensor | None = None
    ) -> "ScaNN":
        """Trains the partitions and the quantiser; what was indexed is dropped.

        Args:
          candidates: `[num_candidates, embedding_dim]`.
          identifiers: `[num_candidates]` unique ids of any dtype; the row numbers where
            None.

        Raises:
          ValueError: shapes do not match, an id repeats, an embedding is not finite.
        """
        candidates = tf.cast(candidates, tf.float32)
        if identifiers is not None:
            identifiers = tf.convert_to_tensor(identifiers)
        check_candidates(candidates, identifiers)
        self._identifiers = None
        super().index(candidates, identifiers)
        self._num_candidates, self._width = candidates.shape
        return self

    def call(
        self, queries: tf.Tensor | Features, k: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query, approximately.

        Args:
          queries: `[batch, embedding_dim]` or `[embedding_dim]` embeddings, or what
            `query_model` takes.
          k: How many; the constructor's `k` where None.

        Returns:
          Scores and identifiers `[batch, k]`, best first. Where the searched partitions
          hold fewer than `k` candidates, the score is `-inf` and the id -1, or "".
        """
        if self._num_candidates is None:
            raise ValueError(EMPTY)
        k = check_k(self._k if k is None else k, self._num_candidates)
        if self.query_model is None:
            queries = check_queries(tf.cast(queries, tf.float32), self._width)
        scores, identifiers = super().call(queries, k=k)
        scores = tf.where(tf.math.is_nan(scores), -float("inf"), scores)
        return pad_places(scores, identifiers, k=k)

    @tf.function
    def query_with_exclusions(
        self,
        queries: tf.Tensor | Features,
        exclusions: Tensor,
        k: int | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query that are not excluded for it.

        Retrieves `k` plus as many as the longest row of exclusions, then filters.

        Args:
          queries: As in `call`.
          exclusions: `[batch, None]` ids, dense or ragged.
          k: As in `call`.

        Returns:
          Scores and identifiers `[batch, k]`, missing places as in `call`.
        """
        if self._num_candidates is None:
            raise ValueError(EMPTY)
        k = check_k(self._k if k is None else k, self._num_candidates)
        dtype = tf.int32 if self._identifiers is None else self._identifiers.dtype
        excluded, _ = dense_exclusions(exclusions, dtype)
        widest = (
            tf.shape(excluded)[1] if excluded.shape[1] is None else excluded.shape[1]
        )
        fetched = tf.minimum(k + widest, self._num_candidates)
        scores, identifiers = self(queries, k=fetched)
        return pad_places(*keep_allowed(scores, identifiers, exclusions, k=k), k=k)

    @property
    def num_candidates(self) -> int | None:
        """How many candidates are indexed; None before `index`."""
        return self._num_candidates

    def get_config(self) -> dict:
        query_model = self.query_model
        if query_model is not None:
            query_model = tf.keras.utils.serialize_keras_object(query_model)
        return self._settings | {
            "query_model": query_model,
            "name": self.name,
            "indexed": self._num_candidates is not None,
        }

    @classmethod
    def from_config(cls, config: dict) -> "ScaNN":
        if config.get("indexed"):
            raise ValueError(
                "A built ScaNN index cannot be made from its config: its partitions "
                "are trained. Load its SavedModel, or index the candidates anew."
            )
        return super().from_config({k: v for k, v in config.items() if k != "indexed"})
