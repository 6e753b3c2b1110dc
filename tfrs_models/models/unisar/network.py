"""The layers of UniSAR, from histories and candidates to logits."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.layers.attention.transformer import BilinearTargetAttention
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
from tfrs_models.models.unisar.transitions import (
    ServiceTransitions,
    Transitions,
    masked_mean,
)
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
      candidates: `[batch, num_candidates, width]` vectors of the example's candidates.
    """

    user: tf.Tensor
    query: tf.Tensor
    transitions: Transitions
    session_query: tf.Tensor
    session_items: tf.Tensor
    is_click: tf.Tensor
    candidates: tf.Tensor


class Vectors(NamedTuple):
    """The vectors of a batch, before events are related to one another.

    Attributes:
      user: `[batch, width]` vectors of the users.
      query: `[batch, width]` vectors of searches; `[1, width]` of the recommendation.
      items: `[batch, seq_len, width]` vectors of the items of a history.
      sessions: `[batch, num_sessions, width]` vectors of searches with their clicks.
      session_query: `[batch, num_sessions, width]` vectors of the words of searches.
      session_items: `[batch, num_sessions, num_clicks, width]` vectors of clicks.
      candidates: `[batch, num_candidates, width]` vectors of candidates; None if they
        were not read.
    """

    user: tf.Tensor
    query: tf.Tensor
    items: tf.Tensor
    sessions: tf.Tensor
    session_query: tf.Tensor
    session_items: tf.Tensor
    candidates: tf.Tensor | None


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
        self,
        features: Features,
        task: str,
        training: bool = False,
        *,
        positive_first: bool = False,
    ) -> tuple[UserState, tf.Tensor, tf.Tensor]:
        """Scores the candidates of an example of one service.

        Args:
          features: features by name, as in `models.UniSAR`.
          task: `"recommendation"` or `"search"`.
          training: whether dropout is active.
          positive_first: whether column 0 of the candidates must not be padding.

        Returns:
          The encoded users, their candidates `[batch, num_candidates]` and the logits
          of these, `[batch, num_candidates]` float32.
        """
        example = self.read(features, task, positive_first=positive_first)
        state = self.encode(example, training)
        logits = self.score(state, state.candidates, task, training)
        return state, example.item_id, logits

    def read(
        self, features: Features, task: str, *, positive_first: bool = False
    ) -> Example:
        """Reads and checks an example of one service.

        Args:
          features: features by name, as in `models.UniSAR`.
          task: `"recommendation"` or `"search"`.
          positive_first: whether column 0 of the candidates must not be padding.
        """
        return read_example(features, self._limits, task, positive_first=positive_first)

    def encode(self, example: Example, training: bool = False) -> UserState:
        """Encodes users, queries and histories.

        Args:
          example: a checked batch of one service.
          training: whether dropout is active.
        """
        vectors = self._vectors(example)
        times = example.item_time, example.session_time
        return UserState(
            vectors.user,
            vectors.query,
            self.transitions(vectors.items, vectors.sessions, times, training=training),
            vectors.session_query,
            vectors.session_items,
            example.session_items > 0,
            vectors.candidates,
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
        vectors = self._vectors(example)
        times = example.item_time, example.session_time
        return self.transitions.weights_across(vectors.items, vectors.sessions, times)

    def _vectors(self, example: Example) -> Vectors:
        clicks = example.session_items
        seq_len, shape = tf.shape(example.item_history)[1], tf.shape(clicks)
        flat = tf.reshape(clicks, [shape[0], shape[1] * shape[2]])
        ids = tf.concat([example.item_history, flat], axis=1)
        items = self.item_vectors(ids)  # both at once: many occur in both
        clicked = tf.reshape(items[:, seq_len:], [*tf.unstack(shape), items.shape[-1]])
        candidates = example.item_id
        if candidates is not None:
            candidates = self.item_vectors(candidates)
        queries = self.query_encoder(example.session_query)
        if example.query is None:
            query = tf.convert_to_tensor(self.no_query)
        else:
            query = self.query_encoder(example.query)
        user = self.user_encoder(example.user_id)
        sessions = queries + masked_mean(clicked, clicks > 0)
        is_session = (example.session_time > 0)[:, :, None]
        sessions = tf.where(is_session, sessions, 0)
        items = items[:, :seq_len]
        return Vectors(user, query, items, sessions, queries, clicked, candidates)

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
