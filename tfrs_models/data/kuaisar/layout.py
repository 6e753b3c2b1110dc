"""The eleven pickles of UniSAR: `vocab/` and `dataset/`."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_models.data.kuaisar.histories import Histories
from tfrs_models.data.kuaisar.restricted_pickle import load_pickle
from tfrs_models.data.kuaisar.search_and_recommendation import (
    TASKS,
    SearchAndRecommendation,
)
from tfrs_models.data.kuaisar.words import pad_words, parse_words

_SHORT = {"recommendation": "rec", "search": "src"}
_SPLITS = {"train": "train", "validation": "val", "test": "test"}
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
      ValueError: a forbidden class in a file, a column or key that is missing, an id
        that no table has, times that go back.
    """
    directory = Path(directory)
    users = _load(directory, "vocab/user_vocab.pkl", dict)
    attributes = _tables(directory, "vocab/user_vocab_np.pkl")
    items = _tables(directory, "vocab/item_vocab_np.pkl")
    file = "vocab/src_session_vocab_np.pkl"
    sessions = _tables(directory, file, "keyword", "pos_items")
    queries = _load(directory, "vocab/query_vocab.pkl", list)
    queries = [words for words in map(parse_words, queries[1:]) if words]
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
            split: _samples(directory, task, split, users, width) for split in _SPLITS
        }
        for task in TASKS
    }
    if "caption" not in items:  # a data set without words for its items
        items["caption"] = np.zeros([len(next(iter(items.values()))), 1], np.int32)
    for tables, own in [(attributes, "user_id"), (items, "item_id")]:
        tables.pop(own, None)  # the row's own number
    return SearchAndRecommendation(
        users=attributes,
        items=items,
        sessions=sessions,
        queries=pad_words(queries, width),
        item_histories=_histories(users, num_users, "rec_his"),
        session_histories=_histories(users, num_users, "src_session_his"),
        samples=samples,
        manifest={"source": "UniSAR's pickles"},
    )


def write_pickles(data: SearchAndRecommendation, directory: str | Path) -> None:
    """Writes UniSAR's layout, for the original program or for `read_pickles`.

    Args:
      data: To write.
      directory: Gets `vocab` and `dataset`.
    """
    directory = Path(directory)
    _dump(directory / "vocab/user_vocab.pkl", _user_vocabulary(data))
    _dump(directory / "vocab/user_vocab_np.pkl", _int64(data.users))
    _dump(directory / "vocab/item_vocab_np.pkl", _int64(data.items))
    _dump(directory / "vocab/src_session_vocab_np.pkl", _int64(data.sessions))
    queries = [[0], *map(_words, data.queries)]
    _dump(directory / "vocab/query_vocab.pkl", queries)
    clicks = _clicks_before(data)
    number = 0
    for task in TASKS:
        for split, name in _SPLITS.items():
            columns = data.samples[task][split]
            frame = _frame(columns, clicks, number)
            number += len(frame)
            _dump(directory / f"dataset/{_SHORT[task]}_{name}.pkl", frame)


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
    tables = {name: np.asarray(table) for name, table in found.items()}
    return {
        name: table.astype(np.int32) if table.dtype.kind in "iu" else table
        for name, table in tables.items()
    }


def _samples(
    directory: Path, task: str, split: str, users: dict, width: int
) -> dict[str, np.ndarray]:
    file = f"dataset/{_SHORT[task]}_{_SPLITS[split]}.pkl"
    frame = _load(directory, file, pd.DataFrame)
    names = [*_COLUMNS, "neg_items"] + (["keyword"] if task == "search" else [])
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(
            f"{file} must have the columns {missing}. Got {[*frame.columns]}."
        )
    stranger = ~frame["user_id"].isin(users.keys())
    if stranger.any():
        raise ValueError(
            f"`user_id` of {file} must be in user_vocab.pkl. Got "
            f"{frame['user_id'][stranger].iloc[0]} in row {int(np.argmax(stranger))}."
        )
    negatives = [parse_words(value) for value in frame["neg_items"].tolist()]
    lengths = sorted({len(row) for row in negatives})
    if len(lengths) > 1:
        raise ValueError(
            f"`neg_items` of {file} must be of one length. Got lists of {lengths}."
        )
    columns = dict(
        zip(
            ("user_id", "item_id", "timestamp", "num_items", "num_sessions"),
            (frame[name].to_numpy().astype(np.int64) for name in _COLUMNS),
            strict=True,
        )
    )
    shape = [len(frame), lengths[0] if lengths else 0]
    columns["negatives"] = np.array(negatives, np.int64).reshape(shape)
    if task == "search":
        words = [parse_words(value) for value in frame["keyword"].tolist()]
        columns["query"] = pad_words(words, width)
        if "search_session_id" in frame.columns:
            session = frame["search_session_id"].to_numpy().astype(np.int64)
            columns["search_session_id"] = session
    return columns


