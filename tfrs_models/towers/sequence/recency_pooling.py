"""A tower that weighs the items of a history by their age."""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.dropout import Dropout
from tfrs_models.towers.sequence.history_context import HOURS, WEEKDAYS, latest
from tfrs_models.towers.sequence.history_tower import HistoryTower
from tfrs_models.types import Features

MINUTE = 60.0


@register
class RecencyPooling(HistoryTower):
    """Embeds a history as sums of its items with several half-lives.

    `query = sum_k exp(g_k) A_k sum_j w_kj e_j / sqrt(sum_j w_kj)` with the weights
    `w_kj = 0.5^(age_j / h_k)`, where `age_j` is the number of items after item `j`,
    `e_j` its embedding scaled to length one, and `h_k` are half-lives from 0 (the last
    item only) to infinity (all items alike). All positions are one matrix product with
    the weights, without a recurrence, so that it learns as fast as a model without
    history.

    With times the weights are `w_kj = 0.5^(age_j / h_k) (1 + gap_j)^(-p_k)`, where
    `gap_j` is the time from item `j` to the newest item in minutes, and the powers
    `p_k` are learned: items of earlier sessions count less. With the time of the
    request (`query_time`), `gap_j` is the time from item `j` to the request: a request
    long after the newest item makes the items more alike. A request whose time is
    unknown (0), or earlier than the newest item, counts as made at the time of the
    newest item.

    With a `clock`, items of some hours and weekdays before that of the request count
    more or less: the weights have a learned factor for the difference of the hours of
    day, from 0 to 23, and one for that of the weekdays; and a learned vector of the
    request's hour and one of its weekday are added to the query. A kind of `event` has
    a factor for each half-life, and a vector that is added to the scaled items; a
    `weight` is a factor `(1 + weight)^q_k`. All of them start without effect.

    Example:
      >>> item = tm.data.Feature("item_id", "id", num_values=9)
      >>> items = tm.towers.FeatureTower([item], embedding_dim=4)
      >>> tower = tm.towers.RecencyPooling(items, 4)
      >>> history = {"history": np.array([[3, 1, 7], [5, 0, 0]])}  # 0 is padding
      >>> tower(history).shape, tower(history, return_sequences=True).shape
      (TensorShape([2, 4]), TensorShape([2, 3, 4]))
    """

    def __init__(
        self,
        item_tower: tf.keras.layers.Layer,
        embedding_dim: int,
        *,
        half_lives: Sequence[float] = (0.0, 4.0, 16.0, 64.0, math.inf),
        dropout: float = 0.2,
        timestamp: str | None = None,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          item_tower: candidate tower, from `{item_id: [num_items]}` to `[num_items,
            embedding_dim]`.
          embedding_dim: width of the item tower's output and of this one's.
          half_lives: numbers of items after which the weight of an item is halved; 0
            for the last item only, infinity for equal weights.
          dropout: share of the item embeddings' components that training drops.
          timestamp: name of the feature of the items' times, `[batch, seq_len]` integer
            seconds; None to use no times.
          **kwargs: `history` and `item_id`, names of the features of the items of a
            history and of an item's id; `query_time`, `clock`, `utc_offset`, `event`
            and `weight`, what else is read of a history and its request; and arguments
            of `tf.keras.layers.Layer`.
        """
        super().__init__(item_tower, timestamp=timestamp, **kwargs)
        half_lives = tuple(float(value) for value in half_lives)
        if not half_lives or not all(value >= 0 for value in half_lives):
            raise ValueError(
                "`half_lives` must hold at least one number, none negative. Got "
                f"{half_lives}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        self.embedding_dim = embedding_dim
        self.half_lives = half_lives
        self.dropout = dropout
        self.timestamp = timestamp
        context = self.context
        self._drop = Dropout(dropout, dtype="float32")
        count = len(half_lives)
        self._projections = self._add_float32(
            "projections", (count, embedding_dim, embedding_dim), _identities
        )
        self._log_scales = self._add_float32("log_scales", (count,))
        if timestamp is not None:
            self._powers = self._add_float32("powers", (count,))
        if context.clock:
            self._hour_factors = self._add_float32("hour_factors", (count, HOURS))
            self._weekday_factors = self._add_float32(
                "weekday_factors", (count, WEEKDAYS)
            )
            self._hours = self._add_float32("hours", (HOURS, embedding_dim))
            self._weekdays = self._add_float32("weekdays", (WEEKDAYS, embedding_dim))
        if context.event is not None:
            kinds = context.event.num_values + 1
            self._event_factors = self._add_float32("event_factors", (count, kinds))
            self._events = self._add_float32("events", (kinds, embedding_dim))
        if context.weight is not None:
            self._weight_powers = self._add_float32("weight_powers", (count,))

    def call(
        self,
        features: Features,
        training: bool = False,
        return_sequences: bool = False,
    ) -> tf.Tensor:
        items = self._checked(features)
        columns = self.context.columns(features, items, self.history)
        embeddings, mask = self.embed(items, training)
        counts = tf.cumsum(tf.cast(mask, tf.int32), axis=1)
        now = counts if return_sequences else counts[:, -1:]
        ages = now[:, :, None] - counts[:, None, :]  # [batch, position, item]
        seen = (ages >= 0) & mask[:, None, :]
        request = None
        if "times" in columns:
            newest = latest(columns["times"], seen)
            request = self.context.request(features, items, newest, return_sequences)
        exponents = self._exponents(features, columns, seen, request)
        vectors = tf.math.l2_normalize(tf.cast(embeddings, tf.float32), axis=-1)
        if "events" in columns:
            vectors += tf.gather(self._events, columns["events"])
        vectors = self._drop(vectors, training=training)
        ages = tf.maximum(ages, 0)
        pooled = self._pool(vectors, ages, seen, exponents)
        if self.context.clock:
            hours, weekdays = self.context.clock_of(features, request)
            of_request = tf.gather(self._hours, hours)
            of_request += tf.gather(self._weekdays, weekdays)
            pooled += tf.where(tf.reduce_any(seen, 2, keepdims=True), of_request, 0.0)
        return pooled if return_sequences else tf.squeeze(pooled, axis=1)

    def _exponents(
        self,
        features: Features,
        columns: dict[str, tf.Tensor],
        seen: tf.Tensor,
        request: tf.Tensor | None,
    ) -> list[Callable[[int], tf.Tensor]]:
        """Logarithms of the factors of the weights, by the number of the half-life."""
        exponents = []
        if request is not None:
            times = columns["times"][:, None, :]
            gaps = tf.where(seen, request[:, :, None] - times, 0)
            log_gaps = tf.math.log1p(tf.cast(gaps, tf.float32) / MINUTE)
            exponents.append(lambda k: -self._powers[k] * log_gaps)
        if self.context.clock:
            clocks = zip(
                self.context.clock_of(features, request),
                self.context.clock_of(features, columns["times"]),
                (self._hour_factors, self._weekday_factors),
                strict=True,
            )
            for now, then, factors in clocks:
                size = factors.shape[1]
                earlier = (now[:, :, None] - then[:, None, :]) % size
                exponents.append(
                    lambda k, f=factors, before=earlier: tf.gather(f[k], before)
                )
        if "events" in columns:
            kinds = columns["events"][:, None, :]
            exponents.append(lambda k: tf.gather(self._event_factors[k], kinds))
        if "log_weights" in columns:
            log_weights = columns["log_weights"][:, None, :]
            exponents.append(lambda k: self._weight_powers[k] * log_weights)
        return exponents

    def _pool(
        self,
        items: tf.Tensor,
        ages: tf.Tensor,
        seen: tf.Tensor,
        exponents: list[Callable[[int], tf.Tensor]],
    ) -> tf.Tensor:
        """Sums the items up to each position, `[batch, seq_len, embedding_dim]`."""
        output = 0.0
        for k, half_life in enumerate(self.half_lives):
            decay = 0.5 ** (1 / half_life) if half_life else 0.0
            weights = tf.pow(decay, tf.cast(ages, tf.float32))  # 0^0 is 1
            if exponents:
                weights *= tf.exp(sum(exponent(k) for exponent in exponents))
            weights = tf.where(seen, weights, 0.0)
            norm = tf.sqrt(tf.reduce_sum(weights, axis=2, keepdims=True))
            pooled = tf.math.divide_no_nan(tf.matmul(weights, items), norm)
            scale = tf.exp(self._log_scales[k])
            output += scale * tf.einsum("de,bse->bsd", self._projections[k], pooled)
        return output

    def _add_float32(
        self, name: str, shape: tuple[int, ...], initializer: object = "zeros"
    ) -> tf.Variable:
        """Adds a weight that stays float32 under mixed precision."""
        return self.add_weight(
            name,
            shape,
            tf.float32,
            initializer=initializer,
            experimental_autocast=False,
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "half_lives": list(self.half_lives),
            "dropout": self.dropout,
            "timestamp": self.timestamp,
        }


def _identities(shape: tuple[int, int, int], dtype: tf.DType) -> tf.Tensor:
    """Initializes each projection so that their sum is the identity."""
    return tf.eye(shape[1], batch_shape=shape[:1], dtype=dtype) / shape[0]
