"""A table of embeddings for ids of any kind."""

import tensorflow as tf

from tfrs_models._keras import register


@register
class HashedEmbedding(tf.keras.layers.Layer):
    """Looks ids up in a table: integers modulo its number of rows, strings by a hash.

    Needs no vocabulary. Ids that share a row share an embedding.

    Example:
      >>> layer = tm.layers.HashedEmbedding(100, 8)
      >>> layer(tf.constant(["apple", "pear", "apple"])).shape
      TensorShape([3, 8])
      >>> vectors = layer(tf.constant([7, 107, 8]))  # 7 and 107 share a row
      >>> np.array_equal(vectors[0], vectors[1]), np.array_equal(vectors[0], vectors[2])
      (True, False)
    """

    def __init__(self, num_buckets: int, embedding_dim: int, **kwargs) -> None:
        """Initializes the layer.

        Args:
          num_buckets: number of rows of the table.
          embedding_dim: width of an embedding.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_buckets < 1 or embedding_dim < 1:
            raise ValueError(
                "`num_buckets` and `embedding_dim` must be at least 1. "
                f"Got {num_buckets} and {embedding_dim}."
            )
        self.num_buckets = num_buckets
        self.embedding_dim = embedding_dim
        with tf.name_scope(self.name):  # HDF5 files want distinct names
            self.table = self.add_weight(
                "table", (num_buckets, embedding_dim), initializer="uniform"
            )

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Embeds ids.

        Args:
          ids: integers or strings of any shape.

        Returns:
          `[..., embedding_dim]`.
        """
        if ids.dtype == tf.string:
            rows = tf.strings.to_hash_bucket_fast(ids, self.num_buckets)
        else:
            rows = tf.math.floormod(tf.cast(ids, tf.int64), self.num_buckets)
        return tf.gather(self.table, rows)

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_buckets": self.num_buckets,
            "embedding_dim": self.embedding_dim,
        }
