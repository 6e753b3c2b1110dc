"""Reader of the raw KuaiSAR log, in chunks and as compact columns.

The data set is not part of this library: its licence is CC BY-NC-SA 4.0.

Reference:
  Sun et al., KuaiSAR: A Unified Search And Recommendation Dataset, CIKM 2023.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tfrs_models.data.kuaisar.parsing import parse_column, whole_numbers
from tfrs_models.data.times import END_SECOND

USER_ATTRIBUTES = (
    "onehot_feat1",
    "onehot_feat2",
    "search_active_level",
    "rec_active_level",
)
CATEGORIES = ("first_level_category_id", "second_level_category_id")
_MOMENTS = ("timestamp", "search_session_timestamp")
_FIRST_MOMENT = 100_000_000_000  # milliseconds, in 1973; as seconds it is the year 5138
LAST_MOMENT = 1000 * END_SECOND - 1  # microseconds since 1970 are larger


class RawLog(NamedTuple):
    """The columns of `rec_inter.csv` and `src_inter.csv` that the converter needs.

    Attributes:
      clicks: clicks in the recommender: `user`, `item`, `time` (milliseconds),
        distinct, in the order of the file.
      searches: one row for each search session: `session`, `user`, `time`, `keyword`
        (the text), in the order of the file, indexed by row number.
      search_clicks: clicks in search results: `session`, `item`, distinct, in the order
        of the file.
      num_rows: file -> number of rows read.
      num_repeated: `clicks` and `search_clicks` -> number of repeated rows.
    """

    clicks: pd.DataFrame
    searches: pd.DataFrame
    search_clicks: pd.DataFrame
    num_rows: dict[str, int]
    num_repeated: dict[str, int]


def read_log(directory: str | Path, *, chunk_rows: int = 250_000) -> RawLog:
    """Reads the clicks in the recommender, the searches, and the clicks in searches.

    Args:
      directory: path of the folder with the csv files of either release.
      chunk_rows: number of rows in memory at a time.

    Returns:
      The log.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a column is missing, a value is wrong, or a file is not a table.
    """
    num_rows = {"rec_inter.csv": 0, "src_inter.csv": 0}
    clicks, searches, search_clicks = [], [], []
    columns = {"user_id": "user", "item_id": "item", "timestamp": "time"}
    for chunk in _chunks(directory, "rec_inter.csv", [*columns, "click"], chunk_rows):
        num_rows["rec_inter.csv"] += len(chunk)
        clicked = chunk[_whole(chunk, "click", "rec_inter.csv") > 0]
        clicks.append(_integers(clicked, columns, "rec_inter.csv"))
    columns = {
        "search_session_id": "session",
        "user_id": "user",
        "search_session_timestamp": "time",
    }
    found = {"search_session_id": "session", "item_id": "item"}
    names = [*columns, "keyword", "item_id", "click_cnt"]
    for chunk in _chunks(directory, "src_inter.csv", names, chunk_rows):
        num_rows["src_inter.csv"] += len(chunk)
        clicked = chunk[_whole(chunk, "click_cnt", "src_inter.csv") > 0]
        search_clicks.append(_integers(clicked, found, "src_inter.csv"))
        first = chunk.drop_duplicates(["search_session_id", "user_id"])
        keywords = first["keyword"]
        first = _integers(first, columns, "src_inter.csv")
        searches.append(first.assign(keyword=keywords))
    searched = _joined(searches, [*columns.values(), "keyword"])
    once = searched.drop_duplicates("session")
    several = searched.drop_duplicates(["session", "user"])
    if len(several) > len(once):
        session = several["session"][several["session"].duplicated()].iloc[0]
        raise ValueError(
            "A `search_session_id` of src_inter.csv must belong to one user. Session "
            f"{session} belongs to several."
        )
    clicks = _joined(clicks, ["user", "item", "time"])
    search_clicks = _joined(search_clicks, ["session", "item"])
    distinct = clicks.drop_duplicates(), search_clicks.drop_duplicates()
    num_repeated = {
        "clicks": len(clicks) - len(distinct[0]),
        "search_clicks": len(search_clicks) - len(distinct[1]),
    }
    return RawLog(distinct[0], once, distinct[1], num_rows, num_repeated)


def read_users(directory: str | Path, users: np.ndarray) -> dict[str, np.ndarray]:
    """Reads attributes `[num_users]` of users from `user_features.csv`.

    Raises:
      ValueError: a user of the log is not in the file.
    """
    file = "user_features.csv"
    names = ["user_id", *USER_ATTRIBUTES]
    frame = pd.concat(_chunks(directory, file, names, 250_000))
    frame["user_id"] = _whole(frame, "user_id", file)
    frame = frame.drop_duplicates("user_id")
    values = {name: _whole(frame, name, file, np.int32) for name in USER_ATTRIBUTES}
    frame = pd.DataFrame(values, frame["user_id"])
    unknown = np.setdiff1d(users, frame.index.to_numpy())
    if len(unknown):
        raise ValueError(
            f"{file} must have every user of the log. Got no row of {len(unknown)}, "
            f"such as user {unknown[0]}."
        )
    frame = frame.loc[users]
    return {name: frame[name].to_numpy() for name in USER_ATTRIBUTES}


def read_items(
    directory: str | Path, items: np.ndarray, *, chunk_rows: int = 250_000
) -> tuple[list[list[int]], dict[str, np.ndarray]]:
    """Reads captions and raw categories of items from `item_features.csv`.

    An item that is not in the file, or whose category is missing, gets an empty caption
    and the category -1.

    Args:
      directory: path of the folder with the csv files.
      items: `[num_items]` ascending ids.
      chunk_rows: number of rows in memory at a time.

    Returns:
      `[num_items]` lists of words, and column name -> `[num_items]` categories.
    """
    captions = [[] for _ in items]
    categories = {name: np.full(len(items), -1, np.int64) for name in CATEGORIES}
    file, names = "item_features.csv", ["item_id", "caption", *CATEGORIES]
    for chunk in _chunks(directory, file, names, chunk_rows):
        item = _whole(chunk, "item_id", file)
        index = np.minimum(np.searchsorted(items, item), len(items) - 1)
        known = items[index] == item
        chunk, index = chunk[known], index[known]
        words = _parsed(chunk["caption"], file)
        for row, caption in zip(index.tolist(), words, strict=True):
            captions[row] = caption
        for name in CATEGORIES:
            there = chunk[name].notna().to_numpy()
            numbers = _whole(chunk[there], name, file, first=None)
            categories[name][index[there]] = numbers
    return captions, categories


def keyword_words(searches: pd.DataFrame) -> list[list[int]]:
    """Parses the words of each search session's query."""
    return list(_parsed(searches["keyword"], "src_inter.csv"))


