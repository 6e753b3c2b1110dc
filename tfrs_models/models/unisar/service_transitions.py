"""What leads a user from one event to the next, within and across two services."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.models.unisar.cross_fusion import CrossFusion
from tfrs_models.models.unisar.typed_transition import TypedTransition
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort, under

ENCODERS = ("across", "recommendation", "search")
_ORIGINAL = {"across": "global", "recommendation": "rec", "search": "src"}


class Transitions(NamedTuple):
    """A user's events of both services, as they follow from others.

    Attributes:
      search_to_recommendation: `[batch, num_items, embedding_dim]`, items as they
        follow from searches.
      recommendation_to_search: `[batch, num_sessions, embedding_dim]`, searches as they
        follow from items.
      within_recommendation: `[batch, num_items, embedding_dim]`, items as they follow
        from items.
      within_search: `[batch, num_sessions, embedding_dim]`, searches as they follow
        from searches.
      recommendation: `[batch, num_items, embedding_dim]`, both of the items' fused.
      search: `[batch, num_sessions, embedding_dim]`, both of the searches' fused.
      valid_items: `[batch, num_items]` bool, False for padding.
      valid_sessions: `[batch, num_sessions]` bool, False for padding.
    """

    search_to_recommendation: tf.Tensor
    recommendation_to_search: tf.Tensor
    within_recommendation: tf.Tensor
    within_search: tf.Tensor
    recommendation: tf.Tensor
    search: tf.Tensor
    valid_items: tf.Tensor
    valid_sessions: tf.Tensor


@register
class ServiceTransitions(TorchPort, tf.keras.layers.Layer):
    """The four transitions of UniSAR, and their fusion.

    One encoder looks across the services, events of both in the order of their times;
    one looks at the items of the recommendation only, one at the searches only. Then
    the events of each service take in what the encoder across has of them.

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_items: int,
        num_sessions: int,
        num_heads: int = 2,
        num_layers: int = 1,
        dropout: float = 0.0,
        encoders: Sequence[str] = ENCODERS,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          embedding_dim: Width of input and output.
          num_items: Events of the recommendation that have a position, at most.
          num_sessions: Searches that have a position, at most.
          num_heads: Divides `embedding_dim`.
          num_layers: Blocks of each encoder and of each fusion.
          dropout: Share that training drops.
          encoders: Which of `"across"`, `"recommendation"` and `"search"` there are;
            what a missing one would say is 0.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if unknown := sorted(set(encoders) - set(ENCODERS)):
            raise ValueError(
                f"`encoders` must be among {list(ENCODERS)}. Got {unknown}."
            )
        self.embedding_dim = embedding_dim
        self.num_items = num_items
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
        lengths = (num_items + num_sessions, num_items, num_sessions)
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
          items: `[batch, num_items, embedding_dim]`, oldest first, padding last.
          sessions: `[batch, num_sessions, embedding_dim]`, likewise.
          times: Of the items and of the sessions, `[batch, num_items]` and `[batch,
            num_sessions]` integers; 0 is padding.
          training: Whether to drop.

        Returns:
          See `Transitions`. What it has of padding has no meaning and no influence.
        """
        sessions = tf.cast(sessions, items.dtype)
        valid = _joined(times) > 0
        length = tf.shape(items)[1]
        across = self._encode_across(items, sessions, times, training)
        within, fused = [], []
        for name, events, own, other in (
            ("recommendation", items, valid[:, :length], across[:, :length]),
            ("search", sessions, valid[:, length:], across[:, length:]),
        ):
            encoded = self._encode_within(name, events, own, training)
            within.append(encoded)
            for fusion in self._fusions[name]:
                encoded = fusion(encoded, other, own, training=training)
            fused.append(encoded)
        return Transitions(
            across[:, :length],
            across[:, length:],
            *within,
            *fused,
            valid[:, :length],
            valid[:, length:],
        )

    def weights_across(
        self,
        items: tf.Tensor,
        sessions: tf.Tensor,
        times: tuple[tf.Tensor, tf.Tensor],
    ) -> list[tf.Tensor]:
        """How much every event looks at every event of the other service.

        Args:
          items: As for `call`, like the others.
          sessions: See there.
          times: See there.

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
        """Events with positions, types and validity, for the encoder across.

        Attention knows no order: the events stay one service after the other, and only
        their positions say how they alternate.
        """
        times = _joined(times)
        events = tf.concat([items, sessions], axis=1)
        positions = tf.cast(self._positions["across"], events.dtype)
        events += tf.gather(positions, places_by_time(times))
        types = tf.range(tf.shape(times)[1]) >= tf.shape(items)[1]
        return events, tf.cast(types, tf.int32)[None], times > 0

    def _encode_within(
        self, name: str, events: tf.Tensor, valid: tf.Tensor, training: bool
    ) -> tf.Tensor:
        if name not in self.encoders:
            return tf.zeros_like(events)
        length = tf.shape(events)[1]
        events += tf.cast(self._positions[name][:length], events.dtype)
        types = tf.zeros([1, length], tf.int32)
        return self._encoders[name](events, types, valid, training=training)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """The original's encoders, fusions and position tables.

        Args:
          arrays: The original's state dict, with other arrays too.

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
            for place, fusion in enumerate(fusions):
                prefix = f"{_ORIGINAL[name]}_cross_fusion.layers.{place}"
                targets |= under(prefix, fusion, arrays)
        return targets

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_items": self.num_items,
            "num_sessions": self.num_sessions,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
            "encoders": self.encoders,
        }


def _joined(times: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.cast(part, tf.int64) for part in times], axis=1)


def places_by_time(times: tf.Tensor) -> tf.Tensor:
    """Where each event stands when all are in the order of their times.

    Args:
      times: `[batch, num_events]` integers above 0; 0 is padding. Events of
        several lists lie one list after the other.

    Returns:
      `[batch, num_events]` int32 places from 0 on. Events of the same time keep their
      order, and padding comes last, in its order too.
    """
    times = tf.cast(times, tf.int64)
    keys = tf.where(times > 0, times, times.dtype.max)
    order = tf.argsort(keys, axis=1, stable=True)
    return tf.argsort(order, axis=1)
