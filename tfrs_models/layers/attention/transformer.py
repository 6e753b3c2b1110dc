"""A block of a transformer."""

import tensorflow as tf

from tfrs_models._keras import register


@register
class TransformerBlock(tf.keras.layers.Layer):
    """Self-attention and a feed-forward layer, each normalised first and added on.

    `h = x + attention(norm(x))`, `y = h + dense(relu(dense(norm(h))))`.

    Reference:
      Vaswani et al., Attention is all you need, NeurIPS 2017; Xiong et al., On layer
      normalization in the transformer architecture, ICML 2020 (norm first).
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_heads: int = 1,
        hidden_units: int | None = None,
        dropout: float = 0.0,
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
        self.hidden_units = hidden_units or embedding_dim
        self.dropout = dropout
        self._norms = [tf.keras.layers.LayerNormalization() for _ in range(2)]
        self._attention = tf.keras.layers.MultiHeadAttention(
            num_heads, embedding_dim // num_heads, dropout=dropout
        )
        self._inner = tf.keras.layers.Dense(self.hidden_units, "relu")
        self._outer = tf.keras.layers.Dense(embedding_dim)
        self._drop = tf.keras.layers.Dropout(dropout)

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Updates all positions.

        Args:
          inputs: `[batch, seq_len, embedding_dim]`.
          mask: `[batch, seq_len, seq_len]` bool, True where the position of the row may
            look at the position of the column.
          training: Whether to drop.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """
        normed = self._norms[0](inputs)
        seen = self._attention(normed, normed, attention_mask=mask, training=training)
        hidden = inputs + self._drop(seen, training=training)
        added = self._outer(self._inner(self._norms[1](hidden)))
        return hidden + self._drop(added, training=training)

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_heads": self.num_heads,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
        }
