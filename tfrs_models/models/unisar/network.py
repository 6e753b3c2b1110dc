"""The layers of UniSAR, from histories and candidates to logits."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.transformer import masked_softmax
from tfrs_models.layers.experts import ProgressiveLayered
from tfrs_models.layers.experts.gated import Expert
from tfrs_models.models.unisar.encoders import EntityEncoder, ItemVectors, QueryEncoder
from tfrs_models.models.unisar.example import (
    RECOMMENDATION,
    SEARCH,
    TASKS,
    Example,
    Limits,
    read_example,
    read_random,
)
from tfrs_models.models.unisar.transitions import ServiceTransitions, Transitions
from tfrs_models.ops.masks import masked_mean
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort
from tfrs_models.types import Features


class UserState(NamedTuple):
    """The encoded users of a batch, before they meet candidates.

    Attributes:
      user: `[batch, width]` vectors of the users.
      query: `[batch, width]` vectors of searches; `[1, width]` of the recommendation.
      transitions: encoded events of both histories.
      session_query: `[batch, num_sessions, width]` vectors of past queries.
      session_items: `[batch, num_sessions, num_clicks, width]` vectors of past clicks.
      is_click: `[batch, num_sessions, num_clicks]` bool, False for padding.
    """

    user: tf.Tensor
    query: tf.Tensor
    transitions: Transitions
    session_query: tf.Tensor
    session_items: tf.Tensor
    is_click: tf.Tensor


class Events(NamedTuple):
    """The vectors of a batch's past events.

    Attributes:
      items: `[batch, seq_len, width]` vectors of the items of a history.
      sessions: `[batch, num_sessions, width]` vectors of searches with their clicks.
      queries: `[batch, num_sessions, width]` vectors of the words of searches.
      clicks: `[batch, num_sessions, num_clicks, width]` vectors of clicked items.
    """

    items: tf.Tensor
    sessions: tf.Tensor
    queries: tf.Tensor
    clicks: tf.Tensor


class UniSARNetwork(tf.keras.layers.Layer):
    """The layers of `models.UniSAR`: encoders, transitions, experts and heads."""

    def __init__(self, options: Mapping, **kwargs) -> None:
        """Initializes the layers.

        Args:
          options: arguments of `models.UniSAR` by name.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._limits = Limits(**{name: options[name] for name in Limits._fields})
        width, text_length = options["width"], options["caption_length"]
        widths = {"embedding_dim": options["embedding_dim"], "output_dim": width}
        dropout = {"dropout": options["dropout"]}
        self.query_encoder = QueryEncoder(
            self._limits.num_words, name="query_encoder", **widths
        )
        self.item_encoder = EntityEncoder(
            self._limits.num_items + 1,
            categories=options["item_categories"],
            text=self.query_encoder if text_length else None,
            text_length=text_length,
            padding=True,
            name="item_encoder",
            **widths,
        )
        self.item_vectors = ItemVectors(self.item_encoder)
        self.user_encoder = EntityEncoder(
            self._limits.num_users,
            categories=options["user_categories"],
            name="user_encoder",
            **widths,
        )
        self.transitions = ServiceTransitions(
            width,
            seq_len=self._limits.seq_len,
            num_sessions=self._limits.num_sessions,
            num_heads=options["num_heads"],
            num_layers=options["num_layers"],
            encoders=options["encoders"],
            name="transitions",
            **dropout,
        )
        self.pooling = {
            task: BilinearTargetAttention(name=f"{task}_pooling") for task in TASKS
        }
        self.no_query = self.add_weight(
            "no_query", (1, width), initializer="glorot_normal"
        )
        self.experts = ProgressiveLayered(
            len(TASKS),
            num_shared=options["num_shared"],
            num_specific=options["num_specific"],
            units=options["expert_units"],
            tower_units=options["tower_units"],
            name="experts",
            **dropout,
        )
        self.heads = {
            task: Expert(options["head_units"], name=f"{task}_head", **dropout)
            for task in TASKS
        }
        self.logits = {
            task: tf.keras.layers.Dense(1, name=f"{task}_logit") for task in TASKS
        }

    def run(
        self, features: Features, task: str, training: bool = False
    ) -> tuple[UserState, tf.Tensor, tf.Tensor]:
        """Scores the candidates of an example of one service.

        Args:
          features: features by name, as in `models.UniSAR`.
          task: `"recommendation"` or `"search"`.
          training: whether dropout is active.

        Returns:
          The encoded users, their candidates `[batch, num_candidates]` and the logits
          of these, `[batch, num_candidates]` float32.
        """
        example = self.read(features, task)
        state = self.encode(example, training)
        candidates = self.item_vectors(example.item_id)
        logits = self.score(state, candidates, task, training)
        return state, example.item_id, logits

    def read(self, features: Features, task: str) -> Example:
        """Reads and checks an example of one service.

        Args:
          features: features by name, as in `models.UniSAR`.
          task: `"recommendation"` or `"search"`.
        """
        return read_example(features, self._limits, task)

    def encode(self, example: Example, training: bool = False) -> UserState:
        """Encodes users, queries and histories.

        Args:
          example: a checked batch of one service.
          training: whether dropout is active.
        """
        user = self.user_encoder(example.user_id)
        if example.query is None:
            query = tf.convert_to_tensor(self.no_query)
        else:
            query = self.query_encoder(example.query)
        events = self._events(example)
        transitions = self.transitions(
            events.items, events.sessions, _times(example), training=training
        )
        is_click = example.session_items > 0
        return UserState(
            user, query, transitions, events.queries, events.clicks, is_click
        )

    def weights_across(self, features: Features, task: str) -> list[tf.Tensor]:
        """Computes the attention weights between events of the two services.

        Args:
          features: features by name, as in `models.UniSAR`; candidates are not read.
          task: `"recommendation"` or `"search"`.

        Returns:
          For each block `[batch, num_heads, n, n]`, `n` items and searches in this
          order.
        """
        example = read_example(features, self._limits, task, candidates=False)
        events = self._events(example)
        return self.transitions.weights_across(
            events.items, events.sessions, _times(example)
        )

    def _events(self, example: Example) -> Events:
        clicks = example.session_items
        seq_len, shape = tf.shape(example.item_history)[1], tf.shape(clicks)
        flat = tf.reshape(clicks, [shape[0], shape[1] * shape[2]])
        ids = tf.concat([example.item_history, flat], axis=1)
        items = self.item_vectors(ids)  # both at once: many occur in both
        queries = self.query_encoder(example.session_query)
        clicked = tf.reshape(items[:, seq_len:], [*tf.unstack(shape), items.shape[-1]])
        sessions = queries + masked_mean(clicked, clicks > 0)
        is_session = (example.session_time > 0)[:, :, None]
        sessions = tf.where(is_session, sessions, 0)
        return Events(items[:, :seq_len], sessions, queries, clicked)

    def score(
        self,
        state: UserState,
        candidates: tf.Tensor,
        task: str,
        training: bool = False,
    ) -> tf.Tensor:
        """Computes the logits of candidates.

        Args:
          state: encoded users of the batch.
          candidates: `[batch, num_candidates, width]` vectors of items, or `[1,
            num_candidates, width]` if all rows have the same candidates.
          task: `"recommendation"` or `"search"`.
          training: whether dropout is active.

        Returns:
          `[batch, num_candidates]` float32.
        """
        transitions = state.transitions
        interests = [
            self.pooling[RECOMMENDATION](
                transitions.recommendation, candidates, transitions.item_mask
            ),
            self.pooling[SEARCH](
                transitions.search, candidates, transitions.session_mask
            ),
        ]
        shape = tf.shape(interests[0])
        candidates = tf.broadcast_to(candidates, shape)
        parts = [*interests, candidates, state.user[:, None], state.query[:, None]]
        expert = self.experts.call_in_parts(parts, TASKS.index(task), training)
        logits = self.logits[task](self.heads[task](expert, training=training))
        return tf.cast(tf.reshape(logits, shape[:2]), tf.float32)

    def encode_random(self, features: Features) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes random queries and random items, the negatives of the pairs.

        Args:
          features: `query` `[m, num_words]` and `item_id` `[n]`.

        Returns:
          `[m, width]` vectors of queries and `[n, width]` vectors of items.
        """
        words, items = read_random(features, self._limits)
        return self.query_encoder(words), self.item_encoder(items)


@register
class BilinearTargetAttention(TorchPort, tf.keras.layers.Layer):
    """Sums up a history for each candidate, weighted by the softmax of `h W c`.

    The history is held once for all candidates of a row, not repeated for each.

    Example:
      >>> layer = tm.models.unisar.BilinearTargetAttention()
      >>> history, candidates = tf.random.normal([2, 5, 4]), tf.random.normal([2, 3, 4])
      >>> mask = tf.sequence_mask([5, 2])  # the second user has two events
      >>> layer(history, candidates, mask).shape
      TensorShape([2, 3, 4])

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        width = input_shape[-1]
        self.kernel = self.add_weight(
            "kernel", (width, width), initializer="glorot_normal"
        )
        super().build(input_shape)

    def call(
        self, history: tf.Tensor, candidates: tf.Tensor, mask: tf.Tensor
    ) -> tf.Tensor:
        """Sums up the history for each candidate.

        Args:
          history: `[batch, seq_len, embedding_dim]` vectors of events.
          candidates: `[batch, num_candidates, embedding_dim]` vectors of candidates, or
            `[1, num_candidates, embedding_dim]` if all rows have the same candidates.
          mask: `[batch, seq_len]` bool, False for padding.

        Returns:
          `[batch, num_candidates, embedding_dim]`; 0 for a history without an event.
        """
        weights = self.weights_of(history, candidates, mask)
        return tf.matmul(weights, history)

    def weights_of(
        self, history: tf.Tensor, candidates: tf.Tensor, mask: tf.Tensor
    ) -> tf.Tensor:
        """Computes the weight of each event for each candidate.

        Args:
          history: `[batch, seq_len, embedding_dim]` vectors of events.
          candidates: `[batch, num_candidates, embedding_dim]` vectors of candidates, or
            `[1, num_candidates, embedding_dim]` if all rows have the same candidates.
          mask: `[batch, seq_len]` bool, False for padding.

        Returns:
          `[batch, num_candidates, seq_len]`; rows sum to 1, or to 0 without an event.
        """
        kernel = tf.cast(self.kernel, history.dtype)
        turned = tf.matmul(history, kernel)  # short, where candidates are many
        scores = tf.matmul(tf.cast(candidates, turned.dtype), turned, transpose_b=True)
        return masked_softmax(scores, mask[:, None, :])

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the original's matrix, which has an additional axis of length 1.

        Args:
          arrays: state dict of the original.
        """
        if not self.built:
            self.build((None, None, np.shape(arrays["W"])[-1]))
        return {"W": TorchArray(self.kernel, lambda value: np.squeeze(value, 0))}


def _times(example: Example) -> tuple[tf.Tensor, tf.Tensor]:
    return example.item_time, example.session_time
