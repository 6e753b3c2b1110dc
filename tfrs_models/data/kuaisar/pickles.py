"""The eleven pickles of UniSAR in the folders `vocab` and `dataset`."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_models._files import written_whole
from tfrs_models.data.kuaisar.checks import LISTS, Histories
from tfrs_models.data.kuaisar.parsing import pad_words, parse_column, whole_numbers
from tfrs_models.data.kuaisar.raw_log import LAST_MOMENT
from tfrs_models.data.kuaisar.restricted_pickle import load_pickle
from tfrs_models.data.kuaisar.search_and_recommendation import (
    SERVICES,
    SearchAndRecommendation,
)

SHORT = {"recommendation": "rec", "search": "src"}
SPLITS = {"train": "train", "validation": "val", "test": "test"}
_COLUMNS = ("user_id", "item_id", "timestamp", "rec_his", "src_session_his")


def read_pickles(directory: str | Path) -> SearchAndRecommendation:
    """Reads UniSAR's layout, as it was published or as `write_pickles` wrote it.

    Nothing in the files is executed: only NumPy arrays, pandas frames and plain
    containers are accepted, and text that contains lists is parsed. Queries are cut to
    the width of the sessions' `keyword`.

    Args:
      directory: path of the folder with `vocab` (five files) and `dataset` (six).

    Returns:
      The data.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file contains a forbidden class; a column or key is missing; a value
        is not a whole number; an id is in no table; or times decrease.
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
        service: {
            split: _samples(directory, service, split, users, width) for split in SPLITS
        }
        for service in SERVICES
    }
    num_items = len(next(iter(items.values()))) - 1
    for tables, own in [(attributes, "user_id"), (items, "item_id")]:
        tables.pop(own, None)  # the row number
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
    directory: Path, service: str, split: str, users: dict, width: int
) -> dict[str, np.ndarray]:
    file = f"dataset/{SHORT[service]}_{SPLITS[split]}.pkl"
    frame = _load(directory, file, pd.DataFrame)
    names = [*_COLUMNS, "neg_items"] + (["keyword"] if service == "search" else [])
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
    if service == "search":
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


def write_pickles(data: SearchAndRecommendation, directory: str | Path) -> None:
    """Writes UniSAR's layout, for the original program or for `read_pickles`.

    Args:
      data: data to write.
      directory: path of the folder, which gets `vocab` and `dataset`.

    Example:
      >>> data = tm.data.synthetic.make_search_and_recommendation(0, num_users=20)
      >>> tm.data.kuaisar.write_pickles(data, "unisar")
      >>> str(tm.data.kuaisar.load("unisar")) == str(data)
      True
    """
    directory = Path(directory)
    _dump(directory / "vocab/user_vocab.pkl", _user_vocabulary(data))
    users = data.users or {"user_id": np.arange(data.num_users)}
    items = data.items or {"item_id": np.arange(data.num_items + 1)}
    _dump(directory / "vocab/user_vocab_np.pkl", _int64(users))
    _dump(directory / "vocab/item_vocab_np.pkl", _int64(items))
    _dump(directory / "vocab/src_session_vocab_np.pkl", _int64(data.sessions))
    queries = [[0], *map(_words, data.queries)]
    _dump(directory / "vocab/query_vocab.pkl", queries)
    clicks = _clicks_before(data)
    number = 0
    for service in SERVICES:
        for split, name in SPLITS.items():
            columns = data.samples[service][split]
            frame = _frame(columns, clicks, number)
            number += len(frame)
            _dump(directory / f"dataset/{SHORT[service]}_{name}.pkl", frame)


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
    """Makes a function that counts clicks in earlier searches of a sample's user.

    A search without a click counts as one.
    """
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
    frame.columns = pd.Index([*values], dtype=object)  # readable by old pandas too
    return frame


def _words(row: np.ndarray) -> list[int]:
    return row[row > 0].tolist()


def _int64(tables: dict) -> dict[str, np.ndarray]:
    return {name: table.astype(np.int64) for name, table in tables.items()}


def _dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        pickle.dump(value, file, protocol=4)
