"""A recurrent tower over histories."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.towers.sequence.history_tower import HistoryTower


@register
class GRU4Rec(HistoryTower):
    """A gated recurrent unit reads the items one after the other.

    Reference:
      Hidasi et al., Session-based recommendations with recurrent neural networks,
      ICLR 2016.
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        embedding_dim: int,
        *,
        hidden_units: int | None = None,
        dropout: float = 0.2,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: See `HistoryTower`.
          embedding_dim: Width of the item tower's output and of this one's.
          hidden_units: Width of the recurrent state; `embedding_dim` where None.
          dropout: Share of the item embeddings' components that training drops.
          **kwargs: Of `HistoryTower`.
        """
        super().__init__(item_tower, **kwargs)
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        self.embedding_dim = embedding_dim
        self.hidden_units = hidden_units or embedding_dim
        self.dropout = dropout
        self._drop = tf.keras.layers.Dropout(dropout)
        self._recurrent = tf.keras.layers.GRU(self.hidden_units, return_sequences=True)
        self._project = tf.keras.layers.Dense(embedding_dim, use_bias=False)

    def encode(
        self, embeddings: tf.Tensor, real: tf.Tensor, training: bool
    ) -> tf.Tensor:
        inputs = self._drop(embeddings, training=training)
        # Padding leaves the state as it is.
        states = self._recurrent(inputs, mask=real, training=training)
        return self._project(states)

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
        }
