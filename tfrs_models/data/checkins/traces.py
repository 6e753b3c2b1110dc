"""Traces of check-ins, each with the check-in that came next."""

import dataclasses
from collections.abc import Mapping

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
    """Rows of check-ins in the order of time and what came after each.

    Args:
      name: Of the data.
      columns: `user_id`, `poi_id`, `category_id` (from 1, 0 for what training does not
        know), `hour` and `weekday`, all `[num_check_ins]` int64, sorted by user and
        time, and `timestamp` in seconds UTC.
      first: `[num_traces]` the first check-in of each trace.
      target: `[num_traces]` the check-in after its last one.
      split: `[num_traces]` int8, by the time of the target.
      length: Most check-ins of a trace.
      vocabularies: Of `user_id`, `poi_id` and `category_id`: entry `i` is id `i + 1`.
      coordinates: `[num_pois, 2]` float64 degrees; row `i` is place `i + 1`.
      num_short: Sessions without a trace: of fewer check-ins than it takes.
      num_repeated: Check-ins of a user that were at the place in that second already.
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

    @property
    def num_users(self) -> int:
        """The largest user id."""
        return len(self.vocabularies["user_id"])

    @property
    def num_pois(self) -> int:
        """The largest id of a place."""
        return len(self.vocabularies["poi_id"])

    @property
    def num_categories(self) -> int:
        """The largest id of a category."""
        return len(self.vocabularies["category_id"])

    def rows(self, split: str) -> np.ndarray:
        """The numbers of a split's traces.

        Args:
          split: "train", "validation" or "test".

        Raises:
          ValueError: an unknown split.
        """
        if split not in SPLIT_NAMES:
            raise ValueError(f"`split` must be one of {SPLIT_NAMES}. Got {split!r}.")
        return np.flatnonzero(self.split == SPLIT_NAMES.index(split))

    def steps(self, split: str) -> np.ndarray:
        """`[num_check_ins]` bool, which of them are steps of a split's traces.

        Args:
          split: "train", "validation" or "test".

        Raises:
          ValueError: an unknown split.
        """
        rows = self.rows(split)
        return _are_steps(
            self.first[rows], self.target[rows], len(self.columns["poi_id"])
        )

    def features(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What a model reads of traces.

        Args:
          rows: `[batch]` numbers of traces.

        Returns:
          `poi_id`, `category_id`, `hour` and `weekday` `[batch, length]`, padded in
          front by 0, `user_id`, `next_poi_id` and `next_category_id` `[batch]`; int64.
        """
        found = _gathered(tf.constant(rows), self._tensors(), self.length)
        return {name: values.numpy() for name, values in found.items()}

    def batches(
        self,
        split: str,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> tf.data.Dataset:
        """The traces of a split in batches, see `features`.

        Args:
          split: "train", "validation" or "test".
          batch_size: Rows of a batch; the last one may be shorter.
          shuffle: Whether each epoch is another permutation of the rows.
          seed: Of the permutations; None follows `tf.random.set_seed`.

        Raises:
          ValueError: an unknown split, or a batch size below 1.
        """
        rows, tensors = tf.constant(self.rows(split)), self._tensors()
        numbers = row_batches(len(rows), batch_size, shuffle=shuffle, seed=seed)
        return numbers.map(
            lambda n: _gathered(tf.gather(rows, n), tensors, self.length)
        ).prefetch(2)

    def __str__(self) -> str:
        """What there is."""
        parts = ", ".join(f"{len(self.rows(name)):,} {name}" for name in SPLIT_NAMES)
        later = self.columns["poi_id"][self.target[self.split != TRAIN]]
        unknown = np.sum(later == 0)
        return (
            f"{self.name}: {len(self.columns['poi_id']):,} check-ins of "
            f"{self.num_users:,} users at {self.num_pois:,} places of "
            f"{self.num_categories:,} categories; traces of up to {self.length}: "
            f"{parts}; {self.num_short:,} sessions are too short, "
            f"{self.num_repeated:,} check-ins were repeated, and {unknown:,} of the "
            f"{len(later):,} later targets are places that training does not "
            "know: misses"
        )

    def _tensors(self) -> dict[str, tf.Tensor]:
        """Columns and edges of traces; a dataset captures tensors and copies arrays."""
        columns = {name: self.columns[name] for name in ("user_id", *STEPS)}
        edges = {"target": self.target, "first": self.first}
        return {name: tf.constant(v) for name, v in (columns | edges).items()}


def _gathered(
    rows: tf.Tensor, tensors: Mapping[str, tf.Tensor], length: int
) -> dict[str, tf.Tensor]:
    """The features of traces, see `Traces.features`."""
    target, first = (tf.gather(tensors[name], rows) for name in ("target", "first"))
    places = target[:, None] + tf.range(-length, 0, dtype=target.dtype)
    real = places >= first[:, None]
    steps = {name: tf.gather(tensors[name], tf.maximum(places, 0)) for name in STEPS}
    return {name: tf.where(real, found, 0) for name, found in steps.items()} | {
        "user_id": tf.gather(tensors["user_id"], target),
        "next_poi_id": tf.gather(tensors["poi_id"], target),
        "next_category_id": tf.gather(tensors["category_id"], target),
    }


def make_traces(
    check_ins: CheckIns,
    *,
    length: int = 25,
    min_length: int | None = None,
    session_gap: float | None = None,
    stride: int = 1,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
) -> Traces:
    """Cuts every user's check-ins into traces and what came next.

    A trace belongs to the split of its target, and the splits are cut by global time:
    no target of validation or test, and nothing after it, is in training (the check-ins
    before a test target may be: they are its past). Users, places and categories have
    an id where training shows them, as a step or a target; all others are 0: as a step
    left out, as a target a miss. Of check-ins of one user at one place in one second
    the first counts: what is only written twice would be a target that the last step
    tells.

    Args:
      check_ins: Of all users; equal times keep the order of the file.
      length: Check-ins of a trace, at most.
      min_length: At least; `length` where None, so that all traces are full, or 1 where
        there is a `session_gap`.
      session_gap: Hours without a check-in after which another session begins, in which
        no trace reaches back into the one before; None for one session of a user.
      stride: Check-ins from one target to the next, counted from the first of a
        session that can be one.
      validation_fraction: Of the targets, in [0, 1).
      test_fraction: Of the targets, in (0, 1).

    Returns:
      The traces.

    Raises:
      ValueError: a number out of range, or no trace to train on.
    """
    if min_length is None:
        min_length = length if session_gap is None else 1
    if not 1 <= min_length <= length:
        raise ValueError(
            f"`min_length` must be from 1 to `length`. Got {min_length} and {length}."
        )
    if stride < 1:
        raise ValueError(f"`stride` must be at least 1. Got {stride}.")
    if session_gap is not None and not session_gap > 0:
        raise ValueError(f"`session_gap` must be positive hours. Got {session_gap}.")
    _, user = np.unique(check_ins.user, return_inverse=True)
    names = ("user", "poi", "timestamp")
    told = pd.DataFrame({name: getattr(check_ins, name) for name in names})
    once = np.flatnonzero(~told.duplicated())
    order = once[np.lexsort((check_ins.timestamp[once], user[once]))]
    user, time = user[order], check_ins.timestamp[order]
    starts = _session_starts(user, time, session_gap)
    sizes = np.diff([*starts, len(order)])
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    target = np.flatnonzero(
        (place >= min_length) & ((place - min_length) % stride == 0)
    )
    if not len(target):
        raise ValueError(
            f"A trace takes {min_length} check-ins of a session and the next one. Got "
            f"sessions of {sizes.max(initial=0)} at most: lower `min_length`."
        )
    first = np.maximum(target - length, (np.arange(len(order)) - place)[target])
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
    of_poi[columns["poi_id"][::-1]] = np.arange(len(order))[::-1]  # its first check-in
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
    )


def _session_starts(
    user: np.ndarray, time: np.ndarray, session_gap: float | None
) -> np.ndarray:
    """Numbers of the check-ins that begin a session."""
    begins = np.diff(user, prepend=-1) != 0
    if session_gap is not None:
        begins |= np.diff(time, prepend=time[:1]) > 3600 * session_gap
    return np.flatnonzero(begins)


def _are_steps(first: np.ndarray, target: np.ndarray, size: int) -> np.ndarray:
    """`[size]` bool, whether the check-in is a step of some trace."""
    edges = np.bincount(first, minlength=size) - np.bincount(target, minlength=size)
    return np.cumsum(edges) > 0


def _ids(values: np.ndarray, vocabulary: np.ndarray) -> np.ndarray:
    """Places in the vocabulary from 1 on, 0 for others."""
    found = np.searchsorted(vocabulary, values)
    known = vocabulary[np.minimum(found, len(vocabulary) - 1)] == values
    return np.where(known, found + 1, 0)
