"""Ranks and lists of the test rows as Parquet files, for comparisons of runs."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import tfrs_models as tm

from .artifacts import written_whole

NAME = "ranks.parquet"
LISTS = ("lists.parquet", "taken.parquet")
KEYS = ("user_id", "item_id", "timestamp")
COUNTS = ("above", "tied", "num_candidates", "found")
_LISTS_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True)
class RankFile:
    """Ranks of a run.

    Args:
      run: identity of the run.
      frame: a row for each test row and recommender: `recommender`, the columns of
        `KEYS`, and `above`, `tied`, `num_candidates` and `found` of
        `tm.metrics.RankTable`.
    """

    run: str
    frame: pd.DataFrame


def texts_of(vocabulary: Sequence[str]) -> np.ndarray:
    """Returns the texts of a vocabulary by their index, "" for 0.

    Args:
      vocabulary: texts, of which the first has the index 1.
    """
    return np.array(["", *vocabulary], object)


def row_keys(data: tm.data.Interactions, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what names rows of the test split: user, item and time.

    Args:
      data: interactions.
      rows: `[num_rows]` row numbers of the test split.

    Returns:
      `user_id` and `item_id`, `[num_rows]` strings, "" for users without a training
      row, and `timestamp`, `[num_rows]` seconds since 1970, 0 without times.
    """
    columns = data.splits["test"]
    keys = {
        name: texts_of(data.vocabularies[name])[columns[name][rows]]
        for name in ("user_id", "item_id")
    }
    times = columns.get("timestamp", np.zeros(len(columns["user_id"]), np.int64))
    return keys | {"timestamp": np.asarray(times, np.int64)[rows]}


def write_ranks(
    path: Path,
    tables: Mapping[str, tm.metrics.RankTable],
    keys: Mapping[str, np.ndarray],
    *,
    run: str,
) -> None:
    """Writes the ranks of the test rows by several recommenders.

    Args:
      path: file to write, whole or not at all.
      tables: name of a recommender -> its ranks of the rows.
      keys: columns of `KEYS`, `[num_rows]` each.
      run: identity of the run.
    """
    parts = []
    for name, table in tables.items():
        counts = {column: getattr(table, column) for column in COUNTS}
        name_column = pa.array([name] * len(table)).dictionary_encode()
        parts.append(pa.table({"recommender": name_column, **keys, **counts}))
    found = pa.concat_tables(parts, promote_options="permissive").unify_dictionaries()
    found = found.replace_schema_metadata({b"run": run.encode()})
    with written_whole(path) as unfinished:
        pq.write_table(found, unfinished, write_page_checksum=True)


def read_ranks(path: Path) -> RankFile:
    """Reads the ranks of a run.

    Args:
      path: file that `write_ranks` wrote.

    Raises:
      SystemExit: the file cannot be read, or it is no file of ranks.
    """
    try:
        found = pq.read_table(path, page_checksum_verification=True)
        run = (found.schema.metadata or {})[b"run"].decode()
        frame = found.to_pandas()[["recommender", *KEYS, *COUNTS]]
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise SystemExit(
            f"{path} is damaged or holds no ranks: {why}. Run the pipeline again."
        ) from error
    return RankFile(run, frame)


def write_lists(
    folder: Path,
    lists: np.ndarray,
    keys: Mapping[str, np.ndarray],
    ids: np.ndarray,
    *,
    run: str,
) -> None:
    """Writes the lists of the test rows and the items that the users took.

    `lists.parquet` and `taken.parquet` have the columns `q_id`, `doc_id` and `score` of
    ranx's `Run.from_parquet` and `Qrels.from_parquet`; a query is a test row. Scores of
    lists fall from the length of the list to 1: they hold the order only.

    Args:
      folder: folder of both files.
      lists: `[num_rows, k]` item indices, below 1 where a list has no more items.
      keys: columns of `KEYS`, `[num_rows]` each.
      ids: `[num_items + 1]` id of each item index; 0 is no item.
      run: identity of the run, which the metadata of both files have.
    """
    number, k = lists.shape
    queries = np.arange(number).astype(str).astype(object)
    taken = {"q_id": queries, "doc_id": keys["item_id"], "score": np.ones(number, int)}
    of_run = {b"run": run.encode()}
    types = {"q_id": pa.string(), "doc_id": pa.string(), "score": pa.float64()}
    schema = pa.schema(types.items(), metadata=of_run)
    # Both are written before one of them gets its name.
    with (
        written_whole(folder / "taken.parquet") as unfinished_taken,
        written_whole(folder / "lists.parquet") as unfinished,
        pq.ParquetWriter(unfinished, schema, write_page_checksum=True) as writer,
    ):
        for start in range(0, number, _LISTS_AT_ONCE):
            block = lists[start : start + _LISTS_AT_ONCE]
            row, position = np.nonzero(block > 0)
            columns = (queries[start + row], ids[block[row, position]], k - position)
            arrays = [
                pa.array(column, of)
                for column, of in zip(columns, types.values(), strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        table = pa.table(taken).replace_schema_metadata(of_run)
        pq.write_table(table, unfinished_taken, write_page_checksum=True)