def _histories(users: dict, num_users: int, name: str) -> Histories:
    ids, times, lengths = [], [], np.zeros(num_users, np.int64)
    for user in sorted(users):
        for key in (name, f"{name}_ts"):
            if key not in users[user]:
                raise ValueError(
                    f"user_vocab.pkl must have {key!r} of every user. User {user} has "
                    f"{sorted(users[user])}."
                )
        own, moments = users[user][name], users[user][f"{name}_ts"]
        if len(own) != len(moments):
            raise ValueError(
                f"{name!r} and '{name}_ts' must be of one length. User {user} has "
                f"{len(own)} and {len(moments)}."
            )
        ids.extend(own)
        times.extend(moments)
        lengths[user] = len(own)
    return Histories(
        np.array(ids, np.int64),
        np.array(times, np.float64).astype(np.int64),
        np.concatenate([[0], np.cumsum(lengths)]),
    )


def _user_vocabulary(data: SearchAndRecommendation) -> dict[int, dict]:
    clicked = [_words(row) for row in data.sessions["pos_items"]]
    keywords = [_words(row) for row in data.sessions["keyword"]]
    vocabulary = {}
    for user in range(data.num_users):
        items, item_times = _of_user(data.item_histories, user)
        sessions, session_times = _of_user(data.session_histories, user)
        searched = [
            (time, item, keywords[session])
            for session, time in zip(sessions, session_times, strict=True)
            for item in clicked[session] or [0]
        ]
        recommended = [
            (time, item, 0) for item, time in zip(items, item_times, strict=True)
        ]
        merged = sorted(recommended + searched, key=lambda event: event[0])
        attributes = {name: int(values[user]) for name, values in data.users.items()}
        vocabulary[user] = {
            "user_id": user,
            **attributes,
            "rec_his": items,
            "rec_his_ts": item_times,
            "src_session_his": sessions,
            "src_session_his_ts": session_times,
            **_event_lists("src_his", searched),
            **_event_lists("all_his", merged),
        }
    return vocabulary


def _of_user(histories: Histories, user: int) -> tuple[list[int], list[float]]:
    own = slice(*histories.row_splits[user : user + 2])
    return histories.ids[own].tolist(), histories.times[own].astype(float).tolist()


def _event_lists(name: str, events: list[tuple]) -> dict[str, list]:
    times, items, queries = zip(*events, strict=True) if events else ((), (), ())
    return {name: [*items], f"{name}_ts": [*times], f"{name}_query": [*queries]}


def _clicks_before(data: SearchAndRecommendation) -> Callable[[dict], np.ndarray]:
    """From samples to the clicks in search, one for a search without, before them."""
    clicks = np.maximum((data.sessions["pos_items"] > 0).sum(axis=1), 1)
    total = np.concatenate([[0], np.cumsum(clicks[data.session_histories.ids])])

    def count(columns: dict) -> np.ndarray:
        first = data.session_histories.row_splits[columns["user_id"]]
        return total[first + columns["num_sessions"]] - total[first]

    return count


def _frame(
    columns: dict,
    clicks_before: Callable[[dict], np.ndarray],
    first_number: int,
) -> pd.DataFrame:
    searched = clicks_before(columns)
    size = len(searched)
    values = {
        "user_id": columns["user_id"].astype(np.int64),
        "item_id": columns["item_id"].astype(np.int64),
        "timestamp": columns["timestamp"].astype(np.float64),
        "click": np.ones(size, np.int64),
        "rec_his": columns["num_items"].astype(np.int64),
        "src_session_his": columns["num_sessions"].astype(np.int64),
        "src_his": searched,
        "all_his": columns["num_items"] + searched,
        "g_s_id": first_number + np.arange(size),
        "neg_items": pd.Series(columns["negatives"].tolist(), dtype=object),
    }
    if "query" in columns:
        if "search_session_id" in columns:
            values["search_session_id"] = columns["search_session_id"]
        words = [_words(row) for row in columns["query"]]
        values["keyword"] = pd.Series(words, dtype=object)
    frame = pd.DataFrame(values)
    frame.columns = pd.Index([*values], dtype=object)  # which old pandas reads, too
    return frame


def _words(row: np.ndarray) -> list[int]:
    return row[row > 0].tolist()


def _int64(tables: dict) -> dict[str, np.ndarray]:
    return {name: table.astype(np.int64) for name, table in tables.items()}


def _dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump(value, file, protocol=4)
