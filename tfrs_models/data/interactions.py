"""A data set of interactions, split and indexed for two towers."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.data.batching import row_batches, without_autotuning
from tfrs_models.data.probabilities import (
    candidate_probabilities,
    sampling_probability_lookup,
)
from tfrs_models.data.splits import SPLIT_NAMES
from tfrs_models.data.summary import Summary
from tfrs_models.data.times import row_times
from tfrs_models.feature import Feature

EARLIER = {
    "train": (),
    "validation": ("train",),
    "test": ("train", "validation"),
    "serving": SPLIT_NAMES,
}

ORDERING = ("timestamp_us", "tie_order")
"""Columns that order rows and are no features."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """Interactions of users and items: split, indexed and joined with attributes.

    Ids are strings in `vocabularies` and `titles`, and indices everywhere else. Index 0
    is unknown. Users 1 to `num_users` are all with a row. The first `num_train_users`
    have a train row; those who are new come after them, first the ones who appear in
    validation. New users have histories and known items, but `users` and batches give
    them the `user_id` 0, which is the unknown user of every tower.
    Items 1 to `num_items` are the whole catalogue, the most frequent of train first.
    The first `num_train_items` have a train row, the others are cold; a tower that
    reads `num_values` of `item_features[0]` gives them its unknown row.

    Args:
      name: name of the data.
      vocabularies: feature -> `[num_values]` strings; value `i` has index `i + 1`.
      user_features: declarations of the columns of `users`; `user_id` is the first.
      item_features: declarations of the columns of `items`; `item_id` is the first.
      users: feature -> `[num_users + 1, ...]` values; row 0 is the unknown user. New
        users have the `user_id` 0.
      items: feature -> `[num_items + 1, ...]` values; row 0 is the unknown item.
      titles: `[num_items + 1]` display names of the items; row 0 is "unknown".
      splits: "train", "validation" and "test" -> columns `user_id`, `item_id` (int64
        indices) and, if the data have them, `rating` (float32), `timestamp` (int64
        seconds), `timestamp_us` (int64 microseconds), `event` (int64 index into
        `vocabularies["event"]`), `weight` (float32) and, where a split does not keep
        their order, `tie_order` (int64, ascending among equal times), each
        `[num_rows]`. `timestamp_us` and `tie_order` order the rows and are not in
        batches.
      candidate_probabilities: `[num_items + 1]` share of each item in the train rows.
      summary: sizes and leakage audit; print it.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrqp")})
      >>> frame = frame.assign(timestamp=range(5))
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> batch = next(iter(data.batches("test", batch_size=1)))
      >>> data.titles[batch["item_id"]], data.known_items("test")[1].numpy().tolist()
      (array(['item r'], dtype='<U7'), [1, 2])
    """

    name: str
    vocabularies: dict[str, np.ndarray]
    user_features: tuple[Feature, ...]
    item_features: tuple[Feature, ...]
    users: dict[str, np.ndarray]
    items: dict[str, np.ndarray]
    titles: np.ndarray
    splits: dict[str, dict[str, np.ndarray]]
    candidate_probabilities: np.ndarray
    summary: Summary
    _known: dict[str, tuple[np.ndarray, np.ndarray]] = dataclasses.field(
        default_factory=dict, init=False
    )

    @property
    def num_users(self) -> int:
        """Number of users with a row in any split."""
        return len(self.vocabularies["user_id"])

    @property
    def num_train_users(self) -> int:
        """Number of users with a train row; their indices are 1 to this number."""
        return self.user_features[0].num_values

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue, cold items included."""
        return len(self.vocabularies["item_id"])

    @property
    def num_train_items(self) -> int:
        """Number of items with a train row; their indices are 1 to this number."""
        return self.item_features[0].num_values

    @property
    def train(self) -> tf.data.Dataset:
        """The training rows one by one, as dicts."""
        return self._rows("train")

    @property
    def validation(self) -> tf.data.Dataset:
        """The validation rows one by one, as dicts."""
        return self._rows("validation")

    @property
    def test(self) -> tf.data.Dataset:
        """The test rows one by one, as dicts."""
        return self._rows("test")

    @property
    def candidates(self) -> tf.data.Dataset:
        """The features of items 1 to `num_items`, one by one, as dicts."""
        known = {name: column[1:] for name, column in self.items.items()}
        return without_autotuning(tf.data.Dataset.from_tensor_slices(known))

    def candidate_batches(self, batch_size: int = 4096) -> tf.data.Dataset:
        """Makes batches of the features of items 1 to `num_items`.

        Args:
          batch_size: number of items in a batch.

        Returns:
          A dataset of dicts of `[batch, ...]` tensors.
        """
        items = {name: tf.constant(column) for name, column in self.items.items()}
        rows = row_batches(self.num_items, batch_size)
        return rows.map(lambda row: _gather(items, row + 1)).prefetch(2)

    @property
    def repeats(self) -> str:
        """Rule for repeats, "allow" or "leave-out"; see `data.with_repeats`."""
        found = self.summary.repeats
        return "leave-out" if found is None else found.rule

    def batches(
        self,
        split: str,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        drop_remainder: bool = False,
        known_items: bool | None = None,
        sample_weight: bool = False,
        rows: np.ndarray | None = None,
    ) -> tf.data.Dataset:
        """Makes batches of the rows of a split, joined with features of user and item.

        Args:
          split: "train", "validation" or "test".
          batch_size: number of rows in a batch; the last batch may be shorter.
          shuffle: whether each epoch is another permutation of the rows.
          seed: seed of the permutations; None follows `tf.random.set_seed`.
          drop_remainder: whether a shorter last batch is dropped.
          known_items: whether batches have `known_items`, ragged `[batch, None]`. In
            validation and test these are the user's items before the split (see the
            method `known_items`); in train they are all train items of the user, the
            row's item included, so that none of them counts as a negative. None gives
            batches of validation and test the items that evaluation excludes (see
            `exclusions`: none under the rule "allow"), and those of train no feature.
          sample_weight: whether batches have `sample_weight` `[batch]`, the weight of
            the row divided by the mean weight of the train rows.
          rows: `[n]` numbers of the rows of the split that the batches have; None for
            all.

        Returns:
          A dataset of dicts: `user_id` and `item_id` `[batch]` int64, `rating`,
          `timestamp`, `event` and `weight` if the data have them,
          `candidate_sampling_probability` `[batch]` (a cold item gets that of the
          rarest train item), and all other features of user and item.

        Raises:
          ValueError: the split is unknown, the batch size is below 1, or the data have
            no weights and `sample_weight` is True.
        """
        columns = {
            name: tf.constant(column)
            for name, column in self._columns(split).items()
            if name not in ORDERING
        }
        if sample_weight:
            weights = sample_weights(self, self._columns(split).get("weight"))
            columns["sample_weight"] = tf.constant(weights)
        users = {k: tf.constant(v) for k, v in self.users.items()}
        items = {k: tf.constant(v) for k, v in self.items.items()}
        add_probability = sampling_probability_lookup(self.candidate_probabilities)
        ragged = {}
        if known_items:
            earlier = "validation" if split == "train" else split
            ragged["known_items"] = self.known_items(earlier)
        elif known_items is None and split != "train":
            ragged["known_items"] = self.exclusions(split)

        chosen = None if rows is None else tf.constant(rows, tf.int64)

        def join(row: tf.Tensor) -> dict[str, tf.Tensor]:
            row = row if chosen is None else tf.gather(chosen, row)
            batch = _gather(columns, row)
            user, item = batch["user_id"], batch["item_id"]
            batch = {**batch, **_gather(users, user), **_gather(items, item)}
            return {**add_probability(batch), **_gather(ragged, user)}

        numbers = row_batches(
            len(self._columns(split)["user_id"]) if rows is None else len(rows),
            batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_remainder=drop_remainder,
        )
        return numbers.map(join, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)

    def known_items(self, split: str) -> tf.RaggedTensor:
        """Returns each user's items before a split.

        Args:
          split: "train" (no items), "validation" (train items), "test" (train and
            validation items) or "serving" (items of all splits).

        Returns:
          `[num_users + 1, None]` int64 item indices, sorted and distinct; row 0, the
          unknown user, is empty.

        Raises:
          ValueError: the split is unknown.
        """
        if split not in EARLIER:
            raise ValueError(f"`split` must be one of {tuple(EARLIER)}. Got {split!r}.")
        if split not in self._known:
            self._known[split] = self._known_rows(EARLIER[split])
        items, row_splits = self._known[split]
        return tf.RaggedTensor.from_row_splits(items, row_splits, validate=False)

    def exclusions(self, split: str) -> tf.RaggedTensor:
        """Returns the items that evaluation does not recommend to each user in a split.

        Args:
          split: "train", "validation", "test" or "serving", as in `known_items`.

        Returns:
          `[num_users + 1, None]` int64 item indices: the `known_items`, or none under
          the rule "allow" for repeats.

        Raises:
          ValueError: the split is unknown.
        """
        known = self.known_items(split)
        if self.repeats == "allow":
            return tf.RaggedTensor.from_row_splits(
                known.values[:0], tf.zeros_like(known.row_splits), validate=False
            )
        return known

    def popularity(self, split: str) -> np.ndarray:
        """Computes the share of each item in the rows before a split.

        Args:
          split: "validation", "test" or "serving", which is after all rows.

        Returns:
          `[num_items + 1]` float32 shares that sum to 1; item `i` is at index `i`.

        Raises:
          ValueError: the split is unknown, or no row is before it.
        """
        if split not in EARLIER:
            raise ValueError(f"`split` must be one of {tuple(EARLIER)}. Got {split!r}.")
        none = np.zeros(0, np.int64)
        items = [none, *(self.splits[name]["item_id"] for name in EARLIER[split])]
        rows = {"item_id": np.concatenate(items)}
        return candidate_probabilities(rows, num_items=self.num_items)

    def __str__(self) -> str:
        """Formats the summary."""
        return str(self.summary)

    def _columns(self, split: str) -> dict[str, np.ndarray]:
        if split not in self.splits:
            raise ValueError(
                f"`split` must be one of {tuple(self.splits)}. Got {split!r}."
            )
        return self.splits[split]

    def _rows(self, split: str) -> tf.data.Dataset:
        return self.batches(split, 1024, known_items=False).unbatch()

    def _known_rows(self, splits: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Values and row splits of `known_items`."""
        none = np.zeros(0, np.int64)
        user = np.concatenate([none, *(self.splits[s]["user_id"] for s in splits)])
        item = np.concatenate([none, *(self.splits[s]["item_id"] for s in splits)])
        pair = user * (self.num_items + 1) + item
        user, item = np.divmod(np.unique(pair[user > 0]), self.num_items + 1)
        counts = np.bincount(user, minlength=self.num_users + 1)
        return item, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def sample_weights(data: Interactions, weights: np.ndarray | None) -> np.ndarray:
    """Divides weights of rows by the mean weight of the train rows.

    Args:
      data: interactions with weights.
      weights: weights of some rows, of any shape.

    Returns:
      float32 of the same shape; a train row has the mean 1.

    Raises:
      ValueError: the data have no weights, or those of the train rows are all 0.
    """
    train = data.splits["train"]
    if weights is None or not train.get("weight", np.zeros(0)).any():
        found = "train rows that all weigh 0" if "weight" in train else list(train)
        raise ValueError(
            "`sample_weight` needs data with weights above 0: name their column with "
            f"`weight_column`. Got {found}."
        )
    return (weights / train["weight"].mean(dtype=np.float64)).astype(np.float32)


def _gather(columns: dict, row: tf.Tensor) -> dict:
    return {name: tf.gather(column, row) for name, column in columns.items()}


class Timeline(NamedTuple):
    """Rows of several splits, one split after the other, and their order in time.

    Attributes:
      columns: name -> `[num_rows]` values of the requested columns.
      split: `[num_rows]` index of the row's split among the requested splits.
      order: `[num_rows]` row numbers sorted by user, then time.
    """

    columns: dict[str, np.ndarray]
    split: np.ndarray
    order: np.ndarray


def timeline(
    data: Interactions,
    splits: tuple[str, ...],
    names: tuple[str, ...] = ("user_id", "item_id"),
) -> Timeline:
    """Collects the rows of some splits and their order by user and time.

    Rows with equal times have the order that `from_frame` drew or took from the table.
    In interactions without it those of an earlier split come first.

    Args:
      data: interactions with timestamps.
      splits: names of the splits; an empty tuple gives no rows.
      names: names of the columns.

    Returns:
      The rows, one split after the other.

    Raises:
      ValueError: the data have no timestamps.
    """
    train = data.splits["train"]
    if "timestamp" not in train:
        raise ValueError(
            "`data` must have timestamps: what came before is a matter of time. Got "
            f"{list(train)}. Name their column with `timestamp_column`."
        )
    lengths = [len(data.splits[split]["user_id"]) for split in splits]

    def column(name: str) -> np.ndarray:
        none = train[name][:0]
        return np.concatenate([none, *(data.splits[split][name] for split in splits)])

    times = [row_times(data.splits[split]) for split in splits]
    times = np.concatenate([row_times(train)[:0], *times])
    keys = (times, column("user_id"))
    if "tie_order" in train:
        keys = (column("tie_order"), *keys)
    return Timeline(
        columns={name: column(name) for name in names},
        split=np.repeat(np.arange(len(splits)), lengths),
        order=np.lexsort(keys),
    )
