"""The raw KuaiSAR log, read in chunks and kept as compact columns.

The data set is not part of this library: its licence is CC BY-NC-SA 4.0.

Reference:
  Sun et al., KuaiSAR: A Unified Search And Recommendation Dataset, CIKM 2023.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tfrs_models.data.kuaisar.words import parse_words

USER_ATTRIBUTES = (
    "onehot_feat1",
    "onehot_feat2",
    "search_active_level",
    "rec_active_level",
)
CATEGORIES = ("first_level_category_id", "second_level_category_id")


class RawLog(NamedTuple):
    """What the converter needs of `rec_inter.csv` and `src_inter.csv`.

    Attributes:
      clicks: The recommender's clicks: `user`, `item`, `time` (milliseconds), in the
        order of the file.
      searches: One row for each search session: `session`, `user`, `time`, `keyword`
        (the text), in the order of the file.
      search_clicks: Clicks in search results: `session`, `item`, in the order of the
        file.
      num_rows: File -> rows read.
    """

    clicks: pd.DataFrame
    searches: pd.DataFrame
    search_clicks: pd.DataFrame
    num_rows: dict[str, int]


def read_log(directory: str | Path, *, chunk_rows: int = 250_000) -> RawLog:
    """Reads who clicked what, and who searched for what.

    Args:
      directory: Of the csv files, of either release.
      chunk_rows: Rows in memory at a time.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a column is missing, or a value is.
    """
    num_rows = {"rec_inter.csv": 0, "src_inter.csv": 0}
    clicks, searches, search_clicks = [], [], []
    columns = {"user_id": "user", "item_id": "item", "timestamp": "time"}
    for chunk in _chunks(directory, "rec_inter.csv", [*columns, "click"], chunk_rows):
        num_rows["rec_inter.csv"] += len(chunk)
        clicked = chunk.loc[chunk["click"] > 0, [*columns]].rename(columns=columns)
        clicks.append(_integers(clicked, "rec_inter.csv"))
    columns = {
        "search_session_id": "session",
        "user_id": "user",
        "search_session_timestamp": "time",
        "keyword": "keyword",
    }
    names = [*columns, "item_id", "click_cnt"]
    for chunk in _chunks(directory, "src_inter.csv", names, chunk_rows):
        num_rows["src_inter.csv"] += len(chunk)
        chunk = chunk.rename(columns={**columns, "item_id": "item"})
        clicked = chunk.loc[chunk["click_cnt"] > 0, ["session", "item"]]
        search_clicks.append(_integers(clicked, "src_inter.csv"))
        first = chunk[[*columns.values()]].drop_duplicates(["session", "user"])
        keywords = first.pop("keyword")
        searches.append(_integers(first, "src_inter.csv").assign(keyword=keywords))
    searched = _joined(searches, [*columns.values()])
    once = searched.drop_duplicates("session")
    several = searched.drop_duplicates(["session", "user"])
    if len(several) > len(once):
        session = several["session"][several["session"].duplicated()].iloc[0]
        raise ValueError(
            "A `search_session_id` of src_inter.csv must belong to one user. Session "
            f"{session} belongs to several."
        )
    return RawLog(
        _joined(clicks, ["user", "item", "time"]),
        once.reset_index(drop=True),
        _joined(search_clicks, ["session", "item"]),
        num_rows,
    )


def read_users(directory: str | Path, users: np.ndarray) -> dict[str, np.ndarray]:
    """Attributes `[num_users]` of users, from `user_features.csv`.

    Raises:
      ValueError: a user who clicked is not in the file.
    """
    file = "user_features.csv"
    names = ["user_id", *USER_ATTRIBUTES]
    frame = pd.concat(_chunks(directory, file, names, 250_000))
    frame = _integers(frame, file).drop_duplicates("user_id").set_index("user_id")
    unknown = np.setdiff1d(users, frame.index.to_numpy())
    if len(unknown):
        raise ValueError(
            f"{file} must have every user of the log. Got no row of {len(unknown)}, "
            f"such as user {unknown[0]}."
        )
    frame = frame.loc[users]
    return {name: frame[name].to_numpy(np.int32) for name in USER_ATTRIBUTES}


def read_items(
    directory: str | Path, items: np.ndarray, *, chunk_rows: int = 250_000
) -> tuple[list[list[int]], dict[str, np.ndarray]]:
    """Captions and raw categories of items, from `item_features.csv`.

    An item that the file does not have, or whose category is missing, gets an empty
    caption and the category -1.

    Args:
      directory: Of the csv files.
      items: `[num_items]` ids, ascending.
      chunk_rows: Rows in memory at a time.
    """
    captions = [[] for _ in items]
    categories = {name: np.full(len(items), -1, np.int64) for name in CATEGORIES}
    names = ["item_id", "caption", *CATEGORIES]
    for chunk in _chunks(directory, "item_features.csv", names, chunk_rows):
        place = np.searchsorted(items, chunk["item_id"])
        place = np.minimum(place, max(len(items) - 1, 0))
        known = items[place] == chunk["item_id"] if len(items) else []
        chunk, place = chunk[known], place[known]
        words = _parsed(chunk["caption"], "item_features.csv", "caption")
        for row, caption in zip(place.tolist(), words, strict=True):
            captions[row] = caption
        for name in CATEGORIES:
            numbers = pd.to_numeric(chunk[name], errors="coerce")
            categories[name][place] = numbers.fillna(-1).astype(np.int64)
    return captions, categories


def keyword_words(searches: pd.DataFrame) -> list[list[int]]:
    """Words of each search session's query."""
    return list(_parsed(searches["keyword"], "src_inter.csv", "keyword"))


def _parsed(column: pd.Series, file: str, name: str) -> Iterator[list[int]]:
    for row, value in zip(column.index.tolist(), column.tolist(), strict=True):
        try:
            yield parse_words(value)
        except ValueError as error:
            raise ValueError(f"`{name}` in row {row} of {file}: {error}") from error


def _chunks(
    directory: str | Path, file: str, columns: list[str], chunk_rows: int
) -> Iterator[pd.DataFrame]:
    path = Path(directory) / file
    if not path.exists():
        raise FileNotFoundError(
            f"{directory} must have {file}: unpack KuaiSAR_v2.zip or KuaiSAR.zip there."
        )
    header = pd.read_csv(path, nrows=0).columns
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(f"{file} must have the columns {missing}. Got {[*header]}.")
    with pd.read_csv(path, usecols=columns, chunksize=chunk_rows) as reader:
        yield from reader


def _integers(frame: pd.DataFrame, file: str) -> pd.DataFrame:
    for name in frame.columns:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        broken = ~np.isfinite(numbers) | (numbers < 0)
        if broken.any():
            row = int(np.argmax(broken))
            raise ValueError(
                f"`{name}` of {file} must be a number from 0. Got "
                f"{frame[name].iloc[row]!r} in row {frame.index[row]}."
            )
    return frame.astype(np.int64)


def _joined(chunks: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not chunks:
        return pd.DataFrame({name: np.zeros(0, np.int64) for name in columns})
    return pd.concat(chunks, ignore_index=True)
