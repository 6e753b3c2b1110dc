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
        self._project = tf.keras.layers.Dense(3 * embedding_dim)
        self._merge = tf.keras.layers.Dense(embedding_dim)
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
        seen = self._attend(self._norms[0](inputs), mask, training)
        hidden = inputs + self._drop(seen, training=training)
        added = self._outer(self._inner(self._norms[1](hidden)))
        return hidden + self._drop(added, training=training)

    def _attend(self, inputs: tf.Tensor, mask: tf.Tensor, training: bool) -> tf.Tensor:
        """Scaled dot-product attention of all heads, `[batch, seq_len, width]`."""
        batch, seq_len = tf.unstack(tf.shape(inputs)[:2])
        width = self.embedding_dim // self.num_heads
        parts = tf.reshape(
            self._project(inputs), [batch, seq_len, 3, self.num_heads, width]
        )
        query, key, value = tf.unstack(parts, axis=2)
        scores = tf.einsum("bihd,bjhd->bhij", query, key) / width**0.5
        # Softmax in float32; a row that sees nothing is spread evenly.
        scores = tf.where(mask[:, None], tf.cast(scores, tf.float32), tf.float32.min)
        weights = tf.cast(tf.nn.softmax(scores), value.dtype)
        weights = self._drop(weights, training=training)
        seen = tf.einsum("bhij,bjhd->bihd", weights, value)
        return self._merge(tf.reshape(seen, [batch, seq_len, self.embedding_dim]))

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_heads": self.num_heads,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
        }
