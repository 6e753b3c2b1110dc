"""One value for what users clicked in two services: recommendation and search."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.data.batching import row_batches
from tfrs_models.data.kuaisar.batches import (
    joined_batches,
    random_batches,
    side_by_side,
)
from tfrs_models.data.kuaisar.checks import (
    Histories,
    check_histories,
    check_lengths,
    check_range,
    check_samples,
    check_table,
)
from tfrs_models.data.splits import SPLIT_NAMES

SEARCH = "search"
TASKS = ("recommendation", SEARCH)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SearchAndRecommendation:
    """Clicks of users in a recommender and in a search engine over the same items.

    Users are numbered from 0; items, search sessions, words and categories from 1, and
    0 is padding. A sample's history is the first `num_items` of the user's clicks in
    the recommender and the first `num_sessions` of their search sessions: what came
    before it, and nothing after.

    Args:
      users: attribute -> `[num_users]` int categories.
      items: attribute -> `[num_items + 1]` int categories, and `caption` `[num_items +
        1, num_words]` where items have words; row 0 is padding, all zeros.
      num_items: items without padding: 1 to this.
      sessions: `keyword` `[num_sessions + 1, num_words]` and `pos_items` `[num_sessions
        + 1, num_clicks]`, the clicked items; row 0 is padding.
      queries: `[num_queries, num_words]`, the distinct queries.
      item_histories: of the recommender's clicks.
      session_histories: of the search sessions.
      samples: "recommendation" and "search" -> "train", "validation" and "test" ->
        columns `[num_samples]`: `user_id`, `item_id`, `timestamp` (milliseconds),
        `num_items`, `num_sessions`, `negatives` `[num_samples, num_negatives]`; of
        searches `search_session_id` and `query` `[num_samples, num_words]` too.
      manifest: how the data came about: options and counts.

    Raises:
      ValueError: an id or a word that is in no table, a column that is missing or of
        another rank, times that go back, counts beyond the history or the sample's
        time, a negative that was clicked.
    """

    users: Mapping[str, np.ndarray]
    items: Mapping[str, np.ndarray]
    num_items: int
    sessions: Mapping[str, np.ndarray]
    queries: np.ndarray
    item_histories: Histories
    session_histories: Histories
    samples: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]
    manifest: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_table("items", self.items)
        rows = range(self.num_items + 1)
        check_lengths("items", {"num_items + 1": rows, **self.items})
        check_table("sessions", self.sessions, required=("keyword", "pos_items"))
        check_range("queries", self.queries, 0, None, axes=(2,))
        clicked = self.sessions["pos_items"]
        check_range("sessions['pos_items']", clicked, 0, self.num_items, axes=(2,))
        check_histories("item_histories", self.item_histories, self.num_items)
        check_histories("session_histories", self.session_histories, self.num_sessions)
        by_user = {
            "users": np.empty(self.num_users),
            "session_histories": self.session_histories.row_splits[1:],
        }
        check_lengths("users", {**self.users, **by_user})
        for name, values in self.users.items():
            check_range(f"users[{name!r}]", values, 0, None)
        counted = {
            "num_items": self.item_histories,
            "num_sessions": self.session_histories,
        }
        sizes = self.num_items, self.num_words
        for task in TASKS:
            for split in SPLIT_NAMES:
                if split not in self.samples.get(task, ()):
                    got = {name: [*splits] for name, splits in self.samples.items()}
                    raise ValueError(
                        f"`samples` must have {split!r} of {task!r}. Got {got}."
                    )
                check_samples(
                    f"samples[{task!r}][{split!r}]",
                    self.samples[task][split],
                    *sizes,
                    counted,
                    is_search=task == SEARCH,
                )

    @property
    def num_users(self) -> int:
        """Users, the first of which is 0."""
        return len(self.item_histories.row_splits) - 1

    @property
    def num_sessions(self) -> int:
        """Search sessions without padding: 1 to this."""
        return len(self.sessions["keyword"]) - 1

    @property
    def num_words(self) -> int:
        """Words without padding: 1 to this."""
        tables = [self.sessions["keyword"], self.queries]
        if "caption" in self.items:
            tables.append(self.items["caption"])
        return max(int(table.max(initial=0)) for table in tables)

    def batches(
        self,
        task: str,
        split: str,
        batch_size: int,
        *,
        item_history_length: int = 30,
        session_history_length: int = 30,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> tf.data.Dataset:
        """Samples of a split in batches, joined with their histories.

        Args:
          task: "recommendation" or "search".
          split: "train", "validation" or "test".
          batch_size: samples of a batch; the last one may be shorter.
          item_history_length: the latest clicks of the recommender that are kept.
          session_history_length: the latest search sessions that are kept.
          shuffle: whether each epoch is another permutation.
          seed: of the permutations; None follows `tf.random.set_seed`.

        Returns:
          A dataset of dicts of int64: `user_id` `[batch]`; `item_id` `[batch, 1 +
          num_negatives]`, the clicked one first; `item_history` and
          `item_history_time` `[batch, item_history_length]`; `session_query` `[batch,
          session_history_length, num_words]`, `session_items` `[..., num_clicks]` and
          `session_time` `[batch, session_history_length]`; searches also `query`
          `[batch, num_words]`. Histories begin in column 0 with the oldest; behind
          them is padding, 0, also in the times.

        Raises:
          ValueError: an unknown task or split, a size below 1, or no samples.
        """
        columns = self._columns(task, split)
        num_rows = len(columns["user_id"])
        rows = row_batches(num_rows, batch_size, shuffle=shuffle, seed=seed)
        histories = self._histories(item_history_length, session_history_length)
        return joined_batches(rows, columns, self.sessions, histories).prefetch(2)

    def training_batches(
        self,
        batch_size: int = 1024,
        *,
        num_random: int = 1024,
        item_history_length: int = 30,
        session_history_length: int = 30,
        seed: int | None = None,
    ) -> tf.data.Dataset:
        """Batches of both tasks side by side, with random items and queries.

        One epoch shows every recommendation once. Search batches are as much smaller
        as there are fewer searches, and go on from their beginning where they run out.

        Args:
          batch_size: recommendations of a batch.
          num_random: random items, and random queries, of a batch.
          item_history_length: the latest clicks of the recommender that are kept.
          session_history_length: the latest search sessions that are kept.
          seed: of the permutations and the random ones; None follows
            `tf.random.set_seed`.

        Returns:
          A dataset of `{"recommendation": ..., "search": ..., "random": {"item_id":
          [num_random], "query": [num_random, num_words]}}`, the first two as `batches`
          has them.

        Raises:
          ValueError: a size below 1, a task without training samples, or no queries.
        """
        histories = self._histories(item_history_length, session_history_length)
        sizes = [len(self._columns(task, "train")["user_id"]) for task in TASKS]
        num_batches = -(-sizes[0] // max(batch_size, 1))
        streams = {
            "random": random_batches(
                self.num_items, self.queries, num_random, seed=seed
            )
        }
        for task, size, num_rows in zip(
            TASKS, (batch_size, -(-sizes[1] // num_batches)), sizes, strict=True
        ):
            rows = row_batches(num_rows, size, shuffle=True, seed=seed).repeat()
            columns = self._columns(task, "train")
            streams[task] = joined_batches(rows, columns, self.sessions, histories)
        return tf.data.Dataset.zip(streams).take(num_batches).prefetch(2)

    def evaluation_batches(
        self, split: str, batch_size: int, **lengths: int
    ) -> tf.data.Dataset:
        """All samples of a split, of both tasks side by side.

        Args:
          split: "train", "validation" or "test".
          batch_size: samples of a batch, of each task.
          **lengths: of the histories, as for `batches`.

        Returns:
          A dataset of `{"recommendation": ..., "search": ...}`; the task that ends
          first has no rows in the batches that are left.
        """
        return side_by_side(
            {task: self.batches(task, split, batch_size, **lengths) for task in TASKS}
        )

    def _histories(self, num_items: int, num_sessions: int) -> dict:
        return {
            "item": (self.item_histories, num_items),
            "session": (self.session_histories, num_sessions),
        }

    def _columns(self, task: str, split: str) -> Mapping[str, np.ndarray]:
        for name, value, known in [
            ("task", task, self.samples),
            ("split", split, self.samples.get(task, ())),
        ]:
            if value not in known:
                raise ValueError(
                    f"`{name}` must be one of {tuple(known)}. Got {value!r}."
                )
        columns = self.samples[task][split]
        if not len(columns["user_id"]):
            raise ValueError(
                f"`split` must have samples. Got {split!r} of {task!r}, which has none."
            )
        return columns

    def __str__(self) -> str:
        """Sizes of the tables and of the splits."""
        lines = [
            f"{self.num_users:,} users, {self.num_items:,} items, "
            f"{self.num_sessions:,} search sessions, {self.num_words:,} words"
        ]
        for task, splits in self.samples.items():
            sizes = ", ".join(
                f"{len(columns['user_id']):,} {split}"
                for split, columns in splits.items()
            )
            lines.append(f"{task}: {sizes}")
        return "\n".join(lines)
