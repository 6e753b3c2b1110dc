"""Equal times of a user: an order drawn with the seed, and counts for the summary.

Many logs have several rows of a user at one time, and many files sort these rows by
item id. Who takes that for the order of events tests a model on the next id.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

TIES = ("random", "file")
_FAR = 0.05  # from a half, of the pairs in ascending order
_DEVIATIONS = 4  # of a binomial distribution, from a half


def check_ties(ties: str) -> None:
    """Raises a `ValueError` unless `ties` is a rule of the order of equal times."""
    if ties not in TIES:
        raise ValueError(f"`ties` must be one of {TIES}. Got {ties!r}.")


def drawn_order(
    timestamp: np.ndarray, ids: Sequence[np.ndarray], *, seed: int
) -> np.ndarray:
    """Draws an order of the rows with equal times and leaves all others where they are.

    Rows of one time exchange their positions, so that every later sort by time that is
    stable agrees with the draw. Each row draws a number from the seed, its time and its
    ids: neither the order of the rows nor other users or items change the order of two
    rows.

    Args:
      timestamp: `[num_rows]` integer times.
      ids: `[num_rows]` integers, or hashes of text, that tell the rows apart: users,
        items.
      seed: seed of the draw.

    Returns:
      `[num_rows]` int64 row numbers: the row that comes at each position.
    """
    by_time = np.argsort(timestamp, kind="stable")
    time = timestamp[by_time]
    equal = time[1:] == time[:-1]
    shares = np.append(equal, False) | np.insert(equal, 0, False)
    places = by_time[shares[: len(by_time)]]  # by time, then position in the table
    drawn = np.full(len(places), np.uint64(seed % 2**64))
    for part in (*ids, timestamp):
        drawn = _mixed(drawn ^ part[places].astype(np.uint64))
    order = np.arange(len(timestamp))
    order[places] = places[np.lexsort((drawn, timestamp[places]))]
    return order


def hashes(names: np.ndarray) -> np.ndarray:
    """Returns `[num_ids]` uint64 hashes of ids, equal in every process."""
    return pd.util.hash_array(names.astype(object))


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Spreads each bit over all 64, as SplitMix64 does (Steele et al., OOPSLA 2014)."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@dataclasses.dataclass(frozen=True)
class Ties:
    """Counts of the rows of a user with equal times, and the rule of their order.

    Args:
      rule: "random" for an order drawn with the seed, "file" for that of the file.
      rows: number of rows.
      tied_rows: number of rows with the time of another row of their user.
      neighbours: number of pairs of neighbouring rows of a user, in the order of time.
      tied_neighbours: number of these pairs that have one time.
      ascending: number of tied pairs in which the file has the smaller item id first.
      descending: number of tied pairs in which the file has the larger item id first.
    """

    rule: str
    rows: int
    tied_rows: int
    neighbours: int
    tied_neighbours: int
    ascending: int
    descending: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """A warning if the file sorts equal times by item id, else nothing."""
        pairs = self.ascending + self.descending
        if not pairs:
            return ()
        share = max(self.ascending, self.descending) / pairs
        bound = max(_FAR, _DEVIATIONS * 0.5 / math.sqrt(pairs))
        if share - 0.5 <= bound:
            return ()
        word = "ascending" if self.ascending > self.descending else "descending"
        done = {
            "random": "Such an order is no order of events: one is drawn with the seed",
            "file": '`ties="file"` takes that for the order of events: the next id may '
            "be what is tested",
        }[self.rule]
        return (
            f"{self.tied_neighbours / self.neighbours:.0%} of a user's neighbouring "
            f"rows have one time, and the file has {share:.0%} of them by {word} item "
            f"id. {done}.",
        )

    def __str__(self) -> str:
        """Formats the counts as one line."""
        if not self.tied_rows:
            return "no two rows of a user have one time"
        rule = {"random": "drawn with the seed", "file": "that of the file"}[self.rule]
        return (
            f"{self.tied_rows:,} rows ({self.tied_rows / self.rows:.1%}) have the time "
            f"of another row of their user: their order is {rule}"
        )


def count_ties(
    user: np.ndarray,
    item: np.ndarray,
    item_names: np.ndarray,
    timestamp: np.ndarray,
    *,
    rule: str,
) -> Ties:
    """Counts equal times in a table whose rows have the order of the file.

    Args:
      user: `[num_rows]` codes of the users.
      item: `[num_rows]` codes of the items.
      item_names: `[num_items]` ids of the items; if all are numbers they ascend as
        numbers, otherwise as text.
      timestamp: `[num_rows]` integer times.
      rule: "random" or "file", the rule that is applied.

    Returns:
      The counts.
    """
    order = np.lexsort((timestamp, user))
    user, time = user[order], timestamp[order]
    rank = _ranks(item_names)[item[order]]
    same_user = user[1:] == user[:-1]
    tied = same_user & (time[1:] == time[:-1])
    return Ties(
        rule=rule,
        rows=len(order),
        tied_rows=int((np.append(tied, False) | np.insert(tied, 0, False)).sum()),
        neighbours=int(same_user.sum()),
        tied_neighbours=int(tied.sum()),
        ascending=int((tied & (rank[1:] > rank[:-1])).sum()),
        descending=int((tied & (rank[1:] < rank[:-1])).sum()),
    )


def _ranks(names: np.ndarray) -> np.ndarray:
    numbers = pd.to_numeric(pd.Series(names), errors="coerce").to_numpy()
    order = np.argsort(names if np.isnan(numbers).any() else numbers, kind="stable")
    ranks = np.empty(len(names), np.int64)
    ranks[order] = np.arange(len(names))
    return ranks
