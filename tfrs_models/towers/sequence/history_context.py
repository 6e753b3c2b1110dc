"""What a history tower reads beside the items: times, kinds of events and weights."""

import dataclasses

import tensorflow as tf

from tfrs_models.feature import Feature
from tfrs_models.ops.features.checks import same_shape
from tfrs_models.ops.features.declared_features import known_values
from tfrs_models.ops.features.read_features import required
from tfrs_models.types import Features

NUM_GAPS = 32
HOURS, WEEKDAYS = 24, 7
_HOUR, _DAY = 3_600, 86_400
_THURSDAY = 3  # 1 January 1970, counted from Monday


@dataclasses.dataclass(frozen=True)
class HistoryContext:
    """Names of the features of a history that are read beside its items.

    Args:
      timestamp: name of the times of the items, `[batch, seq_len]` integer seconds
        since 1970.
      query_time: name of the time of the request, integer seconds, `[batch]`, or
        `[batch, seq_len]` where all positions are embedded; needs `timestamp`.
      clock: whether hour of day and weekday are read; needs `timestamp`.
      utc_offset: name of the seconds that local time is ahead of UTC, `[batch]`
        numbers, NaN for unknown; None for UTC. Needs `clock`.
      event: declaration of the kinds of the events, `[batch, seq_len]` ids, 0 for
        unknown.
      weight: name of the weights of the events, `[batch, seq_len]` floats, not
        negative.

    Raises:
      ValueError: an argument needs another, or the event is no id.
    """

    timestamp: str | None = None
    query_time: str | None = None
    clock: bool = False
    utc_offset: str | None = None
    event: Feature | None = None
    weight: str | None = None

    def __post_init__(self) -> None:
        """Checks the arguments."""
        needs = {
            "query_time": (self.query_time, "timestamp"),
            "clock": (self.clock, "timestamp"),
            "utc_offset": (self.utc_offset, "clock"),
        }
        for name, (given, other) in needs.items():
            if given and not getattr(self, other):
                raise ValueError(
                    f"`{name}` needs `{other}` too. Got {name}={given!r} without it."
                )
        if isinstance(self.event, dict):
            object.__setattr__(self, "event", Feature(**self.event))
        if self.event is not None and getattr(self.event, "kind", None) != "id":
            raise ValueError(
                '`event` must be a `data.Feature` of kind "id", which says the number '
                f"of kinds. Got {self.event!r}."
            )

    def config(self) -> dict:
        """Returns the arguments that are given, for the config of a layer."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v}

    def columns(
        self, features: Features, items: tf.Tensor, history: str
    ) -> dict[str, tf.Tensor]:
        """Reads the values of the items.

        Args:
          features: features of a batch by name.
          items: ids of the items, `[batch, seq_len]`.
          history: name of the feature of the items, for errors.

        Returns:
          "times" int64, "events" int64, 0 for unknown kinds, and "log_weights" float32,
          `log(1 + weight)`, each `[batch, seq_len]`, of those that are declared.

        Raises:
          ValueError: a feature is missing or has the wrong dtype or shape.
        """
        found = {}
        if self.timestamp is not None:
            found["times"] = _whole_seconds(
                features,
                self.timestamp,
                items,
                f"one for each item of `{history}`",
                "the times of the history",
                "give the data one with `data.with_histories`",
            )
        if self.event is not None:
            name = self.event.name
            events = tf.convert_to_tensor(required(features, name))
            if not events.dtype.is_integer:
                raise ValueError(
                    f"Feature `{name}` must hold integer ids. Got {events.dtype.name}."
                )
            message = f"Feature `{name}` must have one id for each item of `{history}`"
            events = same_shape(tf.cast(events, tf.int64), items, message)
            found["events"], _ = known_values(events, self.event)
        if self.weight is not None:
            name = self.weight
            weights = tf.convert_to_tensor(required(features, name))
            if not (weights.dtype.is_floating or weights.dtype.is_integer):
                raise ValueError(
                    f"Feature `{name}` must hold numbers. Got {weights.dtype.name}."
                )
            message = f"Feature `{name}` must have one for each item of `{history}`"
            weights = same_shape(tf.cast(weights, tf.float32), items, message)
            found["log_weights"] = tf.math.log1p(tf.maximum(weights, 0.0))
        return found

    def request(
        self, features: Features, items: tf.Tensor, newest: tf.Tensor, sequences: bool
    ) -> tf.Tensor:
        """Reads the time of the request, which is not before the newest item.

        Args:
          features: features of a batch by name.
          items: ids of the items, `[batch, seq_len]`.
          newest: time of the newest item that a position has seen, `[batch,
            num_positions]` int64.
          sequences: whether all positions are embedded, each for its own request.

        Returns:
          `[batch, num_positions]` int64 seconds; the time of the newest item where the
          request's is unknown (0) or earlier.

        Raises:
          ValueError: the feature is missing or has the wrong dtype or shape.
        """
        if self.query_time is None:
            return newest
        rule = "one for each row"
        if sequences:
            rule = "one for each position where all are embedded"
        like = items if sequences else items[:, 0]
        times = _whole_seconds(
            features,
            self.query_time,
            like,
            rule,
            "the time of the request",
            "give it the value 0 where the time is unknown",
        )
        return tf.maximum(times if sequences else times[:, None], newest)

    def clock_of(
        self, features: Features, times: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes hours and weekdays, of local time where the offset is declared.

        Args:
          features: features of a batch by name.
          times: seconds since 1970, `[batch, num_times]` int64.

        Returns:
          Hours from 0 to 23 and weekdays from 0, Monday, to 6, each `[batch,
          num_times]` int64.

        Raises:
          ValueError: the offset is missing or has the wrong dtype or shape.
        """
        if self.utc_offset is not None:
            name = self.utc_offset
            if name not in features:
                raise ValueError(
                    f"Feature `{name}`, the seconds that local time is ahead of UTC, "
                    "is missing: give the users one, or leave `utc_offset` out. Got "
                    f"{sorted(features)}."
                )
            offset = tf.cast(features[name], tf.float64)  # numbers of users are floats
            offset = tf.where(tf.math.is_finite(offset), tf.round(offset), 0.0)
            message = f"Feature `{name}` must have a number for each row"
            offset = tf.cast(same_shape(offset, times[:, 0], message), tf.int64)
            times += offset[:, None]
        days = times // _DAY
        return (times - days * _DAY) // _HOUR, (days + _THURSDAY) % WEEKDAYS


