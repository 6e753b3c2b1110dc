"""Common parts of the towers over histories."""

import tensorflow as tf

from tfrs_models._keras import FromConfig
from tfrs_models.types import Features


class HistoryTower(FromConfig, tf.keras.layers.Layer):
    """Embeds a history of items, in the order of time, to find the next item.

    Items are embedded by the tower of the candidates, so that an item has the same
    embedding in a history and as a candidate. An id of 0 is padding, at any position:
    the output is that of the row without it. A row without items has the embedding 0,
    which gives all candidates the same score.

    A subclass implements `encode`.
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        *,
        history: str = "history",
        item_id: str = "item_id",
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: candidate tower, from `{item_id: [num_items]}` to `[num_items,
            embedding_dim]`. `towers.FeatureLookup` makes one of a tower that reads more
            than the id.
          history: name of the feature of the items, `[batch, seq_len]` integers.
          item_id: name of the feature that the item tower reads.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._autocast = False
        self.item_tower = item_tower
        self.history = history
        self.item_id = item_id

    def call(
        self,
        features: Features,
        training: bool = False,
        return_sequences: bool = False,
    ) -> tf.Tensor:
        """Embeds histories.

        Args:
          features: batch with the histories.
          training: whether to drop.
          return_sequences: whether to embed every prefix of a history, to learn at all
            positions at once.

        Returns:
          Embeddings of the whole histories, `[batch, embedding_dim]`, or of their
          prefixes up to each position, `[batch, seq_len, embedding_dim]`.

        Raises:
          ValueError: the history is missing or has the wrong dtype or rank.
        """
        items = self._checked(features)
        given, longest = items.shape[1], self.seq_len
        if return_sequences:
            if None not in (given, longest) and given > longest:
                raise ValueError(
                    f"`{self.history}` must have at most {longest} positions where all "
                    f"are embedded. Got {given}."
                )
            return self.encode(*self.embed(items, training), training)
        if longest is not None and (given is None or given > longest):
            items = newest(items, longest)
        return self.encode_last(*self.embed(items, training), training)

    @property
    def seq_len(self) -> int | None:
        """Largest number of items that the tower reads, the newest; None for all."""
        return None

    def encode(
        self, embeddings: tf.Tensor, mask: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Embeds every prefix.

        Args:
          embeddings: embeddings of the items, `[batch, seq_len, embedding_dim]`.
          mask: True for items, False for padding, `[batch, seq_len]` bool.
          training: whether to drop.

        Returns:
          `[batch, seq_len, embedding_dim]`; position `i` depends only on the items up
          to `i`, and is finite if there is none.
        """
        raise NotImplementedError

    def encode_last(
        self, embeddings: tf.Tensor, mask: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Embeds the whole rows: the output of `encode` at the last item.

        Args:
          embeddings: embeddings of the items, `[batch, seq_len, embedding_dim]`.
          mask: True for items, False for padding, `[batch, seq_len]` bool.
          training: whether to drop.

        Returns:
          `[batch, embedding_dim]`, 0 for a row without items.
        """
        encoded = self.encode(embeddings, mask, training)
        positions = tf.range(tf.shape(mask)[1])
        last = tf.reduce_max(tf.where(mask, positions, -1), axis=1)
        at_last = tf.one_hot(last, tf.shape(mask)[1], dtype=encoded.dtype)
        return tf.einsum("bs,bsd->bd", at_last, encoded)

    def embed(
        self, items: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Embeds the items, each distinct item once.

        Args:
          items: ids of the items, `[batch, seq_len]` int64.
          training: whether the item tower is in training.

        Returns:
          `[batch, seq_len, embedding_dim]`, and `[batch, seq_len]` bool, False for
          padding.
        """
        unique, rows = tf.unique(tf.reshape(items, [-1]))
        table = self.item_tower({self.item_id: unique}, training=training)
        table = tf.cast(table, self.compute_dtype)
        return tf.gather(table, tf.reshape(rows, tf.shape(items))), items != 0

    def _checked(self, features: Features) -> tf.Tensor:
        if self.history not in features:
            raise ValueError(
                f"Feature `{self.history}` is missing: give the data one with "
                f"`data.with_histories`. Got {sorted(features)}."
            )
        items = tf.convert_to_tensor(features[self.history])
        wrong = items.shape.rank != 2 or items.shape[1] == 0
        if wrong or not items.dtype.is_integer:
            raise ValueError(
                f"Feature `{self.history}` must be [batch, seq_len] integer indices of "
                f"items, seq_len 1 or more. Got {items.dtype.name} of shape "
                f"{items.shape}."
            )
        return tf.cast(items, tf.int64)

    def get_config(self) -> dict:
        tower = tf.keras.utils.serialize_keras_object(self.item_tower)
        return super().get_config() | {
            "item_tower": tower,
            "history": self.history,
            "item_id": self.item_id,
        }


class BlockTower(HistoryTower):
    """A history tower of stacked blocks, with a learned vector for each position.

    A subclass makes the blocks and implements `encode`.
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        embedding_dim: int,
        *,
        seq_len: int,
        num_layers: int,
        num_heads: int,
        dropout: float,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: candidate tower, as in `HistoryTower`.
          embedding_dim: width of the item tower's output and of this one's.
          seq_len: number of items that the tower reads; the newest of a longer history.
          num_layers: number of blocks, at least 1.
          num_heads: number of heads of a block.
          dropout: share of the input and of each block's output that training drops.
          **kwargs: arguments of `HistoryTower`.
        """
        super().__init__(item_tower, **kwargs)
        if seq_len < 1:
            raise ValueError(f"`seq_len` must be at least 1. Got {seq_len}.")
        if num_layers < 1:
            raise ValueError(f"`num_layers` must be at least 1. Got {num_layers}.")
        self.embedding_dim = embedding_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.dropout = dropout
        self._seq_len = seq_len
        self._positions = self.add_weight(
            "positions",
            (seq_len, embedding_dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=0.05),
        )
        self._drop = tf.keras.layers.Dropout(dropout)

    @property
    def seq_len(self) -> int:
        return self._seq_len

    def with_positions(
        self, embeddings: tf.Tensor, positions: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Adds the vectors of positions to scaled item embeddings, for the first block.

        Args:
          embeddings: embeddings of items, `[batch, seq_len, embedding_dim]`.
          positions: positions of the items, integers below `seq_len`, `[batch,
            seq_len]` or `[seq_len]`.
          training: whether to drop.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """
        vectors = tf.gather(self._positions, positions)
        scale = tf.cast(self.embedding_dim, embeddings.dtype) ** 0.5
        hidden = embeddings * scale + tf.cast(vectors, embeddings.dtype)
        return self._drop(hidden, training=training)

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "seq_len": self.seq_len,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }


def newest(items: tf.Tensor, length: int) -> tf.Tensor:
    """Picks the last items of each row that are not padding.

    Args:
      items: ids of the items, 0 for padding, `[batch, seq_len]`.
      length: largest number of items of a row.

    Returns:
      `[batch, length]`, or `[batch, seq_len]` if that is less, padded on the right.
    """
    mask = tf.cast(items != 0, tf.int32)
    newer = tf.cumsum(mask, axis=1, exclusive=True, reverse=True)
    is_new = (items != 0) & (newer < length)
    order = tf.argsort(tf.cast(~is_new, tf.int32), axis=1, stable=True)[:, :length]
    return tf.gather(tf.where(is_new, items, 0), order, batch_dims=1)


def newest_steps(mask: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the last steps of each row that are not padding, in windows of one length.

    Args:
      mask: True for steps, False for padding, `[batch, seq_len]` bool.
      length: number of steps of a window.

    Returns:
      Positions of the steps in the row, the newest at the end, `[batch, length]` int32,
      and bool of the same shape, False if the row has no more steps; the position then
      is 0 or that of padding.
    """
    mask = tf.pad(mask, [[0, 0], [length, 0]])
    newer = tf.cumsum(tf.cast(mask, tf.int32), axis=1, exclusive=True, reverse=True)
    is_new = mask & (newer < length)
    order = tf.argsort(tf.cast(is_new, tf.int32), axis=1, stable=True)[:, -length:]
    found = tf.gather(is_new, order, batch_dims=1)
    return tf.where(found, order - length, 0), tf.ensure_shape(found, [None, length])