def _parsed(column: pd.Series, file: str) -> Iterator[list[int]]:
    rows = column.index.tolist()
    return parse_column(column.tolist(), f"`{column.name}` of {file}", rows=rows)


def _chunks(
    directory: str | Path, file: str, columns: list[str], chunk_rows: int
) -> Iterator[pd.DataFrame]:
    path = Path(directory) / file
    if not path.exists():
        raise FileNotFoundError(
            f"{directory} must have {file}: unpack KuaiSAR_v2.zip or KuaiSAR.zip there."
        )
    if chunk_rows < 1:
        raise ValueError(f"`chunk_rows` must be at least 1. Got {chunk_rows}.")
    try:
        header = pd.read_csv(path, nrows=0).columns
        missing = [name for name in columns if name not in header]
        if missing:
            raise ValueError(f"it must have the columns {missing}. Got {[*header]}.")
        with pd.read_csv(path, usecols=columns, chunksize=chunk_rows) as reader:
            yield from reader
    except ValueError as error:  # pandas raises it for a broken file
        raise ValueError(f"Cannot read {path}: {error}") from error


def _integers(
    chunk: pd.DataFrame, columns: Mapping[str, str], file: str
) -> pd.DataFrame:
    """Columns of integers under their new names."""
    values = {new: _whole(chunk, name, file) for name, new in columns.items()}
    return pd.DataFrame(values, chunk.index)


def _whole(
    chunk: pd.DataFrame,
    name: str,
    file: str,
    dtype: type = np.int64,
    *,
    first: int | None = 0,
) -> np.ndarray:
    column = chunk[name]
    if column.dtype.kind not in "iuf":  # text between the numbers
        numbers = pd.to_numeric(column, errors="coerce").astype(object)
        column = numbers.where(numbers.notna(), column)
    return whole_numbers(
        column.to_numpy(),
        f"`{name}` of {file}",
        first=_FIRST_MOMENT if name in _MOMENTS else first,
        last=LAST_MOMENT if name in _MOMENTS else None,
        dtype=dtype,
        rows=chunk.index.to_numpy(),
    )


def _joined(chunks: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not chunks:
        return pd.DataFrame({name: np.zeros(0, np.int64) for name in columns})
    return pd.concat(chunks)
