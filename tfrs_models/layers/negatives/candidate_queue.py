"""Candidates of earlier batches, kept as further negatives."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.ranks.lookup import id_keys
from tfrs_models.ops.replicas import gather_rows


@register
class CandidateQueue(tf.keras.layers.Layer):
    """The embeddings of the newest candidates, first in, first out.

    Embeddings change slowly once training is under way, so those of the last batches
    are nearly as good as fresh ones, and cost nothing. They get no gradient. Saved
    with the model; under a strategy all replicas share one queue.

    Reference:
      Wang et al., Cross-batch negative sampling for training two-tower recommenders,
      SIGIR 2021.
    """

    def __init__(
        self,
        capacity: int,
        embedding_dim: int,
        *,
        warmup: int = 0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          capacity: How many candidates to keep.
          embedding_dim: Their width.
          warmup: Batches for which the queue is filled but gives nothing: embeddings
            still change fast then.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if capacity < 1 or embedding_dim < 1:
            raise ValueError(
                "`capacity` and `embedding_dim` must be at least 1. Got "
                f"{capacity} and {embedding_dim}."
            )
        if warmup < 0:
            raise ValueError(f"`warmup` must not be negative. Got {warmup}.")
        self._autocast = False
        self.capacity = capacity
        self.embedding_dim = embedding_dim
        self.warmup = warmup
        self._embeddings = self._state("embeddings", (capacity, embedding_dim))
        self._probability = self._state("probability", (capacity,))
        self._keys = self._state("keys", (capacity,), "int64")
        self._num_written = self._state("num_written", (), "int64")
        self._num_batches = self._state("num_batches", (), "int64")

    def call(self, inputs: None = None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What the queue holds; nothing before the warm-up is over.

        Args:
          inputs: None; Keras wants an argument.

        Returns:
          Embeddings `[filled, embedding_dim]`, int64 keys of their ids `[filled]`
          (integers as they are, strings by a fingerprint) and sampling probabilities
          `[filled]`; 0 where none were given.
        """
        del inputs
        warm = self._num_batches >= self.warmup
        filled = tf.minimum(tf.cast(self._num_written, tf.int64), self.capacity)
        filled = tf.where(warm, filled, 0)
        return tuple(
            tf.stop_gradient(tf.convert_to_tensor(state)[:filled])
            for state in (self._embeddings, self._keys, self._probability)
        )

    def enqueue(
        self,
        embeddings: tf.Tensor,
        ids: tf.Tensor | None = None,
        probability: tf.Tensor | None = None,
    ) -> None:
        """Adds candidates and drops the oldest.

        In a replica, what all replicas add is added, once.

        Args:
          embeddings: `[num_candidates, embedding_dim]`.
          ids: `[num_candidates]` ids of any dtype.
          probability: `[num_candidates]` sampling probabilities.

        Raises:
          ValueError: embeddings of another width.
        """
        self.check_width(embeddings)
        entries = [(self._embeddings, tf.cast(embeddings, tf.float32))]
        if ids is not None:
            entries.append((self._keys, id_keys(ids)))
        if probability is not None:
            entries.append((self._probability, tf.cast(probability, tf.float32)))
        entries = [(state, gather_rows(values)) for state, values in entries]
        num_new = tf.shape(entries[0][1], tf.int64)[0]
        kept = tf.range(tf.maximum(num_new - self.capacity, 0), num_new)
        slots = (self._num_written + kept) % self.capacity
        for state, values in entries:
            state.scatter_update(tf.IndexedSlices(tf.gather(values, kept), slots))
        self._num_written.assign_add(num_new)
        self._num_batches.assign_add(1)

    def check_width(self, embeddings: tf.Tensor) -> None:
        """Raises a `ValueError` for embeddings of another width than the queue's."""
        if embeddings.shape[-1] != self.embedding_dim:
            raise ValueError(
                "The candidates of a batch must have the queue's width, "
                f"{self.embedding_dim}. Got {embeddings.shape[-1]}."
            )

    def get_config(self) -> dict:
        return super().get_config() | {
            "capacity": self.capacity,
            "embedding_dim": self.embedding_dim,
            "warmup": self.warmup,
        }

    def _state(
        self, name: str, shape: tuple[int, ...], dtype: str = "float32"
    ) -> tf.Variable:
        return self.add_weight(
            name,
            shape,
            dtype=dtype,
            initializer="zeros",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