def latest(times: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
    """Finds the latest of the times that each position has seen, 0 if it saw none.

    Args:
      times: times of the items, `[batch, seq_len]` int64, not negative.
      seen: True for the items that a position sees, `[batch, num_positions, seq_len]`.

    Returns:
      `[batch, num_positions]` int64.
    """
    return tf.reduce_max(tf.where(seen, times[:, None, :], 0), axis=2)


def gap_buckets(seconds: tf.Tensor) -> tf.Tensor:
    """Sorts gaps into buckets whose edges are powers of 2.

    Args:
      seconds: gaps in seconds, integers; negative ones count as 0.

    Returns:
      int32 of the same shape: `floor(log2(1 + seconds))`, at most 31.
    """
    edges = tf.constant([2**power - 1 for power in range(1, NUM_GAPS)], tf.int64)
    found = tf.searchsorted(edges, tf.reshape(seconds, [-1]), side="right")
    return tf.reshape(found, tf.shape(seconds))


def _whole_seconds(
    features: Features, name: str, like: tf.Tensor, rule: str, noun: str, advice: str
) -> tf.Tensor:
    """Reads integer times, int64 of the shape of `like`."""
    if name not in features:
        raise ValueError(
            f"Feature `{name}`, {noun}, is missing: {advice}. Got {sorted(features)}."
        )
    times = tf.convert_to_tensor(features[name])
    message = f"Feature `{name}` must be whole seconds, {rule}"
    if not times.dtype.is_integer or times.shape.rank not in (None, like.shape.rank):
        raise ValueError(
            f"{message}, {like.shape}. Got {times.dtype.name} of shape {times.shape}."
        )
    return same_shape(tf.cast(times, tf.int64), like, message)
