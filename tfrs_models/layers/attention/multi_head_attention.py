"""Attention of several heads, to the own sequence or to another one."""

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.masks import masked_softmax
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort, linear


@register
class MultiHeadAttention(TorchPort, tf.keras.layers.Layer):
    """Scaled dot-product attention; a position that may see nothing gets nothing.

    Keras's own layer spreads such a position evenly over what it may not see.

    Reference:
      Vaswani et al., Attention is all you need, NeurIPS 2017.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_heads: int = 1,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          embedding_dim: Width of inputs and output.
          num_heads: Divides `embedding_dim`.
          dropout: Share of the attention weights that training drops.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_heads < 1 or embedding_dim % num_heads:
            raise ValueError(
                "`num_heads` must be at least 1 and divide `embedding_dim`. Got "
                f"{num_heads} heads for a width of {embedding_dim}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        self.embedding_dim = embedding_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self._project = tf.keras.layers.Dense(3 * embedding_dim)
        self._merge = tf.keras.layers.Dense(embedding_dim)
        self._drop = tf.keras.layers.Dropout(dropout)

    def build(self, input_shape: tf.TensorShape) -> None:
        for layer in (self._project, self._merge):
            with tf.name_scope(layer.name):  # HDF5 files want distinct names
                layer.build((None, self.embedding_dim))
        super().build(input_shape)

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor,
        memory: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Lets every position look at others.

        Args:
          inputs: `[batch, seq_len, embedding_dim]`.
          mask: `[batch, seq_len, memory_len]` bool, or what broadcasts to it: True
            where the position of the row may look at the position of the column.
          memory: `[batch, memory_len, embedding_dim]`; the inputs where None.
          training: Whether to drop.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """
        query, key, value = self._heads(inputs, memory)
        weights = self._attend(query, key, mask)
        weights = self._drop(tf.cast(weights, value.dtype), training=training)
        seen = tf.matmul(weights, value)  # [batch, num_heads, seq_len, width]
        seen = tf.transpose(seen, [0, 2, 1, 3])
        batch, seq_len = tf.unstack(tf.shape(seen)[:2])
        return self._merge(tf.reshape(seen, [batch, seq_len, self.embedding_dim]))

    def weights_of(
        self, inputs: tf.Tensor, mask: tf.Tensor, memory: tf.Tensor | None = None
    ) -> tf.Tensor:
        """How much every position looks at every other.

        Args:
          inputs: As for `call`, like the others.
          mask: See there.
          memory: See there.

        Returns:
          `[batch, num_heads, seq_len, memory_len]`, rows sum to 1, or to 0.
        """
        query, key, _ = self._heads(inputs, memory)
        return self._attend(query, key, mask)

    def _heads(self, inputs: tf.Tensor, memory: tf.Tensor | None) -> list[tf.Tensor]:
        """Query, key and value, `[batch, num_heads, length, width]` each."""
        if memory is None:
            parts = tf.split(self._project(inputs), 3, axis=-1)
        else:
            # One kernel for all three: each input meets its own columns only.
            dim, dtype = self.embedding_dim, self.compute_dtype
            memory = tf.cast(memory, dtype)
            kernel = tf.cast(self._project.kernel, dtype)
            bias = tf.cast(self._project.bias, dtype)
            query = tf.matmul(inputs, kernel[:, :dim]) + bias[:dim]
            pair = tf.matmul(memory, kernel[:, dim:]) + bias[dim:]
            parts = [query, *tf.split(pair, 2, axis=-1)]
        width = self.embedding_dim // self.num_heads
        heads = []
        for part in parts:
            batch, length = tf.unstack(tf.shape(part)[:2])
            part = tf.reshape(part, [batch, length, self.num_heads, width])
            heads.append(tf.transpose(part, [0, 2, 1, 3]))
        return heads

    def _attend(self, query: tf.Tensor, key: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        width = self.embedding_dim // self.num_heads
        scores = tf.matmul(query, key, transpose_b=True) / width**0.5
        return masked_softmax(scores, mask[:, None])

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Those of a `torch.nn.MultiheadAttention`.

        Args:
          arrays: The original's state dict.
        """
        if not self.built:
            self.build((None, None, self.embedding_dim))
        return {
            "in_proj_weight": TorchArray(self._project.kernel, np.transpose),
            "in_proj_bias": TorchArray(self._project.bias),
            **linear("out_proj", self._merge, arrays),
        }

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }
