"""Layers that relate a user's events to one another, within and across two services."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.transformer import (
    CrossFusion,
    TransformerBlock,
)
from tfrs_models.torch_weights import (
    Arrays,
    Targets,
    TorchArray,
    TorchPort,
    under,
)

ENCODERS = ("across", "recommendation", "search")
_ORIGINAL = {"across": "global", "recommendation": "rec", "search": "src"}


class Transitions(NamedTuple):
    """A user's events of both services, as they follow from other events.

    Attributes:
      search_to_recommendation: `[batch, seq_len, embedding_dim]` items as they follow
        from searches.
      recommendation_to_search: `[batch, num_sessions, embedding_dim]` searches as they
        follow from items.
      within_recommendation: `[batch, seq_len, embedding_dim]` items as they follow from
        items.
      within_search: `[batch, num_sessions, embedding_dim]` searches as they follow from
        searches.
      recommendation: `[batch, seq_len, embedding_dim]` both views of the items, fused.
      search: `[batch, num_sessions, embedding_dim]` both views of the searches, fused.
      item_mask: `[batch, seq_len]` bool, False for padding.
      session_mask: `[batch, num_sessions]` bool, False for padding.
    """

    search_to_recommendation: tf.Tensor
    recommendation_to_search: tf.Tensor
    within_recommendation: tf.Tensor
    within_search: tf.Tensor
    recommendation: tf.Tensor
    search: tf.Tensor
    item_mask: tf.Tensor
    session_mask: tf.Tensor


@register
class ServiceTransitions(TorchPort, tf.keras.layers.Layer):
    """Encodes the four transitions of UniSAR, and fuses them.

    One encoder attends across the services, over events of both in the order of their
    times; one attends among the items of the recommendation, one among the searches.
    Then the events of each service attend to their encodings across.

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        seq_len: int,
        num_sessions: int,
        num_heads: int = 2,
        num_layers: int = 1,
        dropout: float = 0.0,
        encoders: Sequence[str] = ENCODERS,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          embedding_dim: width of input and output.
          seq_len: items of a history that have a position, at most.
          num_sessions: searches of a history that have a position, at most.
          num_heads: number of attention heads; divides `embedding_dim`.
          num_layers: number of blocks of each encoder and of each fusion.
          dropout: share of values that training drops.
          encoders: names of the encoders, among `"across"`, `"recommendation"` and
            `"search"`; the output of a missing one is 0.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if unknown := sorted(set(encoders) - set(ENCODERS)):
            raise ValueError(
                f"`encoders` must be among {list(ENCODERS)}. Got {unknown}."
            )
        self.embedding_dim = embedding_dim
        self.seq_len = seq_len
        self.num_sessions = num_sessions
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.dropout = dropout
        self.encoders = [name for name in ENCODERS if name in encoders]
        sizes = {"num_heads": num_heads, "dropout": dropout}
        self._encoders = {
            name: TypedTransition(
                embedding_dim,
                across=name == "across",
                num_layers=num_layers,
                name=name,
                **sizes,
            )
            for name in self.encoders
        }
        self._fusions = {
            service: [CrossFusion(embedding_dim, **sizes) for _ in range(num_layers)]
            for service in ENCODERS[1:]
        }
        # Keras's newer files hold the layers of flat lists only.
        self._layers_of_fusions = [
            layer for layers in self._fusions.values() for layer in layers
        ]
        lengths = (seq_len + num_sessions, seq_len, num_sessions)
        with tf.name_scope(self.name):  # HDF5 files want distinct names
            self._positions = {
                name: self.add_weight(
                    f"positions_{name}",
                    (length, embedding_dim),
                    initializer="glorot_normal",
                )
                for name, length in zip(ENCODERS, lengths, strict=True)
                if name in self.encoders
            }

    def call(
        self,
        items: tf.Tensor,
        sessions: tf.Tensor,
        times: tuple[tf.Tensor, tf.Tensor],
        training: bool = False,
    ) -> Transitions:
        """Encodes the histories.

        Args:
          items: `[batch, seq_len, embedding_dim]` vectors of items, oldest first,
            padding last.
          sessions: `[batch, num_sessions, embedding_dim]` vectors of searches, oldest
            first, padding last.
          times: times of the items `[batch, seq_len]` and of the searches `[batch,
            num_sessions]`, integers, 0 for padding.
          training: whether dropout is active.

        Returns:
          The encoded events. Vectors of padding have no meaning and no influence.
        """
        sessions = tf.cast(sessions, items.dtype)
        mask = _joined(times) > 0
        seq_len = tf.shape(items)[1]
        across = self._encode_across(items, sessions, times, training)
        within, fused = [], []
        for name, events, event_mask, other_view in (
            ("recommendation", items, mask[:, :seq_len], across[:, :seq_len]),
            ("search", sessions, mask[:, seq_len:], across[:, seq_len:]),
        ):
            encoded = self._encode_within(name, events, event_mask, training)
            within.append(encoded)
            for fusion in self._fusions[name]:
                encoded = fusion(encoded, other_view, event_mask, training=training)
            fused.append(encoded)
        return Transitions(
            across[:, :seq_len],
            across[:, seq_len:],
            *within,
            *fused,
            mask[:, :seq_len],
            mask[:, seq_len:],
        )

    def weights_across(
        self,
        items: tf.Tensor,
        sessions: tf.Tensor,
        times: tuple[tf.Tensor, tf.Tensor],
    ) -> list[tf.Tensor]:
        """Computes the attention weights between events of the two services.

        Args:
          items: `[batch, seq_len, embedding_dim]` vectors of items.
          sessions: `[batch, num_sessions, embedding_dim]` vectors of searches.
          times: times of the items `[batch, seq_len]` and of the searches `[batch,
            num_sessions]`, integers, 0 for padding.

        Returns:
          For each block `[batch, num_heads, n, n]`, `n` items and sessions in this
          order.
        """
        events = self._typed_events(items, tf.cast(sessions, items.dtype), times)
        return self._encoders["across"].weights_of(*events)

    def _encode_across(
        self,
        items: tf.Tensor,
        sessions: tf.Tensor,
        times: tuple[tf.Tensor, tf.Tensor],
        training: bool,
    ) -> tf.Tensor:
        if "across" not in self.encoders:
            return tf.zeros_like(tf.concat([items, sessions], axis=1))
        events = self._typed_events(items, sessions, times)
        return self._encoders["across"](*events, training=training)

    def _typed_events(
        self,
        items: tf.Tensor,
        sessions: tf.Tensor,
        times: tuple[tf.Tensor, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns events with positions, their types and their mask.

        Attention has no order: the events stay one service after the other, and only
        their positions encode how they alternate.
        """
        times = _joined(times)
        events = tf.concat([items, sessions], axis=1)
        positions = tf.cast(self._positions["across"], events.dtype)
        events += tf.gather(positions, positions_by_time(times))
        types = tf.range(tf.shape(times)[1]) >= tf.shape(items)[1]
        return events, tf.cast(types, tf.int32)[None], times > 0

    def _encode_within(
        self, name: str, events: tf.Tensor, mask: tf.Tensor, training: bool
    ) -> tf.Tensor:
        if name not in self.encoders:
            return tf.zeros_like(events)
        seq_len = tf.shape(events)[1]
        events += tf.cast(self._positions[name][:seq_len], events.dtype)
        types = tf.zeros([1, seq_len], tf.int32)
        return self._encoders[name](events, types, mask, training=training)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the encoders, fusions and position tables of the original.

        Args:
          arrays: state dict of the original; it may hold other arrays.

        Raises:
          ValueError: an encoder is left out.
        """
        if self.encoders != list(ENCODERS):
            raise ValueError(
                f"`encoders` must be all of {list(ENCODERS)} to load the original's "
                f"weights. Got {self.encoders}."
            )
        targets = {}
        tables = ("global_pos_emb", "rec_pos", "src_pos")
        for name, table in zip(ENCODERS, tables, strict=True):
            targets[f"{table}.pe.weight"] = TorchArray(self._positions[name])
            prefix = f"{_ORIGINAL[name]}_transformer"
            targets |= under(prefix, self._encoders[name], arrays)
        for name, fusions in self._fusions.items():
            for number, fusion in enumerate(fusions):
                prefix = f"{_ORIGINAL[name]}_cross_fusion.layers.{number}"
                targets |= under(prefix, fusion, arrays)
        return targets

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "seq_len": self.seq_len,
            "num_sessions": self.num_sessions,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
            "encoders": self.encoders,
        }


@register
class TypedTransition(TorchPort, tf.keras.layers.Layer):
    """A transformer in which events attend to other types only, or to their own only.

    Blocks have the norm last. In one block that attends across, an event has nothing of
    its own type but itself. An event without any event to attend to passes through the
    feed-forward layers alone.

    Example:
      >>> layer = tm.models.unisar.TypedTransition(4, across=True)
      >>> events, types = tf.random.normal([1, 3, 4]), tf.constant([[0, 0, 1]])
      >>> (weights,) = layer.weights_of(events, types, tf.ones([1, 3], tf.bool))
      >>> print(weights[0, 0, :2].numpy())  # the first two attend to the third only
      [[0. 0. 1.]
       [0. 0. 1.]]

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        across: bool = True,
        num_heads: int = 2,
        num_layers: int = 1,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          embedding_dim: width of input and output, and of the hidden feed-forward
            layers.
          across: whether events attend to other types, or to their own type.
          num_heads: number of attention heads; divides `embedding_dim`.
          num_layers: number of blocks, one after the other.
          dropout: share of values that training drops, wherever a block drops.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_layers < 1:
            raise ValueError(f"`num_layers` must be at least 1. Got {num_layers}.")
        self.embedding_dim = embedding_dim
        self.across = across
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.dropout = dropout
        self.blocks = [
            TransformerBlock(
                embedding_dim,
                num_heads=num_heads,
                dropout=dropout,
                hidden_dropout=dropout,
                norm_first=False,
                epsilon=1e-5,
            )
            for _ in range(num_layers)
        ]

    def call(
        self,
        inputs: tf.Tensor,
        types: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Updates all events.

        Args:
          inputs: `[batch, seq_len, embedding_dim]` vectors of events.
          types: `[batch, seq_len]` or `[1, seq_len]` integer types of the events.
          mask: `[batch, seq_len]` bool, False for padding, to which no event attends.
          training: whether dropout is active.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """
        attended = self._attended(types, mask)
        for block in self.blocks:
            inputs = block(inputs, attended, training=training)
        return inputs

    def weights_of(
        self, inputs: tf.Tensor, types: tf.Tensor, mask: tf.Tensor
    ) -> list[tf.Tensor]:
        """Computes the attention weights of every event for every other.

        Args:
          inputs: `[batch, seq_len, embedding_dim]` vectors of events.
          types: `[batch, seq_len]` or `[1, seq_len]` integer types of the events.
          mask: `[batch, seq_len]` bool, False for padding.

        Returns:
          For each block `[batch, num_heads, seq_len, seq_len]`.
        """
        attended, weights = self._attended(types, mask), []
        for block in self.blocks:
            weights.append(block.weights_of(inputs, attended))
            inputs = block(inputs, attended)
        return weights

    def _attended(self, types: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """`[batch, seq_len, seq_len]` bool, True where a row attends to a column."""
        same = tf.equal(types[:, :, None], types[:, None, :])
        return tf.not_equal(same, self.across) & mask[:, None, :]

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the blocks of the original's encoder.

        Args:
          arrays: state dict of the original.
        """
        targets = {}
        for number, block in enumerate(self.blocks):
            targets |= under(f"transformer_encoder.layers.{number}", block, arrays)
        return targets

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "across": self.across,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
        }


def positions_by_time(times: tf.Tensor) -> tf.Tensor:
    """Computes the position of each event in the order of their times.

    Args:
      times: `[batch, num_events]` integers above 0, 0 for padding; the events of one
        list after those of the other.

    Returns:
      `[batch, num_events]` int32 positions from 0 on. Events of the same time keep
      their order, and padding comes last, in its order too.
    """
    times = tf.cast(times, tf.int64)
    keys = tf.where(times > 0, times, times.dtype.max)
    order = tf.argsort(keys, axis=1, stable=True)
    return tf.argsort(order, axis=1)


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Computes a mean over the last but one axis under a mask.

    Args:
      values: `[..., n, width]`.
      mask: `[..., n]` bool, True for the elements that count.

    Returns:
      `[..., width]`; 0 where the mask is False for all elements.
    """
    total = tf.reduce_sum(tf.where(mask[..., None], values, 0), axis=-2)
    count = tf.math.count_nonzero(mask, axis=-1, keepdims=True, dtype=values.dtype)
    return tf.math.divide_no_nan(total, count)


def _joined(times: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.cast(part, tf.int64) for part in times], axis=1)
