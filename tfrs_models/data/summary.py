"""Sizes of split interactions and an audit of what leaks from train to test."""

import dataclasses
import textwrap

import numpy as np

from tfrs_models.data.splits import TEST, TRAIN
from tfrs_models.data.ties import Ties

HOUR = 3600


@dataclasses.dataclass(frozen=True)
class Audit:
    """Counts of the test rows that are easier, or harder, than they look.

    A count that needs timestamps is None without timestamps.

    Args:
      test_rows: number of rows in the test split.
      others_future_rows: number of test rows that are older than some train row of
        another user. Training data then contain information from after the test row.
      own_future_rows: number of train rows that are newer than the first test row of
        the same user.
      repeated_rows: number of validation and test rows whose user has the same item in
        an earlier split.
      tied_rows: number of test rows with the same timestamp as the user's previous row.
        Which of the two is predicted from the other is drawn, or up to the file.
      followed_rows: number of test rows with any earlier row of the user.
      long_gap_rows: number of test rows more than one hour after the user's previous
        row. The other test rows continue a session.
      cold_users: number of users in the test split without a train row.
      cold_user_rows: number of test rows of these users.
      cold_items: number of items in the test split without a train row.
      cold_item_rows: number of test rows of these items.
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
        """Warnings for a reader of the metrics, one sentence each."""
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
        """Formats the audit as aligned lines."""
        rows = self.test_rows
        lines = [
            ("test rows of cold users", self.cold_user_rows, rows),
            ("test rows of cold items", self.cold_item_rows, rows),
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
    """Counts which information a split lets leak into training.

    Args:
      user: `[num_rows]` users of the rows, non-negative ints.
      item: `[num_rows]` items of the rows, non-negative ints.
      timestamp: `[num_rows]` integer times in ticks since 1970, or None.
      split: `[num_rows]` int8 codes of the splits, `TRAIN`, `VALIDATION` or `TEST`.
      ticks_per_second: number of ticks of `timestamp` in a second.

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
    """`[num_rows]` ticks since the user's previous row, -1 for the first row."""
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


def _wrapped(line: str) -> str:
    return textwrap.fill(line, 88, subsequent_indent=" " * 9)


@dataclasses.dataclass(frozen=True)
class Repeats:
    """The rule for rows whose user had the item before, and why; `str` explains it.

    Args:
      rule: "allow" if evaluation excludes nothing, "leave-out" if it excludes known
        items and leaves out the rows that repeat.
      requested: "auto", or the rule that the caller chose.
      rows: "validation" and "test" -> number of rows that repeat.
      of: "validation" and "test" -> number of all rows.
    """

    rule: str
    requested: str
    rows: dict[str, int]
    of: dict[str, int]

    def __str__(self) -> str:
        """Formats the counts, the rule and the reason as one sentence."""
        counts = ", ".join(
            f"{self.rows[name]:,} of {size:,} {name} rows "
            f"({self.rows[name] / size:.1%})"
            for name, size in self.of.items()
            if size
        )
        allows = self.rule == "allow"
        reason = "as requested"
        if self.requested == "auto":
            reason = f"{'more' if allows else 'not more'} than 5% of a split"
        effect = (
            "recommending again is part of the task, and nothing is excluded"
            if allows
            else "known items are excluded, and these rows left out of the metrics"
        )
        return f"{counts or 'no row to evaluate'}; {reason}: {effect}"


@dataclasses.dataclass(frozen=True)
class Summary:
    """Sizes of the data and of their splits, and the leakage audit; `str` formats it.

    Args:
      name: name of the data.
      split: name of the splitting rule.
      min_rating: smallest rating of a positive row, or None if all rows are positives.
      num_users: number of users with a train row.
      num_items: number of items in the catalogue.
      num_train_items: number of items with a train row; the others are cold.
      rows: name of each split -> its number of rows.
      dropped_rows: number of rows below `min_rating`.
      density: share of the user-item pairs that have one or more rows.
      audit: counts of what the split lets leak.
      notes: additional warnings about the table, one sentence each.
      ties: counts of equal times and the rule of their order, or None without times.
      reading: format of the file and what was read from it, a line each.
      repeats: rule for rows whose user had the item before; None for no choice, which
        is "leave-out".
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
    ties: Ties | None = None
    reading: tuple[str, ...] = ()
    repeats: Repeats | None = None

    def __str__(self) -> str:
        """Formats the summary as aligned lines."""
        positives = "all rows are positives"
        if self.min_rating is not None:
            positives = (
                f"ratings from {self.min_rating:g} are positives "
                f"({self.dropped_rows:,} rows dropped)"
            )
        cold_items = self.num_items - self.num_train_items
        rows = "  ".join(f"{name} {count:,}" for name, count in self.rows.items())
        tied = () if self.ties is None else self.ties.warnings
        lines = [
            f"{self.name}: split {self.split}, {positives}",
            *(f"  {line}" for line in self.reading),
            f"  users  {self.num_users:,} in train, {self.audit.cold_users:,} more in "
            "test",
            f"  items  {self.num_items:,}, of which {cold_items:,} never in train",
            f"  rows   {rows}  (density {self.density:.2%})",
            *([] if self.ties is None else [f"  ties   {self.ties}"]),
            *([] if self.repeats is None else [_wrapped(f"  again  {self.repeats}")]),
            str(self.audit),
            *(f"  warning: {note}" for note in (*tied, *self.notes)),
        ]
        return "\n".join(lines)
