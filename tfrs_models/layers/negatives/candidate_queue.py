"""Candidates of earlier batches as additional negatives."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.ranks.lookup import id_keys
from tfrs_models.ops.replicas import gather_rows


@register
class CandidateQueue(tf.keras.layers.Layer):
    """Stores the embeddings of the newest candidates, first in, first out.

    Embeddings change slowly after the first steps of training, so those of the last
    batches are nearly as good as fresh ones, and cost nothing. They get no gradient.
    The queue is saved with the model; under a strategy all replicas share one queue.

    Example:
      >>> queue = tm.layers.CandidateQueue(capacity=3, embedding_dim=2)
      >>> queue.enqueue(tf.ones([2, 2]), tf.constant([10, 11]))
      >>> queue.enqueue(tf.zeros([2, 2]), tf.constant([12, 13]))  # 10 is dropped
      >>> embeddings, ids, probability = queue(None)
      >>> sorted(ids.numpy().tolist()), embeddings.shape
      ([11, 12, 13], TensorShape([3, 2]))

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
          capacity: number of candidates that the queue holds.
          embedding_dim: width of an embedding.
          warmup: number of first batches after each of which the queue still returns
            nothing, because embeddings change fast in the beginning.
          **kwargs: arguments of `tf.keras.layers.Layer`.
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
        """Returns the candidates in the queue, none before the warm-up is over.

        Args:
          inputs: None; Keras needs an argument.

        Returns:
          Embeddings `[filled, embedding_dim]`, int64 keys of their ids `[filled]`
          (integers as they are, strings by a fingerprint) and sampling probabilities
          `[filled]`, 0 for candidates that were added without one.
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

        Under a strategy, the candidates of all replicas are added, once.

        Args:
          embeddings: `[num_candidates, embedding_dim]` embeddings.
          ids: `[num_candidates]` ids of any dtype.
          probability: `[num_candidates]` sampling probabilities; None for 0.

        Raises:
          ValueError: embeddings of another width.
        """
        self.check_width(embeddings)
        entries = [(self._embeddings, tf.cast(embeddings, tf.float32))]
        if ids is not None:
            entries.append((self._keys, id_keys(ids)))
        if probability is None:  # its slots had those of the candidates before
            probability = tf.zeros(tf.shape(embeddings)[:1])
        entries.append((self._probability, tf.cast(probability, tf.float32)))
        entries = [(state, gather_rows(values)) for state, values in entries]
        num_new = tf.shape(entries[0][1], tf.int64)[0]
        newest = tf.range(tf.maximum(num_new - self.capacity, 0), num_new)
        slots = (self._num_written + newest) % self.capacity
        for state, values in entries:
            state.scatter_update(tf.IndexedSlices(tf.gather(values, newest), slots))
        self._num_written.assign_add(num_new)
        self._num_batches.assign_add(1)

    def check_width(self, embeddings: tf.Tensor) -> None:
        """Raises a `ValueError` if embeddings have not the width of the queue.

        Args:
          embeddings: `[num_candidates, embedding_dim]` embeddings.
        """
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
