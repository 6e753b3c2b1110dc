"""Bags of words as vectors."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort, linear


@register
class QueryEncoder(TorchPort, tf.keras.layers.Layer):
    """`tanh(W mean + b)` of the mean of the words' vectors; no word has the mean 0.

    Only words that occur get a gradient, each once, and the vectors of a text's words
    are never held side by side.
    """

    def __init__(
        self, num_words: int, embedding_dim: int, *, output_dim: int, **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          num_words: Words are 1 to `num_words`.
          embedding_dim: Width of a word.
          output_dim: Width of a text.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.num_words = num_words
        self.embedding_dim = embedding_dim
        self.output_dim = output_dim
        with tf.name_scope(self.name):  # HDF5 files want distinct names
            self.table = self.add_weight(
                "words", (num_words + 1, embedding_dim), initializer="glorot_normal"
            )
        self._project = tf.keras.layers.Dense(
            output_dim, "tanh", kernel_initializer="glorot_normal"
        )

    def call(self, words: tf.Tensor) -> tf.Tensor:
        """Embeds texts.

        Args:
          words: `[..., length]` integers, 0 for padding, wherever it stands.

        Returns:
          `[..., output_dim]`.
        """
        shape = tf.shape(words)
        texts = tf.reshape(words, [-1, shape[-1]])
        real = tf.where(texts > 0)  # [num_real, 2], text by text
        means = tf.sparse.segment_mean(
            tf.convert_to_tensor(self.table),
            tf.gather_nd(texts, real),
            real[:, 0],
            num_segments=tf.shape(texts)[0],
            sparse_gradient=True,
        )
        means = tf.reshape(means, tf.concat([shape[:-1], [self.embedding_dim]], 0))
        return self._project(
            tf.ensure_shape(means, [*words.shape[:-1], self.embedding_dim])
        )

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """The original's table and layer.

        Args:
          arrays: The original's state dict.
        """
        return {
            "query_encoder.word_embedding.weight": TorchArray(self.table),
            **linear("query_trans", self._project, arrays),
        }

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_words": self.num_words,
            "embedding_dim": self.embedding_dim,
            "output_dim": self.output_dim,
        }
