"""A causal transformer over histories."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.transformer import TransformerBlock
from tfrs_models.towers.sequence.history_tower import BlockTower


@register
class SASRec(BlockTower):
    """Every item attends to the items before it.

    Positions count the real items from the oldest on.

    Reference:
      Kang and McAuley, Self-attentive sequential recommendation, ICDM 2018.
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        embedding_dim: int,
        *,
        max_length: int = 50,
        num_blocks: int = 2,
        num_heads: int = 1,
        dropout: float = 0.2,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: See `HistoryTower`.
          embedding_dim: Width of the item tower's output and of this one's.
          max_length: Items that have a position; of a longer history the newest.
          num_blocks: Transformer blocks.
          num_heads: Of the attention; divides `embedding_dim`.
          dropout: Share that training drops of the input and of what a block adds.
          **kwargs: Of `HistoryTower`.
        """
        super().__init__(
            item_tower,
            embedding_dim,
            max_length=max_length,
            num_blocks=num_blocks,
            num_heads=num_heads,
            dropout=dropout,
            **kwargs,
        )
        self._blocks = [
            TransformerBlock(embedding_dim, num_heads=num_heads, dropout=dropout)
            for _ in range(num_blocks)
        ]
        self._norm = tf.keras.layers.LayerNormalization()

    def encode(
        self, embeddings: tf.Tensor, real: tf.Tensor, training: bool
    ) -> tf.Tensor:
        count = tf.cumsum(tf.cast(real, tf.int32), axis=1)
        hidden = self.placed(embeddings, tf.maximum(count - 1, 0), training)
        places = tf.range(tf.shape(real)[1])
        earlier = places[:, None] >= places[None, :]
        mask = earlier & real[:, None, :]  # [batch, position, item]
        for block in self._blocks:
            hidden = block(hidden, mask, training=training)
        return self._norm(hidden)
