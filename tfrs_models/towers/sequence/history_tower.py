"""Common parts of the towers over histories."""

import tensorflow as tf

from tfrs_models._keras import FromConfig
from tfrs_models.feature import Feature
from tfrs_models.layers.dropout import Dropout
from tfrs_models.towers.sequence.history_context import (
    HOURS,
    NUM_GAPS,
    WEEKDAYS,
    HistoryContext,
    gap_buckets,
    latest,
)
from tfrs_models.types import Features, VocabularyRows


class HistoryTower(FromConfig, tf.keras.layers.Layer):
    """Embeds a history of items, in the order of time, to find the next item.

    Items are embedded by the tower of the candidates, so that an item has the same
    embedding in a history and as a candidate. An id of 0 is padding, at any position:
    the output is that of the row without it. A row without items has the embedding 0,
    which gives all candidates the same score.

    All else that it can read is off unless declared by name: times, the time of the
    request, hour and weekday, kinds and weights of the events. Each adds learned
    vectors to the items' embeddings: one of the gap since the item before (in buckets
    whose edges are powers of 2), of the item's hour, weekday and kind, and one times
    `log(1 + weight)`. The gap from the newest item to the request scales the output
    and is added to it, hour and weekday of the request are added. A request whose time
    is unknown (0), or earlier than the newest item, counts as made at the time of the
    newest item. All of these weights start at 0.

    A subclass implements `encode`.
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        *,
        history: str = "history",
        item_id: str = "item_id",
        timestamp: str | None = None,
        query_time: str | None = None,
        clock: bool = False,
        utc_offset: str | None = None,
        event: Feature | None = None,
        weight: str | None = None,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: candidate tower, from `{item_id: [num_items]}` to `[num_items,
            embedding_dim]`. `towers.FeatureLookup` makes one of a tower that reads more
            than the id.
          history: name of the feature of the items, `[batch, seq_len]` integers.
          item_id: name of the feature that the item tower reads.
          timestamp: name of the feature of the items' times, `[batch, seq_len]` integer
            seconds since 1970; None to read no times.
          query_time: name of the feature of the request's time, integer seconds,
            `[batch]`, or `[batch, seq_len]` where all positions are embedded, each for
            a request of its own; None to read none. It needs `timestamp`.
          clock: whether hour of day and weekday are read; it needs `timestamp`.
          utc_offset: name of the feature of the seconds that local time is ahead of
            UTC, `[batch]` numbers, NaN for unknown; None for UTC. It needs `clock`.
          event: declaration of the kinds of the events, `[batch, seq_len]` ids; None to
            read none.
          weight: name of the feature of the events' weights, `[batch, seq_len]` floats,
            0 or more; None to read none.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.context = HistoryContext(
            timestamp, query_time, clock, utc_offset, event, weight
        )
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
          ValueError: the history or another declared feature is missing or has the
            wrong dtype or shape.
        """
        items = self._checked(features)
        columns = self.context.columns(features, items, self.history)
        given, longest = items.shape[1], self.seq_len
        if return_sequences:
            if None not in (given, longest) and given > longest:
                raise ValueError(
                    f"`{self.history}` must have at most {longest} positions where all "
                    f"are embedded. Got {given}."
                )
        elif longest is not None and (given is None or given > longest):
            columns["items"] = items
            columns = newest_columns(items, columns, longest)
            items = columns.pop("items")
        embeddings, mask = self.embed(items, training)
        if columns:
            embeddings += self._step_vectors(features, mask, columns)
        encode = self.encode if return_sequences else self.encode_last
        encoded = encode(embeddings, mask, training)
        if return_sequences:  # a prefix without items has the embedding 0
            has_items = tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0
            encoded = tf.where(has_items[:, :, None], encoded, 0)
        if self.context.query_time is None:
            return encoded
        times = tf.where(mask, columns["times"], 0)
        return self._at_request(features, items, times, encoded, return_sequences)

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

    def add_context(self, embedding_dim: int) -> None:
        """Adds the weights of all that is declared, zeros; a subclass calls it.

        Args:
          embedding_dim: width of the item tower's output and of this one's.
        """
        context, sizes = self.context, {}
        if context.timestamp is not None:
            sizes["gap_vectors"] = NUM_GAPS
        if context.clock:
            sizes |= {"hour_vectors": HOURS, "weekday_vectors": WEEKDAYS}
        if context.event is not None:
            sizes["event_vectors"] = context.event.num_values + 1
        if context.weight is not None:
            sizes["weight_vector"] = 1
        if context.query_time is not None:
            sizes |= {"request_gap_scales": NUM_GAPS, "request_gap_vectors": NUM_GAPS}
            if context.clock:
                sizes["request_hour_vectors"] = HOURS
                sizes["request_weekday_vectors"] = WEEKDAYS
        if sizes:
            self._context_weights = {
                name: self.add_weight(name, (size, embedding_dim), initializer="zeros")
                for name, size in sizes.items()
            }

    def vocabulary_rows(self) -> list[VocabularyRows]:
        """Returns the vectors of the kinds of events, with their vocabulary."""
        if self.context.event is None:
            return []
        vocabulary = self.context.event.name.removeprefix("history_")
        table = self._context_weights["event_vectors"]
        return [VocabularyRows(table, vocabulary)]

    def _vectors(self, name: str, index: tf.Tensor) -> tf.Tensor:
        return tf.gather(
            tf.cast(self._context_weights[name], self.compute_dtype), index
        )

    def _step_vectors(
        self, features: Features, mask: tf.Tensor, columns: dict[str, tf.Tensor]
    ) -> tf.Tensor:
        """Sums what is added to the items' embeddings, `[batch, seq_len, dim]`."""
        added = 0.0
        if "times" in columns:
            times = tf.where(mask, columns["times"], 0)
            steps = tf.range(tf.shape(mask)[1])
            before = (steps[:, None] > steps) & mask[:, None, :]  # [batch, item, other]
            vectors = self._vectors(
                "gap_vectors", gap_buckets(times - latest(times, before))
            )
            has_previous = tf.reduce_any(before, axis=2)[:, :, None]
            added += tf.where(has_previous, vectors, 0)
            if self.context.clock:
                added += self._clock_vectors(features, times, "")
        if "events" in columns:
            added += self._vectors("event_vectors", columns["events"])
        if "log_weights" in columns:
            weights = tf.cast(columns["log_weights"], self.compute_dtype)[:, :, None]
            added += weights * self._vectors("weight_vector", 0)
        return added

    def _clock_vectors(
        self, features: Features, times: tf.Tensor, prefix: str
    ) -> tf.Tensor:
        hours, weekdays = self.context.clock_of(features, times)
        return self._vectors(f"{prefix}hour_vectors", hours) + self._vectors(
            f"{prefix}weekday_vectors", weekdays
        )

    def _at_request(
        self,
        features: Features,
        items: tf.Tensor,
        times: tf.Tensor,
        encoded: tf.Tensor,
        sequences: bool,
    ) -> tf.Tensor:
        """Changes embeddings by the time of their requests; none without items."""
        mask = (items != 0)[:, None, :]
        if sequences:
            steps = tf.range(tf.shape(items)[1])
            mask &= steps[:, None] >= steps
        newest = latest(times, mask)
        request = self.context.request(features, items, newest, sequences)
        buckets = gap_buckets(request - newest)
        added = self._vectors("request_gap_vectors", buckets)
        if self.context.clock:
            added += self._clock_vectors(features, request, "request_")
        hidden = encoded if sequences else encoded[:, None]
        scales = self._vectors("request_gap_scales", buckets)
        hidden = tf.where(
            tf.reduce_any(mask, axis=2)[:, :, None],
            hidden * (1 + scales) + added,
            hidden,
        )
        return hidden if sequences else hidden[:, 0]

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
            **self.context.config(),
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
        self.add_context(embedding_dim)
        self._drop = Dropout(dropout)

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
    return newest_columns(items, {"items": items}, length)["items"]


def newest_columns(
    items: tf.Tensor, columns: dict[str, tf.Tensor], length: int
) -> dict[str, tf.Tensor]:
    """Picks the values of the last items of each row that are not padding.

    Args:
      items: ids of the items, 0 for padding, `[batch, seq_len]`.
      columns: values of the items, each `[batch, seq_len]`.
      length: largest number of items of a row.

    Returns:
      The columns, `[batch, length]`, or `[batch, seq_len]` if that is less, with zeros
      on the right.
    """
    mask = tf.cast(items != 0, tf.int32)
    newer = tf.cumsum(mask, axis=1, exclusive=True, reverse=True)
    is_new = (items != 0) & (newer < length)
    order = tf.argsort(tf.cast(~is_new, tf.int32), axis=1, stable=True)[:, :length]
    return {
        name: tf.gather(
            tf.where(is_new, values, tf.zeros_like(values)), order, batch_dims=1
        )
        for name, values in columns.items()
    }


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
