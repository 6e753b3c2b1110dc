"""The eleven pickles of UniSAR: `vocab/` and `dataset/`."""

from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_models.data.kuaisar.checks import LISTS
from tfrs_models.data.kuaisar.histories import Histories
from tfrs_models.data.kuaisar.raw_log import LAST_MOMENT
from tfrs_models.data.kuaisar.restricted_pickle import load_pickle
from tfrs_models.data.kuaisar.search_and_recommendation import (
    TASKS,
    SearchAndRecommendation,
)
from tfrs_models.data.kuaisar.whole_numbers import whole_numbers
from tfrs_models.data.kuaisar.words import pad_words, parse_column

SHORT = {"recommendation": "rec", "search": "src"}
SPLITS = {"train": "train", "validation": "val", "test": "test"}
_COLUMNS = ("user_id", "item_id", "timestamp", "rec_his", "src_session_his")


def read_pickles(directory: str | Path) -> SearchAndRecommendation:
    """Reads UniSAR's layout, as it was published or as `write_pickles` wrote it.

    Nothing in the files is executed: only NumPy arrays, pandas frames and plain
    containers are admitted, and text that holds lists is parsed. Queries are cut to the
    width of the sessions' `keyword`.

    Args:
      directory: With `vocab` (five files) and `dataset` (six).

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a forbidden class in a file, a column or key that is missing, a value
        that is no whole number, an id that no table has, times that go back.
    """
    directory = Path(directory)
    users = _load(directory, "vocab/user_vocab.pkl", dict)
    attributes = _tables(directory, "vocab/user_vocab_np.pkl")
    items = _tables(directory, "vocab/item_vocab_np.pkl")
    file = "vocab/src_session_vocab_np.pkl"
    sessions = _tables(directory, file, "keyword", "pos_items")
    file = "vocab/query_vocab.pkl"
    queries = _load(directory, file, list)[1:]
    queries = parse_column(
        queries, file, dtype=np.int32, rows=range(1, 1 + len(queries))
    )
    num_users = len(next(iter(attributes.values())))
    unknown = [user for user in users if user not in range(num_users)]
    if unknown:
        raise ValueError(
            f"user_vocab.pkl must have users from 0 to {num_users - 1}. Got "
            f"{unknown[0]!r}."
        )
    width = sessions["keyword"].shape[1]
    samples = {
        task: {
            split: _samples(directory, task, split, users, width) for split in SPLITS
        }
        for task in TASKS
    }
    num_items = len(next(iter(items.values()))) - 1
    for tables, own in [(attributes, "user_id"), (items, "item_id")]:
        tables.pop(own, None)  # the row's own number
    return SearchAndRecommendation(
        users=attributes,
        items=items,
        num_items=num_items,
        sessions=sessions,
        queries=pad_words(filter(None, queries), width),
        item_histories=_histories(users, num_users, "rec_his"),
        session_histories=_histories(users, num_users, "src_session_his"),
        samples=samples,
        manifest={"source": "UniSAR's pickles"},
    )


def _load(directory: Path, file: str, kind: type) -> object:
    path = directory / file
    if not path.exists():
        raise FileNotFoundError(f"{directory} must have {file}.")
    value = load_pickle(path)
    if not isinstance(value, kind):
        raise ValueError(f"{path} must hold a {kind.__name__}. Got {type(value)}.")
    return value


def _tables(directory: Path, file: str, *required: str) -> dict[str, np.ndarray]:
    found = _load(directory, file, dict)
    missing = [name for name in required if name not in found]
    if missing or not found:
        raise ValueError(f"{file} must have {missing or 'a column'}. Got {[*found]}.")
    return {
        name: whole_numbers(
            table,
            f"`{name}` of {file}",
            dtype=np.int32,
            axes=(2,) if name in LISTS else (1,),
        )
        for name, table in found.items()
    }


def _samples(
    directory: Path, task: str, split: str, users: dict, width: int
) -> dict[str, np.ndarray]:
    file = f"dataset/{SHORT[task]}_{SPLITS[split]}.pkl"
    frame = _load(directory, file, pd.DataFrame)
    names = [*_COLUMNS, "neg_items"] + (["keyword"] if task == "search" else [])
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(
            f"{file} must have the columns {missing}. Got {[*frame.columns]}."
        )

    def numbers(name: str) -> np.ndarray:
        last = LAST_MOMENT if name == "timestamp" else None
        return whole_numbers(frame[name].to_numpy(), f"`{name}` of {file}", last=last)

    def lists(name: str, dtype: type) -> list[list[int]]:
        values = frame[name].tolist()
        return [*parse_column(values, f"`{name}` of {file}", dtype=dtype)]

    names = ("user_id", "item_id", "timestamp", "num_items", "num_sessions")
    columns = dict(zip(names, map(numbers, _COLUMNS), strict=True))
    stranger = ~np.isin(columns["user_id"], [*users])
    if stranger.any():
        row = int(np.argmax(stranger))
        raise ValueError(
            f"`user_id` of {file} must be in user_vocab.pkl. Got "
            f"{columns['user_id'][row]} in row {row}."
        )
    negatives = lists("neg_items", np.int64)
    lengths = sorted({len(row) for row in negatives})
    if len(lengths) > 1:
        raise ValueError(
            f"`neg_items` of {file} must be of one length. Got lists of {lengths}."
        )
    shape = [len(frame), lengths[0] if lengths else 0]
    columns["negatives"] = np.array(negatives, np.int64).reshape(shape)
    if task == "search":
        columns["query"] = pad_words(lists("keyword", np.int32), width)
        if "search_session_id" in frame.columns:
            columns["search_session_id"] = numbers("search_session_id")
    return columns


def _histories(users: dict, num_users: int, name: str) -> Histories:
    file, none = "vocab/user_vocab.pkl", np.zeros(0, np.int64)
    ids, times, lengths = [], [], np.zeros(num_users, np.int64)
    for user in sorted(users):
        if not isinstance(users[user], dict):
            raise ValueError(
                f"user_vocab.pkl must have a dict of every user. User {user} has "
                f"{users[user]!r:.200}."
            )
        for key in (name, f"{name}_ts"):
            if key not in users[user]:
                raise ValueError(
                    f"user_vocab.pkl must have {key!r} of every user. User {user} has "
                    f"{sorted(users[user])}."
                )
        own, moments = (
            whole_numbers(
                users[user][key], f"`{key}` of user {user} in {file}", last=last
            )
            for key, last in ((name, None), (f"{name}_ts", LAST_MOMENT))
        )
        if len(own) != len(moments):
            raise ValueError(
                f"{name!r} and '{name}_ts' must be of one length. User {user} has "
                f"{len(own)} and {len(moments)}."
            )
        ids.append(own)
        times.append(moments)
        lengths[user] = len(own)
    return Histories(
        np.concatenate([none, *ids]),
        np.concatenate([none, *times]),
        np.concatenate([[0], np.cumsum(lengths)]),
    )
