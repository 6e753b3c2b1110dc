"""What the towers share that are stacks of blocks over items in their places."""

import tensorflow as tf

from tfrs_models.towers.sequence.history_tower import HistoryTower


class BlockTower(HistoryTower):
    """A history tower whose blocks begin with items and vectors of their places.

    A subclass makes the blocks and implements `encode`.
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        embedding_dim: int,
        *,
        max_length: int,
        num_blocks: int,
        num_heads: int,
        dropout: float,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: See `HistoryTower`.
          embedding_dim: Width of the item tower's output and of this one's.
          max_length: Items that have a place; of a longer history the newest.
          num_blocks: At least 1.
          num_heads: Of a block.
          dropout: Share that training drops of the input and of what a block adds.
          **kwargs: Of `HistoryTower`.
        """
        super().__init__(item_tower, **kwargs)
        if max_length < 1:
            raise ValueError(f"`max_length` must be at least 1. Got {max_length}.")
        if num_blocks < 1:
            raise ValueError(f"`num_blocks` must be at least 1. Got {num_blocks}.")
        self.embedding_dim = embedding_dim
        self.num_blocks = num_blocks
        self.num_heads = num_heads
        self.dropout = dropout
        self._max_length = max_length
        self._positions = self.add_weight(
            "positions",
            (max_length, embedding_dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=0.05),
        )
        self._drop = tf.keras.layers.Dropout(dropout)

    @property
    def max_length(self) -> int:
        return self._max_length

    def placed(
        self, embeddings: tf.Tensor, places: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """What the first block reads.

        Args:
          embeddings: `[batch, seq_len, embedding_dim]` of items.
          places: Of them, integers below `max_length`, `[batch, seq_len]` or
            `[seq_len]`.
          training: Whether to drop.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """
        positions = tf.gather(self._positions, places)
        scale = tf.cast(self.embedding_dim, embeddings.dtype) ** 0.5
        hidden = embeddings * scale + tf.cast(positions, embeddings.dtype)
        return self._drop(hidden, training=training)

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "max_length": self.max_length,
            "num_blocks": self.num_blocks,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }
