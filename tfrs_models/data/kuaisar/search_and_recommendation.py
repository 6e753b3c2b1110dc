"""Clicks of users in two services over one catalogue: recommendation and search."""

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
SERVICES = ("recommendation", SEARCH)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SearchAndRecommendation:
    """Clicks of users in a recommender and in a search engine over the same items.

    Users are numbered from 0; items, search sessions, words and categories from 1, and
    0 is padding. The history of a sample is the first `num_items` of the user's clicks
    in the recommender and the first `num_sessions` of the user's search sessions: all
    that came before the sample and nothing after it.

    Args:
      users: attribute -> `[num_users]` int categories.
      items: attribute -> `[num_items + 1]` int categories, and `caption` `[num_items +
        1, num_words]` if items have words; row 0 is padding, all zeros.
      num_items: number of items without padding; their ids are 1 to this number.
      sessions: `keyword` `[num_sessions + 1, num_words]` and `pos_items` `[num_sessions
        + 1, num_clicks]`, the clicked items; row 0 is padding.
      queries: `[num_queries, num_words]` distinct queries.
      item_histories: clicks of each user in the recommender.
      session_histories: search sessions of each user.
      samples: "recommendation" and "search" -> "train", "validation" and "test" ->
        columns `[num_samples]`: `user_id`, `item_id`, `timestamp` (milliseconds),
        `num_items`, `num_sessions`, `negatives` `[num_samples, num_negatives]`;
        searches also have `search_session_id` and `query` `[num_samples, num_words]`.
      manifest: origin of the data: options and counts.

    Raises:
      ValueError: an id or a word is in no table; a column is missing or has the wrong
        number of axes; times decrease; counts are beyond the history or the sample's
        time; or a negative was clicked.

    Example:
      >>> data = tm.data.synthetic.make_search_and_recommendation(0, num_users=20)
      >>> batches = data.batches("search", "train", 4, session_history_length=2)
      >>> batch = next(iter(batches))
      >>> batch["item_id"].shape, batch["session_query"].shape
      (TensorShape([4, 5]), TensorShape([4, 2, 10]))
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
        for service in SERVICES:
            for split in SPLIT_NAMES:
                if split not in self.samples.get(service, ()):
                    got = {name: [*splits] for name, splits in self.samples.items()}
                    raise ValueError(
                        f"`samples` must have {split!r} of {service!r}. Got {got}."
                    )
                check_samples(
                    f"samples[{service!r}][{split!r}]",
                    self.samples[service][split],
                    *sizes,
                    counted,
                    is_search=service == SEARCH,
                )

    @property
    def num_users(self) -> int:
        """Number of users; the first is 0."""
        return len(self.item_histories.row_splits) - 1

    @property
    def num_sessions(self) -> int:
        """Number of search sessions without padding; their ids are 1 to this number."""
        return len(self.sessions["keyword"]) - 1

    @property
    def num_words(self) -> int:
        """Number of words without padding; their ids are 1 to this number."""
        tables = [self.sessions["keyword"], self.queries]
        if "caption" in self.items:
            tables.append(self.items["caption"])
        return max(int(table.max(initial=0)) for table in tables)

    def batches(
        self,
        service: str,
        split: str,
        batch_size: int,
        *,
        item_history_length: int = 30,
        session_history_length: int = 30,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> tf.data.Dataset:
        """Makes batches of the samples of a split, joined with their histories.

        Args:
          service: "recommendation" or "search".
          split: "train", "validation" or "test".
          batch_size: number of samples in a batch; the last batch may be shorter.
          item_history_length: number of the latest clicks in the recommender to keep.
          session_history_length: number of the latest search sessions to keep.
          shuffle: whether each epoch is another permutation.
          seed: seed of the permutations; None follows `tf.random.set_seed`.

        Returns:
          A dataset of dicts of int64: `user_id` `[batch]`; `item_id` `[batch, 1 +
          num_negatives]`, the clicked one first; `item_history` and `item_history_time`
          `[batch, item_history_length]`; `session_query` `[batch,
          session_history_length, num_words]`, `session_items` `[batch,
          session_history_length, num_clicks]` and `session_time` `[batch,
          session_history_length]`; searches also have `query` `[batch, num_words]`.
          Histories begin in column 0 with the oldest event; after the newest one there
          is padding, 0, also in the times.

        Raises:
          ValueError: the service or split is unknown, a size is below 1, or there are
            no samples.
        """
        columns = self._columns(service, split)
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
        """Makes batches of both services side by side, with random items and queries.

        One epoch has every recommendation once. The size of the search batches is
        scaled by the ratio of searches to recommendations, and searches begin again
        when they run out.

        Args:
          batch_size: number of recommendations in a batch.
          num_random: number of random items, and of random queries, in a batch.
          item_history_length: number of the latest clicks in the recommender to keep.
          session_history_length: number of the latest search sessions to keep.
          seed: seed of the permutations and the random draws; None follows
            `tf.random.set_seed`.

        Returns:
          A dataset of `{"recommendation": ..., "search": ..., "random": {"item_id":
          [num_random], "query": [num_random, num_words]}}`; the first two are as in
          `batches`.

        Raises:
          ValueError: a size is below 1, a service has no training samples, or there are
            no queries.
        """
        histories = self._histories(item_history_length, session_history_length)
        sizes = [
            len(self._columns(service, "train")["user_id"]) for service in SERVICES
        ]
        num_batches = -(-sizes[0] // max(batch_size, 1))
        streams = {
            "random": random_batches(
                self.num_items, self.queries, num_random, seed=seed
            )
        }
        for service, size, num_rows in zip(
            SERVICES, (batch_size, -(-sizes[1] // num_batches)), sizes, strict=True
        ):
            rows = row_batches(num_rows, size, shuffle=True, seed=seed, endless=True)
            columns = self._columns(service, "train")
            streams[service] = joined_batches(rows, columns, self.sessions, histories)
        return tf.data.Dataset.zip(streams).take(num_batches).prefetch(2)

    def evaluation_batches(
        self, split: str, batch_size: int, **lengths: int
    ) -> tf.data.Dataset:
        """Makes batches of all samples of a split, both services side by side.

        Args:
          split: "train", "validation" or "test".
          batch_size: number of samples of each service in a batch.
          **lengths: `item_history_length` and `session_history_length` of `batches`.

        Returns:
          A dataset of `{"recommendation": ..., "search": ...}`; the service that ends
          first has zero rows in the remaining batches.
        """
        return side_by_side(
            {
                service: self.batches(service, split, batch_size, **lengths)
                for service in SERVICES
            }
        )

    def _histories(self, num_items: int, num_sessions: int) -> dict:
        return {
            "item": (self.item_histories, num_items),
            "session": (self.session_histories, num_sessions),
        }

    def _columns(self, service: str, split: str) -> Mapping[str, np.ndarray]:
        for name, value, known in [
            ("service", service, self.samples),
            ("split", split, self.samples.get(service, ())),
        ]:
            if value not in known:
                raise ValueError(
                    f"`{name}` must be one of {tuple(known)}. Got {value!r}."
                )
        columns = self.samples[service][split]
        if not len(columns["user_id"]):
            raise ValueError(
                f"`split` must have samples. Got {split!r} of {service!r}, which has "
                "none."
            )
        return columns

    def __str__(self) -> str:
        """Formats the sizes of the tables and of the splits."""
        lines = [
            f"{self.num_users:,} users, {self.num_items:,} items, "
            f"{self.num_sessions:,} search sessions, {self.num_words:,} words"
        ]
        for service, splits in self.samples.items():
            sizes = ", ".join(
                f"{len(columns['user_id']):,} {split}"
                for split, columns in splits.items()
            )
            lines.append(f"{service}: {sizes}")
        return "\n".join(lines)
