"""A block of a transformer."""

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
class TransformerBlock(TorchPort, tf.keras.layers.Layer):
    """Self-attention and a feed-forward layer, each normalised and added on.

    `h = x + attention(norm(x))`, `y = h + dense(relu(dense(norm(h))))`; or, with the
    norm last, `h = norm(x + attention(x))`, `y = norm(h + dense(relu(dense(h))))`.

    Reference:
      Vaswani et al., Attention is all you need, NeurIPS 2017 (norm last); Xiong et al.,
      On layer normalization in the transformer architecture, ICML 2020 (norm first).
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_heads: int = 1,
        hidden_units: int | None = None,
        dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        norm_first: bool = True,
        epsilon: float = 1e-3,
        **kwargs,
    ) -> None:
        """Initializes the block.

        Args:
          embedding_dim: Width of input and output.
          num_heads: Of the attention; divides `embedding_dim`.
          hidden_units: Width inside of the feed-forward layer; `embedding_dim` where
            None.
          dropout: Share of what both parts would add that training drops, and of the
            attention weights.
          hidden_dropout: Share inside of the feed-forward layer that training drops.
          norm_first: Whether the parts read what is normalised, or their sums are.
          epsilon: Of the norms.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.embedding_dim = embedding_dim
        self.num_heads = num_heads
        self.hidden_units = hidden_units or embedding_dim
        self.dropout = dropout
        self.hidden_dropout = hidden_dropout
        self.norm_first = norm_first
        self.epsilon = epsilon
        self._norms = [
            tf.keras.layers.LayerNormalization(epsilon=epsilon) for _ in range(2)
        ]
        self._attention = MultiHeadAttention(
            embedding_dim, num_heads=num_heads, dropout=dropout
        )
        self._inner = tf.keras.layers.Dense(self.hidden_units, "relu")
        self._outer = tf.keras.layers.Dense(embedding_dim)
        self._drop = tf.keras.layers.Dropout(dropout)
        self._drop_inside = tf.keras.layers.Dropout(hidden_dropout)

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Updates all positions.

        Args:
          inputs: `[batch, seq_len, embedding_dim]`.
          mask: `[batch, seq_len, seq_len]` bool, True where the position of the row may
            look at the position of the column; a position that may look at none gets
            nothing from the attention.
          training: Whether to drop.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """

        def attended(values: tf.Tensor) -> tf.Tensor:
            seen = self._attention(values, mask, training=training)
            return self._drop(seen, training=training)

        def fed_forward(values: tf.Tensor) -> tf.Tensor:
            hidden = self._drop_inside(self._inner(values), training=training)
            return self._drop(self._outer(hidden), training=training)

        first, second = self._norms
        if self.norm_first:
            hidden = inputs + attended(first(inputs))
            return hidden + fed_forward(second(hidden))
        hidden = first(inputs + attended(inputs))
        return second(hidden + fed_forward(hidden))

    def weights_of(self, inputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """How much every position looks at every other.

        Args:
          inputs: As for `call`.
          mask: As for `call`.

        Returns:
          `[batch, num_heads, seq_len, seq_len]`.
        """
        inputs = self._norms[0](inputs) if self.norm_first else inputs
        return self._attention.weights_of(inputs, mask)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Those of a `torch.nn.TransformerEncoderLayer`.

        Args:
          arrays: The original's state dict.
        """
        targets = under("self_attn", self._attention, arrays)
        feed_forward = (self._inner, self._outer)
        return targets | transformer_layer(
            feed_forward, self._norms, self.embedding_dim, arrays
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_heads": self.num_heads,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
            "hidden_dropout": self.hidden_dropout,
            "norm_first": self.norm_first,
            "epsilon": self.epsilon,
        }
