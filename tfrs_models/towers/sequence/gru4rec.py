"""A recurrent tower over histories."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.dropout import Dropout
from tfrs_models.towers.sequence.history_tower import HistoryTower


@register
class GRU4Rec(HistoryTower):
    """Embeds a history by a gated recurrent unit over its items.

    Example:
      >>> item = tm.data.Feature("item_id", "id", num_values=9)
      >>> items = tm.towers.FeatureTower([item], embedding_dim=4)
      >>> tower = tm.towers.GRU4Rec(items, 4)
      >>> history = {"history": np.array([[3, 1, 7], [5, 0, 0]])}  # 0 is padding
      >>> tower(history).shape, tower(history, return_sequences=True).shape
      (TensorShape([2, 4]), TensorShape([2, 3, 4]))

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
          item_tower: candidate tower, from `{item_id: [num_items]}` to `[num_items,
            embedding_dim]`.
          embedding_dim: width of the item tower's output and of this one's.
          hidden_units: width of the recurrent state; None for `embedding_dim`.
          dropout: share of the item embeddings' components that training drops.
          **kwargs: `history` and `item_id`, names of the features of the items of a
            history and of an item's id; `timestamp`, `query_time`, `clock`,
            `utc_offset`, `event` and `weight`, what else is read of a history and its
            request; and arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(item_tower, **kwargs)
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        self.embedding_dim = embedding_dim
        self.hidden_units = hidden_units or embedding_dim
        self.dropout = dropout
        self._drop = Dropout(dropout)
        self._recurrent = tf.keras.layers.GRU(self.hidden_units, return_sequences=True)
        self._project = tf.keras.layers.Dense(embedding_dim, use_bias=False)
        self.add_context(embedding_dim)

    def encode(
        self, embeddings: tf.Tensor, mask: tf.Tensor, training: bool
    ) -> tf.Tensor:
        inputs = self._drop(embeddings, training=training)
        # Padding leaves the state as it is.
        states = self._recurrent(inputs, mask=mask, training=training)
        return self._project(states)

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
        }
