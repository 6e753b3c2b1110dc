"""A tower over histories by their auto-correlation."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.auto_correlation_block import AutoCorrelationBlock
from tfrs_models.towers.sequence.history_tower import BlockTower, newest_steps


@register
class AutoCorrelationTower(BlockTower):
    """Embeds a history by its newest item and the items at its strongest lags.

    Auto-correlation is circular, so it has no past and no future: over a whole history,
    each position would depend on the items after it. Therefore every prefix is a window
    of its own, with its newest item at the end and its own lags, in training too; its
    last step is the embedding. Embedding all positions then costs `seq_len` times as
    much as in a causal tower; embedding the last one costs the same.

    Example:
      >>> item = tm.data.Feature("item_id", "id", num_values=9)
      >>> items = tm.towers.FeatureTower([item], embedding_dim=4)
      >>> tower = tm.towers.AutoCorrelationTower(items, 4, seq_len=3)
      >>> history = {"history": np.array([[3, 1, 7], [5, 0, 0]])}  # 0 is padding
      >>> tower(history).shape, tower(history, return_sequences=True).shape
      (TensorShape([2, 4]), TensorShape([2, 3, 4]))

    Reference:
      Wu et al., Autoformer: decomposition transformers with auto-correlation for
      long-term series forecasting, NeurIPS 2021 (the block; the tower is ours).
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        embedding_dim: int,
        *,
        seq_len: int = 50,
        num_layers: int = 1,
        num_heads: int = 1,
        factor: float = 2.0,
        dropout: float = 0.2,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: candidate tower, from `{item_id: [num_items]}` to `[num_items,
            embedding_dim]`.
          embedding_dim: width of the item tower's output and of this one's.
          seq_len: number of items that the tower reads; the newest of a longer history.
          num_layers: number of `layers.AutoCorrelationBlock`s.
          num_heads: number of heads of a block.
          factor: number of lags divided by the natural logarithm of `seq_len`.
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
        self.factor = float(factor)
        self._blocks = [
            AutoCorrelationBlock(
                embedding_dim,
                num_heads=num_heads,
                factor=factor,
                shared_lags=False,
                direction=-1,
                dropout=dropout,
            )
            for _ in range(num_layers)
        ]

    def encode(
        self, embeddings: tf.Tensor, mask: tf.Tensor, training: bool
    ) -> tf.Tensor:
        batch, seq_len = tf.unstack(tf.shape(mask))
        steps = tf.range(seq_len)
        earlier = steps[:, None] >= steps[None, :]
        prefixes = tf.reshape(earlier & mask[:, None, :], [batch * seq_len, seq_len])
        rows = tf.repeat(tf.range(batch), seq_len)
        encoded = self._encode_windows(embeddings, prefixes, rows, training)
        return tf.reshape(encoded, [batch, seq_len, self.embedding_dim])

    def encode_last(
        self, embeddings: tf.Tensor, mask: tf.Tensor, training: bool
    ) -> tf.Tensor:
        rows = tf.range(tf.shape(mask)[0])
        return self._encode_windows(embeddings, mask, rows, training)

    def _encode_windows(
        self, embeddings: tf.Tensor, mask: tf.Tensor, rows: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Embeds windows, `[num_windows, embedding_dim]`; 0 for those without items.

        Args:
          embeddings: embeddings of the items, `[batch, seq_len, embedding_dim]`.
          mask: True for the items of a window, `[num_windows, seq_len]` bool.
          rows: row of the batch of each window, `[num_windows]` int32.
          training: whether to drop.
        """
        positions, window_mask = newest_steps(mask, self.seq_len)
        rows = tf.broadcast_to(rows[:, None], tf.shape(positions))
        hidden = tf.gather_nd(embeddings, tf.stack([rows, positions], axis=2))
        hidden = self.with_positions(hidden, tf.range(self.seq_len), training)
        for block in self._blocks:
            hidden = block(hidden, query_mask=window_mask, training=training)
        return hidden[:, -1]

    def get_config(self) -> dict:
        return super().get_config() | {"factor": self.factor}
