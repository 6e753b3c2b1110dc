"""The eleven pickles of UniSAR, for the original program."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_models.data.kuaisar.histories import Histories
from tfrs_models.data.kuaisar.read_pickles import SHORT, SPLITS
from tfrs_models.data.kuaisar.search_and_recommendation import (
    TASKS,
    SearchAndRecommendation,
)


def write_pickles(data: SearchAndRecommendation, directory: str | Path) -> None:
    """Writes UniSAR's layout, for the original program or for `read_pickles`.

    Args:
      data: To write.
      directory: Gets `vocab` and `dataset`.
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
    for task in TASKS:
        for split, name in SPLITS.items():
            columns = data.samples[task][split]
            frame = _frame(columns, clicks, number)
            number += len(frame)
            _dump(directory / f"dataset/{SHORT[task]}_{name}.pkl", frame)


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
