"""A tower that looks for periods in histories."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.auto_correlation_block import AutoCorrelationBlock
from tfrs_models.towers.sequence.history_tower import BlockTower, newest_steps


@register
class AutoCorrelationTower(BlockTower):
    """The newest item, and the items at the lags where the history is like itself.

    A circle has no past and no future: one correlation of a whole history would tell
    each position what comes after it. So every prefix is a window of its own, with its
    newest item at the end and its own lags, in training too, and is embedded by its
    last step. That costs `max_length` times as much as a causal tower where all
    positions are embedded, and the same where one is.

    Reference:
      Wu et al., Autoformer: decomposition transformers with auto-correlation for
      long-term series forecasting, NeurIPS 2021 (the block; the tower is ours).
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        embedding_dim: int,
        *,
        max_length: int = 50,
        num_blocks: int = 1,
        num_heads: int = 1,
        factor: float = 2.0,
        dropout: float = 0.2,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: See `HistoryTower`.
          embedding_dim: Width of the item tower's output and of this one's.
          max_length: Steps of the circle; of a longer history the newest items count.
          num_blocks: `layers.AutoCorrelationBlock`s.
          num_heads: Of a block, see `layers.AutoCorrelation`.
          factor: Lags per natural logarithm of `max_length`.
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
            for _ in range(num_blocks)
        ]

    def encode(
        self, embeddings: tf.Tensor, real: tf.Tensor, training: bool
    ) -> tf.Tensor:
        batch, seq_len = tf.unstack(tf.shape(real))
        places = tf.range(seq_len)
        earlier = places[:, None] >= places[None, :]
        prefixes = tf.reshape(earlier & real[:, None, :], [batch * seq_len, seq_len])
        rows = tf.repeat(tf.range(batch), seq_len)
        encoded = self._encode_windows(embeddings, prefixes, rows, training)
        return tf.reshape(encoded, [batch, seq_len, self.embedding_dim])

    def encode_last(
        self, embeddings: tf.Tensor, real: tf.Tensor, training: bool
    ) -> tf.Tensor:
        rows = tf.range(tf.shape(real)[0])
        return self._encode_windows(embeddings, real, rows, training)

    def _encode_windows(
        self, embeddings: tf.Tensor, real: tf.Tensor, rows: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """`[num_windows, embedding_dim]` of the last steps, 0 where padding."""
        places, mask = newest_steps(real, self.max_length)
        rows = tf.broadcast_to(rows[:, None], tf.shape(places))
        hidden = tf.gather_nd(embeddings, tf.stack([rows, places], axis=2))
        hidden = self.placed(hidden, tf.range(self.max_length), training)
        for block in self._blocks:
            hidden = block(hidden, query_mask=mask, training=training)
        return hidden[:, -1]

    def get_config(self) -> dict:
        return super().get_config() | {"factor": self.factor}
