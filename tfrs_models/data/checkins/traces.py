"""Traces: successive check-ins of a user, with the next check-in as the target."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import tensorflow as tf

from tfrs_models.data.batching import row_batches
from tfrs_models.data.checkins.check_ins import CheckIns
from tfrs_models.data.splits import SPLIT_NAMES, TRAIN, split_global_time

IDS = ("user_id", "poi_id", "category_id")
STEPS = ("poi_id", "category_id", "hour", "weekday")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Traces:
    """Check-ins in the order of time, and traces that are ranges of them.

    Args:
      name: name of the data.
      columns: `user_id`, `poi_id`, `category_id` (from 1; 0 for ids that training never
        shows), `hour` and `weekday`, all `[num_check_ins]` int64, sorted by user and
        time, and `timestamp` in seconds UTC.
      first: `[num_traces]` index of the first check-in of each trace.
      target: `[num_traces]` index of the check-in after the last one of each trace.
      split: `[num_traces]` int8 split of each trace, by the time of the target.
      length: maximal number of check-ins in a trace.
      vocabularies: `user_id`, `poi_id` and `category_id` -> strings; entry `i` has the
        id `i + 1`.
      coordinates: `[num_pois, 2]` float64 degrees; row `i` is POI `i + 1`.
      num_short: number of sessions with too few check-ins for a trace.
      num_repeated: number of dropped check-ins that repeat user, POI and second.
      past_length: maximal number of past visits of a trace's user; 0 for none.
      user_first: `[num_traces]` index of the first check-in of each trace's user.

    Example:
      >>> planted = tm.data.synthetic.make_check_ins(0, num_users=2)
      >>> traces = tm.data.checkins.make_traces(planted.check_ins, length=5)
      >>> batch = next(iter(traces.batches("train", batch_size=3)))
      >>> {name: tuple(values.shape) for name, values in batch.items()}
      {'poi_id': (3, 5), 'category_id': (3, 5), 'hour': (3, 5), 'weekday': (3, 5), ...}
    """

    name: str
    columns: dict[str, np.ndarray]
    first: np.ndarray
    target: np.ndarray
    split: np.ndarray
    length: int
    vocabularies: dict[str, np.ndarray]
    coordinates: np.ndarray
    num_short: int
    num_repeated: int
    past_length: int = 0
    user_first: np.ndarray | None = None

    @property
    def num_users(self) -> int:
        """The largest user id."""
        return len(self.vocabularies["user_id"])

    @property
    def num_pois(self) -> int:
        """The largest POI id."""
        return len(self.vocabularies["poi_id"])

    @property
    def num_categories(self) -> int:
        """The largest category id."""
        return len(self.vocabularies["category_id"])

    def rows(self, split: str) -> np.ndarray:
        """Returns the numbers of a split's traces.

        Args:
          split: "train", "validation" or "test".

        Returns:
          `[num_rows]` ascending numbers.

        Raises:
          ValueError: the split is unknown.
        """
        if split not in SPLIT_NAMES:
            raise ValueError(f"`split` must be one of {SPLIT_NAMES}. Got {split!r}.")
        return np.flatnonzero(self.split == SPLIT_NAMES.index(split))

    def steps(self, split: str) -> np.ndarray:
        """Marks the check-ins that are steps of a split's traces.

        Args:
          split: "train", "validation" or "test".

        Returns:
          `[num_check_ins]` bool.

        Raises:
          ValueError: the split is unknown.
        """
        rows = self.rows(split)
        return _are_steps(
            self.first[rows], self.target[rows], len(self.columns["poi_id"])
        )

    def features(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the inputs and targets of traces.

        Args:
          rows: `[batch]` numbers of traces.

        Returns:
          `poi_id`, `category_id`, `hour` and `weekday` `[batch, length]`, padded with 0
          on the left, `user_id`, `next_poi_id` and `next_category_id` `[batch]`; all
          int64. With a `past_length` also what the user did before the target, of any
          session, `past_poi_id` and `past_timestamp` `[batch, past_length]`, padded
          with 0 on the left, and the time of the request, which is that of the target:
          `timestamp` in seconds UTC, `request_hour` and `request_weekday` `[batch]`.
        """
        found = self._gathered(tf.constant(rows), self._tensors())
        return {name: values.numpy() for name, values in found.items()}

    def batches(
        self,
        split: str,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> tf.data.Dataset:
        """Makes batches of the traces of a split.

        Args:
          split: "train", "validation" or "test".
          batch_size: number of traces in a batch; the last batch may be shorter.
          shuffle: whether each epoch is another permutation of the traces.
          seed: seed of the permutations; None follows `tf.random.set_seed`.

        Returns:
          A dataset of dicts with the keys and shapes of `features`.

        Raises:
          ValueError: the split is unknown, or the batch size is below 1.
        """
        rows, tensors = tf.constant(self.rows(split)), self._tensors()
        numbers = row_batches(len(rows), batch_size, shuffle=shuffle, seed=seed)
        return numbers.map(
            lambda n: self._gathered(tf.gather(rows, n), tensors)
        ).prefetch(2)

    def __str__(self) -> str:
        """Formats sizes, split and what was dropped."""
        parts = ", ".join(f"{len(self.rows(name)):,} {name}" for name in SPLIT_NAMES)
        later = self.columns["poi_id"][self.target[self.split != TRAIN]]
        unknown = np.sum(later == 0)
        return (
            f"{self.name}: {len(self.columns['poi_id']):,} check-ins of "
            f"{self.num_users:,} users at {self.num_pois:,} POIs of "
            f"{self.num_categories:,} categories; traces of up to {self.length}: "
            f"{parts}; {self.num_short:,} sessions are too short, "
            f"{self.num_repeated:,} check-ins were repeated, and {unknown:,} of the "
            f"{len(later):,} later targets are POIs that training never shows: misses"
        )

    def _tensors(self) -> dict[str, tf.Tensor]:
        """Columns and ranges as tensors, which a dataset captures without a copy."""
        columns = {name: self.columns[name] for name in ("user_id", *STEPS)}
        edges = {"target": self.target, "first": self.first}
        if self.past_length:
            columns["timestamp"] = self.columns["timestamp"]
            edges["user_first"] = self.user_first
        return {name: tf.constant(v) for name, v in (columns | edges).items()}

    def _gathered(
        self, rows: tf.Tensor, tensors: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Gathers the features of traces, see `features`."""
        target, first = (tf.gather(tensors[name], rows) for name in ("target", "first"))
        of_target = {"user_id": "user_id"}
        of_target |= {f"next_{name}": name for name in ("poi_id", "category_id")}
        found = _before(target, first, tensors, STEPS, self.length)
        if self.past_length:
            of_target |= {"timestamp": "timestamp"}
            of_target |= {f"request_{name}": name for name in ("hour", "weekday")}
            first = tf.gather(tensors["user_first"], rows)
            names = ("poi_id", "timestamp")
            past = _before(target, first, tensors, names, self.past_length)
            found |= {f"past_{name}": values for name, values in past.items()}
        return found | {
            name: tf.gather(tensors[column], target)
            for name, column in of_target.items()
        }


def _before(
    target: tf.Tensor,
    first: tf.Tensor,
    tensors: Mapping[str, tf.Tensor],
    names: Sequence[str],
    length: int,
) -> dict[str, tf.Tensor]:
    """Gathers the newest check-ins before `target`, none before `first`."""
    index = target[:, None] + tf.range(-length, 0, dtype=target.dtype)
    mask = index >= first[:, None]
    index = tf.maximum(index, 0)
    return {name: tf.where(mask, tf.gather(tensors[name], index), 0) for name in names}


def make_traces(
    check_ins: CheckIns,
    *,
    length: int = 25,
    min_length: int | None = None,
    session_gap: float | None = None,
    stride: int = 1,
    past_length: int = 0,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
) -> Traces:
    """Cuts each user's check-ins into traces, with the next check-in as target.

    A trace belongs to the split of its target, and the splits are cut by global time:
    no target of validation or test, and no check-in after it, is in training. Check-ins
    before a test target may be in training. Users, POIs and categories have an id if
    training shows them as a step or a target. All others are 0: as a step they are
    masked, as a target they are a miss. Of several check-ins of one user at one POI in
    one second only the first is used: a repeated one would be a target equal to the
    last step.

    Args:
      check_ins: check-ins of all users; equal times keep the order of the rows.
      length: maximal number of check-ins in a trace.
      min_length: minimal number of check-ins in a trace. None stands for `length`, so
        that all traces are full, or for 1 with a `session_gap`.
      session_gap: hours without a check-in after which a new session begins; a trace
        lies within one session. None makes one session per user.
      stride: number of check-ins from one target to the next, counted from the first
        possible target of a session.
      past_length: maximal number of check-ins before the target, of all sessions of the
        user, that are features beside the trace; 0 for none.
      validation_fraction: share of the targets in validation, in [0, 1).
      test_fraction: share of the targets in test, in (0, 1).

    Returns:
      The traces.

    Raises:
      ValueError: a number is out of range, or there is no trace to train on.

    Example:
      >>> planted = tm.data.synthetic.make_check_ins(0, num_users=2)
      >>> traces = tm.data.checkins.make_traces(planted.check_ins, session_gap=240.0)
      >>> print(traces)
      synthetic: 744 check-ins of 2 users at 84 POIs of 3 categories; ...
    """
    if min_length is None:
        min_length = length if session_gap is None else 1
    if not 1 <= min_length <= length:
        raise ValueError(
            f"`min_length` must be from 1 to `length`. Got {min_length} and {length}."
        )
    if stride < 1:
        raise ValueError(f"`stride` must be at least 1. Got {stride}.")
    if past_length < 0:
        raise ValueError(f"`past_length` must be at least 0. Got {past_length}.")
    if session_gap is not None and not session_gap > 0:
        raise ValueError(f"`session_gap` must be positive hours. Got {session_gap}.")
    _, user = np.unique(check_ins.user, return_inverse=True)
    names = ("user", "poi", "timestamp")
    events = pd.DataFrame({name: getattr(check_ins, name) for name in names})
    once = np.flatnonzero(~events.duplicated())
    order = once[np.lexsort((check_ins.timestamp[once], user[once]))]
    user, time = user[order], check_ins.timestamp[order]
    starts = _session_starts(user, time, session_gap)
    sizes = np.diff([*starts, len(order)])
    position = np.arange(len(order)) - np.repeat(starts, sizes)
    target = np.flatnonzero(
        (position >= min_length) & ((position - min_length) % stride == 0)
    )
    if not len(target):
        raise ValueError(
            f"A trace takes {min_length} check-ins of a session and the next one. Got "
            f"sessions of {sizes.max(initial=0)} at most: lower `min_length`."
        )
    first = np.maximum(target - length, (np.arange(len(order)) - position)[target])
    split = split_global_time(
        time[target],
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
    )
    if not (split == TRAIN).any():
        raise ValueError(
            f"There must be a trace to train on. Got {len(target)} in all."
        )
    known = _are_steps(first[split == TRAIN], target[split == TRAIN], len(order))
    known[target[split == TRAIN]] = True
    columns, vocabularies = {}, {}
    for name in IDS:
        values = getattr(check_ins, name.removesuffix("_id"))[order]
        vocabularies[name] = np.unique(values[known])
        columns[name] = _ids(values, vocabularies[name])
    of_poi = np.zeros(len(vocabularies["poi_id"]) + 1, np.int64)
    # In reverse order the first check-in of each POI is written last.
    of_poi[columns["poi_id"][::-1]] = np.arange(len(order))[::-1]
    return Traces(
        name=check_ins.name,
        columns=columns
        | {
            name: getattr(check_ins, name)[order]
            for name in ("hour", "weekday", "timestamp")
        },
        first=first,
        target=target,
        split=split,
        length=length,
        vocabularies=vocabularies,
        coordinates=check_ins.coordinates[order][of_poi[1:]],
        num_short=int(np.sum(sizes <= min_length)),
        num_repeated=len(check_ins) - len(once),
        past_length=past_length,
        user_first=np.searchsorted(user, user[target]),
    )


def _session_starts(
    user: np.ndarray, time: np.ndarray, session_gap: float | None
) -> np.ndarray:
    """Indices of the first check-in of each session."""
    begins = np.diff(user, prepend=-1) != 0
    if session_gap is not None:
        begins |= np.diff(time, prepend=time[:1]) > 3600 * session_gap
    return np.flatnonzero(begins)


def _are_steps(first: np.ndarray, target: np.ndarray, size: int) -> np.ndarray:
    """`[size]` bool, whether each check-in is a step of some trace."""
    edges = np.bincount(first, minlength=size) - np.bincount(target, minlength=size)
    return np.cumsum(edges) > 0


def _ids(values: np.ndarray, vocabulary: np.ndarray) -> np.ndarray:
    """Indices in the vocabulary plus 1, or 0 for values that it does not have."""
    found = np.searchsorted(vocabulary, values)
    known = vocabulary[np.minimum(found, len(vocabulary) - 1)] == values
    return np.where(known, found + 1, 0)
