"""Exact retrieval that scores every candidate."""

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import FromConfig, register
from tfrs_models.layers.index.checks import (
    EMPTY,
    check_candidates,
    check_k,
    check_queries,
)
from tfrs_models.layers.index.exclusions import blank_missing
from tfrs_models.ops.lookup import IdIndex, find_rows, index_ids
from tfrs_models.types import Features, Tensor


@register
class BruteForce(FromConfig, tfrs.layers.factorized_top_k.TopK):
    """Scores every candidate and returns the `k` best.

    A drop-in for `tfrs.layers.factorized_top_k.BruteForce`. Exclusions are exact at any
    score magnitude, may be ragged and may leave fewer than `k` candidates.
    """

    def __init__(
        self,
        query_model: tf.keras.Model | None = None,
        k: int = 10,
        name: str | None = None,
    ) -> None:
        """Initializes the layer.

        Args:
          query_model: Maps raw features to query embeddings; None where the layer is
            given embeddings.
          k: How many candidates to return where `call` does not say.
          name: Of the layer.
        """
        super().__init__(k=check_k(k, None), name=name)
        self.query_model = query_model
        self._candidates = self._layout = None

    def index(
        self, candidates: tf.Tensor, identifiers: tf.Tensor | None = None
    ) -> "BruteForce":
        """Takes the candidates; what was indexed before is dropped.

        Args:
          candidates: `[num_candidates, embedding_dim]`.
          identifiers: `[num_candidates]` unique ids of any dtype; the row numbers where
            None.

        Raises:
          ValueError: shapes do not match, an id repeats, an embedding is not finite.
        """
        candidates = tf.convert_to_tensor(candidates)
        if identifiers is None:
            identifiers = tf.range(candidates.shape[0])
        identifiers = tf.convert_to_tensor(identifiers)
        check_candidates(candidates, identifiers)
        self._create(*candidates.shape, identifiers.dtype.name, candidates.dtype.name)
        self._candidates.assign(candidates)
        keys, rows, _ = index_ids(identifiers)
        self._identifiers.assign(identifiers)
        self._keys.assign(keys)
        self._rows.assign(rows)
        self._reset_tf_function_cache()
        return self

    def call(
        self, queries: tf.Tensor | Features, k: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query.

        Args:
          queries: `[batch, embedding_dim]` embeddings, or what `query_model` takes.
          k: How many; the constructor's `k` where None.

        Returns:
          Scores and identifiers `[batch, k]`, best first.

        Raises:
          ValueError: nothing is indexed, or `k` is above the number of candidates.
        """
        scores, rows = tf.math.top_k(self._scores(queries), k=self._checked(k))
        return scores, tf.gather(self._identifiers, rows)

    @tf.function
    def query_with_exclusions(
        self,
        queries: tf.Tensor | Features,
        exclusions: Tensor,
        k: int | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query that are not excluded for it.

        Args:
          queries: As in `call`.
          exclusions: `[batch, None]` ids, dense or ragged; unknown ids are ignored.
          k: As in `call`.

        Returns:
          Scores and identifiers `[batch, k]`. A place for which no candidate is left
          has the score `-inf` and the id -1, or "" for strings.
        """
        k = self._checked(k)
        self(queries, k=k)  # Keras saves only what was called; the graph prunes it
        scores = self._scores(queries)
        if not isinstance(exclusions, tf.RaggedTensor):
            exclusions = tf.RaggedTensor.from_tensor(exclusions)
        index = IdIndex(self._keys, self._rows, self._identifiers)
        rows = find_rows(index, exclusions.values)
        owners = tf.cast(exclusions.value_rowids(), tf.int32)
        pairs = tf.boolean_mask(tf.stack([owners, rows], axis=1), rows >= 0)
        excluded = tf.fill(
            tf.shape(pairs)[:1], tf.constant(-float("inf"), scores.dtype)
        )
        scores = tf.tensor_scatter_nd_update(scores, pairs, excluded)
        scores, rows = tf.math.top_k(scores, k=k)
        return blank_missing(scores, tf.gather(self._identifiers, rows))

    def similar(
        self, identifiers: tf.Tensor, k: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The candidates that are most like given ones, by the same product.

        Args:
          identifiers: `[batch]` ids of candidates.
          k: As in `call`.

        Returns:
          Scores and identifiers `[batch, k]`, without the candidate itself. All places
          of an id that is not indexed are blank, as those for which no candidate is
          left: score `-inf` and id -1, or "" for strings.
        """
        if self._candidates is None:
            raise ValueError(EMPTY)
        k = self._checked(k)
        identifiers = tf.convert_to_tensor(identifiers)
        rows = find_rows(
            IdIndex(self._keys, self._rows, self._identifiers), identifiers
        )
        known = rows >= 0
        embeddings = tf.gather(self._candidates, tf.maximum(rows, 0))
        scores = self._compute_score(embeddings, self._candidates)
        places = tf.stack([tf.range(tf.size(rows)), tf.maximum(rows, 0)], axis=1)
        blank = tf.fill(tf.shape(rows), tf.constant(-float("inf"), scores.dtype))
        scores = tf.tensor_scatter_nd_update(scores, places, blank)
        scores = tf.where(known[:, None], scores, -float("inf"))
        scores, best = tf.math.top_k(scores, k=k)
        return blank_missing(scores, tf.gather(self._identifiers, best))

    def is_exact(self) -> bool:
        return True

    def get_config(self) -> dict:
        query_model = self.query_model
        if query_model is not None:
            query_model = tf.keras.utils.serialize_keras_object(query_model)
        config = {"query_model": query_model, "k": self._k, "name": self.name}
        if self._layout is not None:
            config["indexed"] = self._layout
        return config

    @classmethod
    def from_config(cls, config: dict) -> "BruteForce":
        indexed = config.get("indexed")
        layer = super().from_config({k: v for k, v in config.items() if k != "indexed"})
        if indexed is not None:
            layer._create(*indexed)  # a checkpoint or SavedModel fills it
        return layer

    def _create(
        self, num_candidates: int, embedding_dim: int, id_dtype: str, dtype: str
    ) -> None:
        layout = [num_candidates, embedding_dim, id_dtype, dtype]
        if layout == self._layout:
            return  # graphs that were traced with these variables see the new values
        self._layout = layout
        id_dtype = tf.as_dtype(id_dtype)
        blank = tf.constant_initializer("" if id_dtype == tf.string else 0)

        def weight(name: str, shape: tuple[int, ...], dtype: tf.DType, init: object):
            return self.add_weight(
                name=name, shape=shape, dtype=dtype, initializer=init, trainable=False
            )

        column = (num_candidates,)
        self._candidates = weight(
            "candidates", (num_candidates, embedding_dim), dtype, "zeros"
        )
        self._identifiers = weight("identifiers", column, id_dtype, blank)
        self._keys = weight("keys", column, tf.int64, "zeros")
        self._rows = weight("rows", column, tf.int32, "zeros")

    def _scores(self, queries: tf.Tensor | Features) -> tf.Tensor:
        if self._candidates is None:
            raise ValueError(EMPTY)
        if self.query_model is not None:
            queries = self.query_model(queries)
        queries = tf.cast(queries, self._candidates.dtype)
        check_queries(queries, self._candidates.shape[1])
        return self._compute_score(queries, self._candidates)

    def _checked(self, k: int | None) -> int:
        size = None if self._candidates is None else self._candidates.shape[0]
        return check_k(self._k if k is None else k, size)
