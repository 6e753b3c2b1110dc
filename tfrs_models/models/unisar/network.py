"""What UniSAR computes: from histories and candidates to logits."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.layers.experts import ProgressiveLayered
from tfrs_models.layers.experts.gated import Expert
from tfrs_models.models.unisar.bilinear_target_attention import (
    BilinearTargetAttention,
)
from tfrs_models.models.unisar.entity_encoder import EntityEncoder
from tfrs_models.models.unisar.example import Example, read_example, same_rows
from tfrs_models.models.unisar.kept_items import KeptItems
from tfrs_models.models.unisar.query_encoder import QueryEncoder
from tfrs_models.models.unisar.service_transitions import (
    ServiceTransitions,
    Transitions,
)
from tfrs_models.ops.features.read_features import known_ids
from tfrs_models.ops.masks import masked_mean
from tfrs_models.types import Features

RECOMMENDATION, SEARCH = TASKS = ("recommendation", "search")


class UserState(NamedTuple):
    """What the model makes of a row before it sees candidates.

    Attributes:
      user: `[batch, width]`.
      query: `[batch, width]` of a search; `[1, width]` of the recommendation.
      transitions: Of both histories.
      session_query: `[batch, num_sessions, width]`.
      session_items: `[batch, num_sessions, num_clicks, width]`.
      is_click: `[batch, num_sessions, num_clicks]` bool.
    """

    user: tf.Tensor
    query: tf.Tensor
    transitions: Transitions
    session_query: tf.Tensor
    session_items: tf.Tensor
    is_click: tf.Tensor


class UniSARNetwork(tf.keras.layers.Layer):
    """The layers of `models.UniSAR`."""

    def __init__(self, sizes: Mapping, **kwargs) -> None:
        """Initializes the layers.

        Args:
          sizes: The arguments of `models.UniSAR`, by name.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        width, length = sizes["width"], sizes["caption_length"]
        widths = {"embedding_dim": sizes["embedding_dim"], "output_dim": width}
        self._limits = {
            "num_users": sizes["num_users"],
            "num_items": sizes["num_items"],
            "num_words": sizes["num_words"],
            "history_length": sizes["history_length"],
            "num_sessions": sizes["num_sessions"],
        }
        self.query_encoder = QueryEncoder(
            sizes["num_words"], name="query_encoder", **widths
        )
        self.item_encoder = EntityEncoder(
            sizes["num_items"] + 1,
            categories=sizes["item_categories"],
            text=self.query_encoder if length else None,
            text_length=length,
            padding=True,
            name="item_encoder",
            **widths,
        )
        self.kept_items = KeptItems(self.item_encoder, sizes["num_items"] + 1)
        self.user_encoder = EntityEncoder(
            sizes["num_users"],
            categories=sizes["user_categories"],
            name="user_encoder",
            **widths,
        )
        self.transitions = ServiceTransitions(
            width,
            num_items=sizes["history_length"],
            num_sessions=sizes["num_sessions"],
            num_heads=sizes["num_heads"],
            num_layers=sizes["num_layers"],
            dropout=sizes["dropout"],
            encoders=sizes["encoders"],
            name="transitions",
        )
        self.pooling = {
            task: BilinearTargetAttention(name=f"{task}_pooling") for task in TASKS
        }
        self.no_query = self.add_weight(
            "no_query", (1, width), initializer="glorot_normal"
        )
        self.experts = ProgressiveLayered(
            len(TASKS),
            num_shared=sizes["num_shared"],
            num_specific=sizes["num_specific"],
            units=sizes["expert_units"],
            tower_units=sizes["tower_units"],
            dropout=sizes["dropout"],
            name="experts",
        )
        self.heads = {
            task: Expert(
                sizes["head_units"], dropout=sizes["dropout"], name=f"{task}_head"
            )
            for task in TASKS
        }
        self.logits = {
            task: tf.keras.layers.Dense(1, name=f"{task}_logit") for task in TASKS
        }

    def encode(
        self, features: Features, task: str, training: bool = False
    ) -> UserState:
        """Encodes users, queries and histories.

        Args:
          features: An example of the service.
          task: Its name.
          training: Whether to drop.
        """
        example = self._read(features, task)
        items, sessions, queries, clicked = self._events(example)
        return UserState(
            self.user_encoder(example.user_id),
            self._query_of(example),
            self.transitions(items, sessions, _times(example), training=training),
            queries,
            clicked,
            example.session_items > 0,
        )

    def weights_across(self, features: Features, task: str) -> list[tf.Tensor]:
        """How much every event looks at every event of the other service.

        Args:
          features: An example of the service.
          task: Its name.

        Returns:
          For each block `[batch, num_heads, n, n]`, `n` items and searches in this
          order.
        """
        example = self._read(features, task)
        items, sessions, _, _ = self._events(example)
        return self.transitions.weights_across(items, sessions, _times(example))

    def _read(self, features: Features, task: str) -> Example:
        return read_example(features, is_search=task == SEARCH, **self._limits)

    def _events(self, example: Example) -> tuple[tf.Tensor, ...]:
        """Vectors of items and searches, and of queries and clicks of the latter."""
        clicks = example.session_items
        length, shape = tf.shape(example.item_history)[1], tf.shape(clicks)
        flat = tf.reshape(clicks, [shape[0], shape[1] * shape[2]])
        ids = tf.concat([example.item_history, flat], axis=1)
        items = self.items(ids)  # both at once: many occur in both
        width = items.shape[-1]
        clicked = tf.reshape(items[:, length:], [*tf.unstack(shape), width])
        queries = self.query_encoder(example.session_query)
        sessions = queries + masked_mean(clicked, clicks > 0)
        real = (example.session_time > 0)[:, :, None]
        return items[:, :length], tf.where(real, sessions, 0), queries, clicked

    def score(
        self,
        state: UserState,
        candidates: tf.Tensor,
        task: str,
        training: bool = False,
    ) -> tf.Tensor:
        """Logits of candidates.

        Args:
          state: Of the rows.
          candidates: `[batch, num_candidates, width]`, or `[1, num_candidates, width]`
            where all rows have the same.
          task: Of the two.
          training: Whether to drop.

        Returns:
          `[batch, num_candidates]` float32.
        """
        transitions = state.transitions
        interests = [
            self.pooling[RECOMMENDATION](
                transitions.recommendation, candidates, transitions.valid_items
            ),
            self.pooling[SEARCH](
                transitions.search, candidates, transitions.valid_sessions
            ),
        ]
        shape = tf.shape(interests[0])
        candidates = tf.broadcast_to(candidates, shape)
        parts = [*interests, candidates, state.user[:, None], state.query[:, None]]
        expert = self.experts.call_in_parts(parts, TASKS.index(task), training)
        logits = self.logits[task](self.heads[task](expert, training=training))
        return tf.cast(tf.reshape(logits, shape[:2]), tf.float32)

    def candidates(self, features: Features) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids and vectors of an example's candidates."""
        size = self._limits["num_items"]
        items = known_ids(features, "item_id", size, rank=2)
        items = same_rows("item_id", items, features["user_id"])
        return items, self.items(items)

    def items(self, ids: tf.Tensor) -> tf.Tensor:
        """Vectors of items, `[..., width]`; those that are kept where they are kept."""
        return self.kept_items.look_up(ids, self.item_encoder)

    def drawn(self, random: Features) -> tuple[tf.Tensor, tf.Tensor]:
        """Vectors of random queries and of random items, `[n, width]` each."""
        words = known_ids(random, "query", self._limits["num_words"], rank=2)
        items = known_ids(random, "item_id", self._limits["num_items"], rank=1)
        return self.query_encoder(words), self.item_encoder(items)

    def _query_of(self, example: Example) -> tf.Tensor:
        if example.query is None:
            return tf.convert_to_tensor(self.no_query)
        return self.query_encoder(example.query)


def no_rows() -> Features:
    """An example of either service without a row."""
    row = tf.zeros([0, 1], tf.int64)
    return {
        "user_id": row[:, 0],
        "item_history": row,
        "item_history_time": row,
        "session_query": row[..., None],
        "session_items": row[..., None],
        "session_time": row,
        "item_id": row,
        "query": row,
    }


def _times(example: Example) -> tuple[tf.Tensor, tf.Tensor]:
    return example.item_time, example.session_time
