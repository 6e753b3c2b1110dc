"""A causal transformer over histories."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.transformer import TransformerBlock
from tfrs_models.towers.sequence.history_tower import BlockTower


@register
class SASRec(BlockTower):
    """Embeds a history by a causal transformer: items attend to earlier items.

    Positions count the items from the oldest on, without padding.

    Example:
      >>> item = tm.data.Feature("item_id", "id", num_values=9)
      >>> items = tm.towers.FeatureTower([item], embedding_dim=4)
      >>> tower = tm.towers.SASRec(items, 4, seq_len=3)
      >>> history = {"history": np.array([[3, 1, 7], [5, 0, 0]])}  # 0 is padding
      >>> tower(history).shape, tower(history, return_sequences=True).shape
      (TensorShape([2, 4]), TensorShape([2, 3, 4]))

    Reference:
      Kang and McAuley, Self-attentive sequential recommendation, ICDM 2018.
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        embedding_dim: int,
        *,
        seq_len: int = 50,
        num_layers: int = 2,
        num_heads: int = 1,
        dropout: float = 0.2,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: candidate tower, from `{item_id: [num_items]}` to `[num_items,
            embedding_dim]`.
          embedding_dim: width of the item tower's output and of this one's.
          seq_len: number of items that the tower reads; the newest of a longer history.
          num_layers: number of transformer blocks.
          num_heads: number of attention heads; it divides `embedding_dim`.
          dropout: share of the input and of each block's output that training drops.
          **kwargs: `history` and `item_id`, names of the features of the items of a
            history and of an item's id; `timestamp`, `query_time`, `clock`,
            `utc_offset`, `event` and `weight`, what else is read of a history and its
            request; and arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(
            item_tower,
            embedding_dim,
            seq_len=seq_len,
            num_layers=num_layers,
            num_heads=num_heads,
            dropout=dropout,
            **kwargs,
        )
        self._blocks = [
            TransformerBlock(embedding_dim, num_heads=num_heads, dropout=dropout)
            for _ in range(num_layers)
        ]
        self._norm = tf.keras.layers.LayerNormalization()

    def encode(
        self, embeddings: tf.Tensor, mask: tf.Tensor, training: bool
    ) -> tf.Tensor:
        count = tf.cumsum(tf.cast(mask, tf.int32), axis=1)
        positions = tf.maximum(count - 1, 0)
        hidden = self.with_positions(embeddings, positions, training)
        steps = tf.range(tf.shape(mask)[1])
        earlier = steps[:, None] >= steps[None, :]
        causal_mask = earlier & mask[:, None, :]  # [batch, position, item]
        for block in self._blocks:
            hidden = block(hidden, causal_mask, training=training)
        return self._norm(hidden)
