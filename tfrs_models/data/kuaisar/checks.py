"""Histories of users, and checks of tables, histories and samples."""

from collections.abc import Mapping, Sized
from typing import NamedTuple

import numpy as np

from tfrs_models.data.kuaisar.parsing import check_axes

LISTS = ("caption", "keyword", "pos_items")  # columns with a list in each row
_SAMPLE = ("user_id", "item_id", "timestamp", "num_items", "num_sessions", "negatives")


class Histories(NamedTuple):
    """Events of each user in one service, oldest first.

    Attributes:
      ids: `[num_events]` items, or search sessions, of user 0, then of user 1, ...
      times: `[num_events]` int64 milliseconds since 1970, ascending for each user.
      row_splits: `[num_users + 1]` indices at which each user's events begin and end.
    """

    ids: np.ndarray
    times: np.ndarray
    row_splits: np.ndarray


def check_table(
    name: str, table: Mapping[str, np.ndarray], required: tuple[str, ...] = ()
) -> None:
    """Raises a `ValueError` unless row 0 is padding and required columns exist."""
    for column in required:
        if column not in table:
            raise ValueError(f"`{name}` must have {column!r}. Got {sorted(table)}.")
    check_lengths(name, table)
    for column, values in table.items():
        axes = (2,) if column in LISTS else (1,)
        check_range(f"{name}[{column!r}]", values, 0, None, axes=axes)
        if not len(values) or np.any(values[0]):
            raise ValueError(
                f"Row 0 of `{name}[{column!r}]` is padding and must be zeros."
            )


def check_histories(name: str, histories: Histories, num_ids: int) -> None:
    """Raises a `ValueError` if an id is out of range or times decrease."""
    splits, num_events = histories.row_splits, len(histories.ids)
    ascend = len(splits) and splits[0] == 0 and np.all(np.diff(splits) >= 0)
    if not ascend or splits[-1] != num_events or len(histories.times) != num_events:
        raise ValueError(
            f"`{name}.row_splits` must ascend from 0 to the number of ids and of "
            f"times. Got {splits}, {num_events} ids, {len(histories.times)} times."
        )
    check_range(f"{name}.ids", histories.ids, 1, num_ids)
    check_range(f"{name}.times", histories.times, 1, None)
    back = np.flatnonzero(np.diff(histories.times) < 0) + 1
    back = np.setdiff1d(back, splits)  # another user's events may begin earlier
    if len(back):
        user = np.searchsorted(splits, back[0], side="right") - 1
        raise ValueError(
            f"`{name}` must be in the order of time. User {user}'s go back at event "
            f"{back[0] - splits[user]}: sort them, and count anew what came before "
            "each sample."
        )


def check_samples(
    name: str,
    columns: Mapping[str, np.ndarray],
    num_items: int,
    num_words: int,
    histories: Mapping[str, Histories],
    *,
    is_search: bool,
) -> None:
    """Raises a `ValueError` if samples refer to unknown ids or to later events."""
    required = [*_SAMPLE, "query"] if is_search else _SAMPLE
    if missing := [column for column in required if column not in columns]:
        raise ValueError(f"`{name}` must have {missing}. Got {sorted(columns)}.")
    check_lengths(name, columns)
    user = columns["user_id"]
    num_users = len(histories["num_items"].row_splits) - 1
    check_range(f"{name}['user_id']", user, 0, num_users - 1)
    for column, axes in [("item_id", 1), ("negatives", 2)]:
        path = f"{name}[{column!r}]"
        check_range(path, columns[column], 1, num_items, axes=(axes,))
    if is_search:
        check_range(f"{name}['query']", columns["query"], 0, num_words, axes=(2,))
    _check_negatives(name, columns["item_id"], columns["negatives"])
    for column, history in histories.items():
        counts, lengths = columns[column], np.diff(history.row_splits)[user]
        wrong = (counts < 0) | (counts > lengths)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"`{name}[{column!r}]` must be from 0 to the length of the user's "
                f"history. Got {counts[row]} in row {row}, where user {user[row]} has "
                f"{lengths[row]}."
            )
        _check_past(f"{name}[{column!r}]", columns, counts, history)


def _check_negatives(name: str, item: np.ndarray, negatives: np.ndarray) -> None:
    if len(item) and not negatives.shape[1]:
        raise ValueError(f"`{name}['negatives']` must have a column. Got none.")
    clicked = (negatives == item[:, None]).any(axis=1)
    if clicked.any():
        row = int(np.argmax(clicked))
        raise ValueError(
            f"`{name}['negatives']` must be other items than the clicked one. Got "
            f"{item[row]} in row {row}, which is its `item_id`."
        )


def _check_past(
    name: str, columns: Mapping[str, np.ndarray], counts: np.ndarray, history: Histories
) -> None:
    """Raises a `ValueError` if the last event of a history is later than the sample."""
    some = np.flatnonzero(counts)
    last = history.row_splits[columns["user_id"][some]] + counts[some] - 1
    late = history.times[last] > columns["timestamp"][some]
    if late.any():
        row = some[np.argmax(late)]
        raise ValueError(
            f"`{name}` must count what came before the sample. Got {counts[row]} in "
            f"row {row}, of which the last is after its `timestamp` "
            f"{columns['timestamp'][row]}."
        )


def check_lengths(name: str, columns: Mapping[str, Sized]) -> None:
    """Raises a `ValueError` unless all columns have one length."""
    lengths = {column: len(values) for column, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"`{name}` must have columns of one length. Got {lengths}.")


def check_range(
    name: str,
    ids: np.ndarray,
    first: int,
    last: int | None,
    *,
    axes: tuple[int, ...] = (1,),
) -> None:
    """Raises a `ValueError` unless all values are integers from `first` to `last`."""
    ids = np.asarray(ids)
    check_axes(f"`{name}`", ids, axes)
    if ids.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must hold integers. Got {ids.dtype}.")
    if not ids.size:
        return
    least, most = ids.min(), ids.max()
    if least < first or (last is not None and most > last):
        found = least if least < first else most
        row = int(np.argwhere(ids == found)[0, 0])
        limit, why = f"at least {first}", ""
        if last is not None:
            limit, why = f"from {first} to {last}", ": it is not in the vocabulary"
        raise ValueError(f"`{name}` must be {limit}. Got {found} in row {row}{why}.")
