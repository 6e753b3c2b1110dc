"""A sequence that takes in what another one of the same events says."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.multi_head_attention import MultiHeadAttention
from tfrs_models.torch_weights import (
    Arrays,
    Targets,
    TorchPort,
    transformer_layer,
    under,
)


@register
class CrossFusion(TorchPort, tf.keras.layers.Layer):
    """A decoder's block: attention to itself, to a memory, and a feed-forward layer.

    Each is added on and normalised, and no position is hidden from an earlier one.

    Reference:
      Vaswani et al., Attention is all you need, NeurIPS 2017; Shi et al., UniSAR:
      modeling user transition behaviors between search and recommendation, SIGIR 2024.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_heads: int = 2,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          embedding_dim: Width of inputs and output, and inside of the feed-forward
            layer.
          num_heads: Divides `embedding_dim`.
          dropout: Share of the attention weights, of the inside of the feed-forward
            layer and of what is added on that training drops.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.embedding_dim = embedding_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self._norms = [
            tf.keras.layers.LayerNormalization(epsilon=1e-5) for _ in range(3)
        ]
        self._own, self._other = (
            MultiHeadAttention(embedding_dim, num_heads=num_heads, dropout=dropout)
            for _ in range(2)
        )
        self._inner = tf.keras.layers.Dense(embedding_dim, "relu")
        self._outer = tf.keras.layers.Dense(embedding_dim)
        self._drop = tf.keras.layers.Dropout(dropout)

    def call(
        self,
        inputs: tf.Tensor,
        memory: tf.Tensor,
        valid: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Updates all positions.

        Args:
          inputs: `[batch, seq_len, embedding_dim]`.
          memory: `[batch, seq_len, embedding_dim]`, of the same positions.
          valid: `[batch, seq_len]` bool, False for padding, which nobody looks at.
          training: Whether to drop.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """

        def add(norm: tf.keras.layers.Layer, old: tf.Tensor, new: tf.Tensor):
            return norm(old + self._drop(new, training=training))

        mask = valid[:, None, :]
        first, second, third = self._norms
        hidden = add(first, inputs, self._own(inputs, mask, training=training))
        seen = self._other(hidden, mask, memory, training=training)
        hidden = add(second, hidden, seen)
        inner = self._drop(self._inner(hidden), training=training)
        return add(third, hidden, self._outer(inner))

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Those of a `torch.nn.TransformerDecoderLayer`.

        Args:
          arrays: The original's state dict.
        """
        targets = under("self_attn", self._own, arrays)
        targets |= under("multihead_attn", self._other, arrays)
        feed_forward = (self._inner, self._outer)
        return targets | transformer_layer(
            feed_forward, self._norms, self.embedding_dim, arrays
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }
