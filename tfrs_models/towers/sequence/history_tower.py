"""What all towers over histories share: item embeddings, padding, the last position."""

import tensorflow as tf

from tfrs_models._keras import FromConfig
from tfrs_models.types import Features


class HistoryTower(FromConfig, tf.keras.layers.Layer):
    """From a row of items in the order of time to an embedding of what comes next.

    Items are embedded by the tower of the candidates: what is learned of an item as a
    target is known of it as history. An id of 0 is padding, wherever it stands: the
    output is that of the row without it. A row without items has the embedding 0, which
    scores all candidates alike.

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
          item_tower: From `{item_id: [num_items]}` to `[num_items, embedding_dim]`; the
            candidate tower. One that reads more than the id goes into a
            `towers.FeatureLookup`.
          history: The feature of the items, `[batch, seq_len]` integers.
          item_id: The feature that the item tower reads.
          **kwargs: Of `tf.keras.layers.Layer`.
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
          features: Holds the history.
          training: Whether to drop.
          return_sequences: Whether to embed every prefix of a history, to learn at all
            positions at once.

        Returns:
          `[batch, embedding_dim]` of the whole histories, or `[batch, seq_len,
          embedding_dim]`: at each position that of the history up to it.

        Raises:
          ValueError: the history is missing or has the wrong dtype or rank.
        """
        items = self._checked(features)
        seq_len, longest = items.shape[1], self.max_length
        if return_sequences:
            if None not in (seq_len, longest) and seq_len > longest:
                raise ValueError(
                    f"`{self.history}` must have at most {longest} places where all "
                    f"are embedded. Got {seq_len}."
                )
            return self.encode(*self.embed(items, training), training)
        if longest is not None and (seq_len is None or seq_len > longest):
            items = newest(items, longest)
        return self.encode_last(*self.embed(items, training), training)

    @property
    def max_length(self) -> int | None:
        """The number of items that the tower can read; the newest count."""
        return None

    def encode(
        self, embeddings: tf.Tensor, real: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Embeds every prefix.

        Args:
          embeddings: `[batch, seq_len, embedding_dim]` of the items.
          real: `[batch, seq_len]` bool, False for padding.
          training: Whether to drop.

        Returns:
          `[batch, seq_len, embedding_dim]`; position `i` depends on the real items up
          to `i` only, and is finite where there is none.
        """
        raise NotImplementedError

    def encode_last(
        self, embeddings: tf.Tensor, real: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Embeds the whole rows: what `encode` says at the last real position.

        Args:
          embeddings: As in `encode`.
          real: As in `encode`.
          training: Whether to drop.

        Returns:
          `[batch, embedding_dim]`, 0 where no item is real.
        """
        encoded = self.encode(embeddings, real, training)
        places = tf.range(tf.shape(real)[1])
        last = tf.reduce_max(tf.where(real, places, -1), axis=1)
        at_last = tf.one_hot(last, tf.shape(real)[1], dtype=encoded.dtype)
        return tf.einsum("bs,bsd->bd", at_last, encoded)

    def embed(
        self, items: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The items' embeddings, each distinct item embedded once.

        Args:
          items: `[batch, seq_len]` int64.
          training: Passed on to the item tower.

        Returns:
          `[batch, seq_len, embedding_dim]`, and `[batch, seq_len]` bool, False for
          padding.
        """
        unique, places = tf.unique(tf.reshape(items, [-1]))
        table = self.item_tower({self.item_id: unique}, training=training)
        table = tf.cast(table, self.compute_dtype)
        return tf.gather(table, tf.reshape(places, tf.shape(items))), items != 0

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


def newest(items: tf.Tensor, length: int) -> tf.Tensor:
    """The last items of each row that are not padding.

    Args:
      items: `[batch, seq_len]`, 0 for padding.
      length: How many at most.

    Returns:
      `[batch, length]`, or `[batch, seq_len]` where that is less, padded on the right.
    """
    real = tf.cast(items != 0, tf.int32)
    newer = tf.cumsum(real, axis=1, exclusive=True, reverse=True)
    kept = (items != 0) & (newer < length)
    order = tf.argsort(tf.cast(~kept, tf.int32), axis=1, stable=True)[:, :length]
    return tf.gather(tf.where(kept, items, 0), order, batch_dims=1)


def newest_steps(real: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the newest real steps of each row are, the newest at the end.

    Args:
      real: `[batch, seq_len]` bool, False for padding.
      length: Steps of a window.

    Returns:
      `[batch, length]` int32 places in the row, and bool, False where the row has no
      further step; the place is then one of padding or 0.
    """
    real = tf.pad(real, [[0, 0], [length, 0]])
    newer = tf.cumsum(tf.cast(real, tf.int32), axis=1, exclusive=True, reverse=True)
    kept = real & (newer < length)
    order = tf.argsort(tf.cast(kept, tf.int32), axis=1, stable=True)[:, -length:]
    found = tf.gather(kept, order, batch_dims=1)
    return tf.where(found, order - length, 0), tf.ensure_shape(found, [None, length])


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
