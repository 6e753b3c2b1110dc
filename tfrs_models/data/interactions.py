"""One value for a data set of interactions, ready for two towers."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.data.batching import row_batches
from tfrs_models.data.probabilities import sampling_probability_lookup
from tfrs_models.data.splits import SPLIT_NAMES
from tfrs_models.data.summary import Summary
from tfrs_models.feature import Feature

EARLIER = {
    "train": (),
    "validation": ("train",),
    "test": ("train", "validation"),
    "serving": SPLIT_NAMES,
}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """Who had which item when: split, indexed and joined with what is known of both.

    Ids are strings for people (`vocabularies`, `titles`) and indices for towers. Index
    0 is unknown. Users 1 to `num_users` are those with a train row; a user met later
    only is index 0. Items 1 to `num_items` are the whole catalogue, most frequent in
    train first; the first `num_train_items` have a train row, the others are cold, and
    a tower that reads `num_values` of `item_features[0]` sends them to its unknown row.

    Args:
      name: of the data.
      vocabularies: feature -> `[num_values]` strings; value `i` has index `i + 1`.
      user_features: what `users` holds; `user_id` first.
      item_features: what `items` holds; `item_id` first.
      users: feature -> `[num_users + 1, ...]`; row 0 is the unknown user.
      items: feature -> `[num_items + 1, ...]`; row 0 is the unknown item.
      titles: `[num_items + 1]` names of the items for people; row 0 is "unknown".
      splits: "train", "validation" and "test" -> columns `user_id`, `item_id` (int64
        indices) and, if the data has them, `rating` (float32), `timestamp` (int64
        seconds) and `timestamp_us` (int64 microseconds, which is what rows are ordered
        by and no feature of a batch), each `[num_rows]`.
      candidate_probabilities: `[num_items + 1]` share of the train rows.
      summary: sizes and leakage audit; print it.
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
        """Users with a train row."""
        return len(self.vocabularies["user_id"])

    @property
    def num_items(self) -> int:
        """Items of the catalogue, cold ones included."""
        return len(self.vocabularies["item_id"])

    @property
    def num_train_items(self) -> int:
        """Items with a train row: indices 1 to this."""
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
        return tf.data.Dataset.from_tensor_slices(known)

    def candidate_batches(self, batch_size: int = 4096) -> tf.data.Dataset:
        """The features of items 1 to `num_items` in batches.

        Args:
          batch_size: items of a batch.

        Returns:
          A dataset of dicts of `[batch, ...]` tensors.
        """
        items = {name: tf.constant(column) for name, column in self.items.items()}
        rows = row_batches(self.num_items, batch_size)
        return rows.map(lambda row: _gather(items, row + 1)).prefetch(2)

    def batches(
        self,
        split: str,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        drop_remainder: bool = False,
        known_items: bool | None = None,
    ) -> tf.data.Dataset:
        """The rows of a split in batches, joined with the features of user and item.

        Args:
          split: "train", "validation" or "test".
          batch_size: rows of a batch; the last one may be shorter.
          shuffle: whether each epoch is another permutation of the rows.
          seed: of the permutations; None follows `tf.random.set_seed`.
          drop_remainder: whether to leave a shorter last batch out.
          known_items: whether batches carry `known_items`, ragged `[batch, None]`: what
            the user has before the split (see the method of that name), and in train
            batches all their train items, the row's own among them, which are then no
            negatives. None: in validation and test, not in train.

        Returns:
          A dataset of dicts: `user_id` and `item_id` `[batch]` int64, `rating` and
          `timestamp` if the data has them, `candidate_sampling_probability` `[batch]`
          (a cold item's is that of the rarest train item), every other user and item
          feature.

        Raises:
          ValueError: an unknown split, or a batch size below 1.
        """
        columns = {
            name: tf.constant(column)
            for name, column in self._columns(split).items()
            if name != "timestamp_us"
        }
        users = {k: tf.constant(v) for k, v in self.users.items()}
        items = {k: tf.constant(v) for k, v in self.items.items()}
        add_probability = sampling_probability_lookup(self.candidate_probabilities)
        ragged = {}
        if known_items or (known_items is None and split != "train"):
            earlier = "validation" if split == "train" else split
            ragged["known_items"] = self.known_items(earlier)

        def join(row: tf.Tensor) -> dict[str, tf.Tensor]:
            batch = _gather(columns, row)
            user, item = batch["user_id"], batch["item_id"]
            batch = {**batch, **_gather(users, user), **_gather(items, item)}
            return {**add_probability(batch), **_gather(ragged, user)}

        rows = row_batches(
            len(self._columns(split)["user_id"]),
            batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_remainder=drop_remainder,
        )
        return rows.map(join, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)

    def known_items(self, split: str) -> tf.RaggedTensor:
        """The items each user has *before* a split: what its evaluation excludes.

        Args:
          split: "train" (nothing is known before it), "validation" (the train items),
            "test" (train and validation items) or "serving" (all of them).

        Returns:
          `[num_users + 1, None]` int64 item indices, sorted, each once; row 0, the
          unknown user, is empty.

        Raises:
          ValueError: an unknown split.
        """
        if split not in EARLIER:
            raise ValueError(f"`split` must be one of {tuple(EARLIER)}. Got {split!r}.")
        if split not in self._known:
            self._known[split] = self._known_rows(EARLIER[split])
        items, row_splits = self._known[split]
        return tf.RaggedTensor.from_row_splits(items, row_splits, validate=False)

    def __str__(self) -> str:
        """The summary."""
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


def _gather(columns: dict, row: tf.Tensor) -> dict:
    return {name: tf.gather(column, row) for name, column in columns.items()}


class Timeline(NamedTuple):
    """Rows of several splits, one split after the other, and their order.

    Attributes:
      columns: name -> `[num_rows]`, the columns that were asked for.
      split: `[num_rows]` number of the row's split among those that were asked for.
      order: `[num_rows]` row numbers by user, then time.
    """

    columns: dict[str, np.ndarray]
    split: np.ndarray
    order: np.ndarray


def timeline(
    data: Interactions,
    splits: tuple[str, ...],
    names: tuple[str, ...] = ("user_id", "item_id"),
) -> Timeline:
    """The rows of some splits and their order by user and time.

    Of rows with equal times those of an earlier split come first, which is the order of
    the table in every split by time.

    Args:
      data: with timestamps.
      splits: names of splits; none is a timeline without rows.
      names: of the columns.

    Returns:
      The rows, in the order of `splits`.

    Raises:
      ValueError: no timestamps.
    """
    train = data.splits["train"]
    if "timestamp" not in train:
        raise ValueError(
            "`data` must have timestamps: what came before is a matter of time. Got "
            f"{list(train)}. Name their column with `timestamp_column`."
        )
    # Tables that were put together by hand may have whole seconds only.
    time = "timestamp_us" if "timestamp_us" in train else "timestamp"
    lengths = [len(data.splits[split]["user_id"]) for split in splits]

    def column(name: str) -> np.ndarray:
        none = train[name][:0]
        return np.concatenate([none, *(data.splits[split][name] for split in splits)])

    return Timeline(
        columns={name: column(name) for name in names},
        split=np.repeat(np.arange(len(splits)), lengths),
        order=np.lexsort((column(time), column("user_id"))),
    )
