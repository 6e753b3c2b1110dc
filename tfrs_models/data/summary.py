"""The data in a dozen lines."""

import dataclasses

import numpy as np

from tfrs_models.data.splits import TEST, TRAIN

HOUR = 3600


@dataclasses.dataclass(frozen=True)
class Audit:
    """Counts of the test rows that are easier, or harder, than they look.

    A count that needs timestamps is None without them.

    Args:
      test_rows: rows of the test split.
      others_future_rows: test rows older than some train row of another user: training
        has seen what the world looked like after them.
      own_future_rows: train rows newer than the first test row of the same user.
      repeated_rows: validation and test rows whose user has the same item in an
        earlier split.
      tied_rows: test rows with the timestamp of the user's row just before them: the
        order of the file decides what is predicted from what.
      followed_rows: test rows with any row of the user before them.
      long_gap_rows: of those, rows more than an hour after the row before: the rest
        continues a session.
      cold_users: users of the test split without a train row.
      cold_user_rows: their test rows.
      cold_items: items of the test split without a train row.
      cold_item_rows: their test rows.
    """

    test_rows: int
    others_future_rows: int | None
    own_future_rows: int | None
    repeated_rows: int
    tied_rows: int | None
    followed_rows: int | None
    long_gap_rows: int | None
    cold_users: int
    cold_user_rows: int
    cold_items: int
    cold_item_rows: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the metrics must know, a sentence each."""
        found = []
        if self.own_future_rows:
            found.append(
                f"{self.own_future_rows:,} train rows lie in the future of their own "
                "user's test rows: the task is to fill gaps, not to predict."
            )
        if self.others_future_rows and self.others_future_rows > 0.01 * self.test_rows:
            found.append(
                "other users' futures are in train: popularity after the test row is "
                'known. split="global_time" keeps them out.'
            )
        if self.cold_user_rows > 0.5 * self.test_rows:
            found.append(
                "almost only new users in test: no model of user ids can beat "
                "popularity on them."
            )
        return tuple(found)

    def __str__(self) -> str:
        """The audit as aligned lines."""
        rows = self.test_rows
        lines = [
            ("test rows of cold users", self.cold_user_rows, rows),
            ("test rows of cold items", self.cold_item_rows, rows),
            ("(user, item) seen in an earlier split", self.repeated_rows, None),
            ("train rows after the user's own test", self.own_future_rows, None),
            ("test rows before others' train rows", self.others_future_rows, rows),
            ("test rows tied with the row before", self.tied_rows, rows),
            ("test rows over 1 h after the row before", self.long_gap_rows, rows),
        ]
        text = [f"  {label:<40}{_count(count, of)}" for label, count, of in lines]
        return "\n".join(text + [f"  warning: {line}" for line in self.warnings])


def audit(
    user: np.ndarray,
    item: np.ndarray,
    timestamp: np.ndarray | None,
    split: np.ndarray,
    *,
    ticks_per_second: int = 1,
) -> Audit:
    """Counts what the split lets in.

    Args:
      user: `[num_rows]` user of the row, as non-negative ints.
      item: `[num_rows]` item of the row, as non-negative ints.
      timestamp: `[num_rows]` integers that count ticks since 1970, or None.
      split: `[num_rows]` int8, see `data.splits`.
      ticks_per_second: ticks of `timestamp` in a second.

    Returns:
      The counts.
    """
    train, test = split == TRAIN, split == TEST
    cold_user = ~np.isin(user[test], user[train])
    cold_item = ~np.isin(item[test], item[train])
    others = own = tied = followed = long_gap = None
    if timestamp is not None:
        others = _others_future(user, timestamp, train, test)
        own = _own_future(user, timestamp, train, test)
        gap = _gap_before(user, timestamp)[test]
        has_row_before = gap >= 0
        followed = int(has_row_before.sum())
        tied = int((gap == 0).sum())
        long_gap = int((gap > HOUR * ticks_per_second).sum())
    return Audit(
        test_rows=int(test.sum()),
        others_future_rows=others,
        own_future_rows=own,
        repeated_rows=_repeated(user, item, split),
        tied_rows=tied,
        followed_rows=followed,
        long_gap_rows=long_gap,
        cold_users=len(np.unique(user[test][cold_user])),
        cold_user_rows=int(cold_user.sum()),
        cold_items=len(np.unique(item[test][cold_item])),
        cold_item_rows=int(cold_item.sum()),
    )


def _others_future(user, timestamp, train, test) -> int:
    if not train.any():
        return 0
    order = np.argsort(timestamp[train])
    newest_user = user[train][order[-1]]
    newest = timestamp[train][order[-1]]
    of_others = user[train] != newest_user
    second = timestamp[train][of_others].max() if of_others.any() else -1
    newest_of_others = np.where(user[test] == newest_user, second, newest)
    return int((timestamp[test] < newest_of_others).sum())


def _own_future(user, timestamp, train, test) -> int:
    first_test = np.full(user.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first_test, user[test], timestamp[test])
    return int((timestamp[train] > first_test[user[train]]).sum())


def _gap_before(user, timestamp) -> np.ndarray:
    """`[num_rows]` ticks since the user's row before, -1 for the first one."""
    order = np.lexsort((timestamp, user))
    gap = np.full(len(user), -1, np.int64)
    same_user = user[order][1:] == user[order][:-1]
    gap[order[1:]] = np.where(same_user, np.diff(timestamp[order]), -1)
    return gap


def _repeated(user, item, split) -> int:
    pair = user.astype(np.int64) * (int(item.max()) + 1) + item
    return sum(
        int(np.isin(pair[split == later], pair[split < later]).sum())
        for later in np.unique(split)
    )


def _count(count: int | None, of: int | None) -> str:
    if count is None:
        return f"{'no timestamps':>9}"
    share = f"  ({count / of:.1%})" if of else ""
    return f"{count:>9,}{share}"


@dataclasses.dataclass(frozen=True)
class Summary:
    """Sizes of the data and of its splits, and the leakage audit; `str` for people.

    Args:
      name: of the data.
      split: how it was split.
      min_rating: rating from which a row is a positive, or None for all rows.
      num_users: users with a train row.
      num_items: items of the catalogue.
      num_train_items: items with a train row; the others are cold.
      rows: rows of each split.
      dropped_rows: rows below `min_rating`.
      density: share of the user-item pairs of the data that have a row or several.
      audit: what the split lets in.
      notes: what else a reader must know of the table, a sentence each.
    """

    name: str
    split: str
    min_rating: float | None
    num_users: int
    num_items: int
    num_train_items: int
    rows: dict[str, int]
    dropped_rows: int
    density: float
    audit: Audit
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The summary as aligned lines."""
        positives = "all rows are positives"
        if self.min_rating is not None:
            positives = (
                f"ratings from {self.min_rating:g} are positives "
                f"({self.dropped_rows:,} rows dropped)"
            )
        cold_items = self.num_items - self.num_train_items
        rows = "  ".join(f"{name} {count:,}" for name, count in self.rows.items())
        lines = [
            f"{self.name}: split {self.split}, {positives}",
            f"  users  {self.num_users:,} in train, {self.audit.cold_users:,} more in "
            "test",
            f"  items  {self.num_items:,}, of which {cold_items:,} never in train",
            f"  rows   {rows}  (density {self.density:.2%})",
            str(self.audit),
            *(f"  warning: {note}" for note in self.notes),
        ]
        return "\n".join(lines)
