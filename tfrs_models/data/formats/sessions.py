"""Sessions with shown results out of click logs in known formats."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_models.data.formats.preparing import MIND_TIMES, labels_of_news, user_groups
from tfrs_models.data.table_files import read_fields

PAGE_GAP = 3600  # seconds after which shown items of a user group are another session


def of_mind(frame: pd.DataFrame, _: Path) -> list[dict]:
    """Makes a session of each impression: the user, the shown and the clicked news."""
    times = pd.to_datetime(frame["time"], format=MIND_TIMES)
    seconds = times.to_numpy("datetime64[s]").astype(np.int64)
    labels_of_news(frame)  # refuses a test set
    found = []
    for user, time, shown in zip(
        frame["userId"], seconds.tolist(), frame["impressions"].str.split(), strict=True
    ):
        labels = {}
        for entry in shown:
            news, _, label = entry.rpartition("-")
            labels[news] = labels.get(news, False) or label == "1"
        found.append(_session(user, labels, time))
    return found


def of_open_bandit(frame: pd.DataFrame, _: Path) -> list[dict]:
    """Makes sessions of items that were shown to a user group, an hour apart or less.

    The log has no ids of users or pages. An item that was shown several times in a
    session is one result, at its first position, and clicked if it ever was.
    """
    rows = pd.DataFrame(
        {
            "query": user_groups(frame),
            "time": _seconds(frame["timestamp"]),
            "position": pd.to_numeric(frame["position"]),
            "item": frame["item_id"].astype(str),
            "click": pd.to_numeric(frame["click"]) > 0,
        }
    )
    rows = rows.sort_values(["query", "time", "position"], kind="stable")
    is_new = rows["query"].ne(rows["query"].shift()) | rows["time"].diff().gt(PAGE_GAP)
    return _grouped(rows, is_new.cumsum())


def of_yoochoose(frame: pd.DataFrame, path: Path) -> list[dict]:
    """Makes sessions of clicked items, of which the bought ones are the events.

    The log has no lists of shown items; `yoochoose-buys.dat` must lie beside it.

    Raises:
      ValueError: the file has purchases, or no file of purchases lies beside it.
    """
    buys = path.with_name(path.name.replace("clicks", "buys"))
    if "category" not in frame or buys == path or not buys.is_file():
        raise ValueError(
            "sessions of yoochoose need yoochoose-clicks.dat, and yoochoose-buys.dat "
            f"beside it: clicked items are the results, bought ones the events. Got "
            f"{str(path)!r}."
        )
    columns = ("sessionId", "time", "itemId", "price", "quantity")
    bought, _ = read_fields(buys, separator=",", columns=columns)
    pairs = set(zip(bought["sessionId"], bought["itemId"], strict=True))
    keys = zip(frame["sessionId"], frame["itemId"], strict=True)
    rows = pd.DataFrame(
        {
            "query": frame["sessionId"],
            "time": _seconds(frame["time"]),
            "item": frame["itemId"],
            "click": [key in pairs for key in keys],
        }
    )
    rows = rows.sort_values("time", kind="stable")
    return _grouped(rows, rows["query"])


def _grouped(rows: pd.DataFrame, group: Iterable) -> list[dict]:
    found = []
    for _, of_session in rows.groupby(group, sort=False):
        labels = {}
        for item, click in zip(of_session["item"], of_session["click"], strict=True):
            labels[item] = labels.get(item, False) or bool(click)
        first = of_session.iloc[0]
        found.append(_session(first["query"], labels, int(first["time"])))
    return found


def _session(query: str, labels: Mapping[str, bool], time: int) -> dict:
    return {
        "search_query": query,
        "search_results": [{"object_id": item} for item in labels],
        "events": [{"object_id": item} for item, clicked in labels.items() if clicked],
        "created_at": time,
    }


def _seconds(times: pd.Series) -> np.ndarray:
    dates = pd.to_datetime(times, format="ISO8601", utc=True).dt.tz_convert(None)
    return dates.to_numpy("datetime64[s]").astype(np.int64)
