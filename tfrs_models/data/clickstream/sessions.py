"""Logged sessions, from dicts or files, as searches."""

import datetime
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq

from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput, as_id
from tfrs_models.data.formats.reading import read_log
from tfrs_models.data.table_files import suffix_of
from tfrs_models.data.times import END_SECOND

SUFFIXES = (".jsonl", ".parquet")
LOG_SUFFIXES = (".tsv", ".csv", ".dat", ".txt")
_BATCH_ROWS = 1024  # rows of a Parquet file that are in memory at once
_REQUIRED = ("search_query", "search_results")


def session_to_input(session: Mapping) -> FineTuningInput:
    """Converts a logged session to a search.

    Args:
      session: dict with `search_query`, any value; `search_results`, a list of
        `{"object_id", "rank"}` in display order; and optionally `events`, a list of
        `{"object_id"}`, and `created_at`, unix seconds. Other fields are not read. An
        event may carry its importance in `meta["importance"]`, which is 1 by default.

    Returns:
      The search. Events on results that were not shown are dropped.

    Raises:
      ValueError: a field is missing or of the wrong kind, a result occurs twice, or the
        time is in another unit.

    Example:
      >>> search = tm.data.clickstream.session_to_input({
      ...     "search_query": "shoes", "events": [{"object_id": 7}],
      ...     "search_results": [{"object_id": 318, "rank": 0.9}, {"object_id": 7}]})
      >>> search.results, search.events, search.ranks
      (['318', '7'], ['7'], {'318': 0.9, '7': None})
    """
    if not isinstance(session, Mapping):
        raise ValueError(f"A session must be an object with fields. Got {session!r}.")
    missing = [name for name in _REQUIRED if session.get(name) is None]
    if missing:
        raise ValueError(
            f"A session must have the fields {list(_REQUIRED)}. Missing: {missing}."
        )
    shown = _list(session, "search_results")
    results = [_object_id(result, "search_results") for result in shown]
    ranks = {
        name: result.get("rank") for name, result in zip(results, shown, strict=True)
    }
    importance = {}
    for event in _list(session, "events"):
        clicked = _object_id(event, "events")
        importance[clicked] = max(importance.get(clicked, 0.0), _importance(event))
    return FineTuningInput(
        query=session["search_query"],
        events=[result for result in results if result in importance],
        results=results,
        ranks=ranks,
        event_types=[importance.get(result, 1.0) for result in results],
        timestamp=_seconds(session.get("created_at")),
    )


class SessionReader:
    """Reads sessions as searches, one at a time, as often as it is iterated.

    A session that cannot be used is counted, and the others are still read.

    Attributes:
      num_read: number of sessions that were read since the iteration began.
      num_skipped: number of sessions that could not be used.
      problems: location and error of the first hundred of them.
    """

    max_problems = 100

    def __init__(
        self, source: str | os.PathLike | Iterable[Mapping], *, strict: bool = False
    ) -> None:
        """Initializes the reader.

        Args:
          source: a `.jsonl` file with one session in each line (blank lines are
            skipped), a `.parquet` file with one in each row, a click log in a known
            format (see `read_sessions`), or an iterable of dicts for
            `session_to_input`. An iterator can be read only once.
          strict: whether a session that cannot be used is an error.

        Raises:
          FileNotFoundError: the file does not exist.
          ValueError: a file of another kind, or a log without shown results.
        """
        self.source = source
        self.strict = strict
        self.num_read = self.num_skipped = 0
        self.problems = []
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            is_log = path.suffix not in SUFFIXES
            if is_log and suffix_of(path) not in LOG_SUFFIXES:
                raise ValueError(
                    f"`source` must be a file that ends in one of {SUFFIXES}, a click "
                    f"log that ends in one of {LOG_SUFFIXES}, or an iterable of "
                    f"sessions. Got {str(path)!r}."
                )
            if not path.exists():
                raise FileNotFoundError(f"There is no file {str(path)!r}.")
            if is_log:
                self.source = read_log(path)

    def __iter__(self) -> Iterator[FineTuningInput]:
        """Yields searches in the order of the sessions.

        Raises:
          ValueError: a session cannot be used, and the reader is strict; a Parquet file
            is damaged.
        """
        self.num_read = self.num_skipped = 0
        self.problems = []
        for number, record in enumerate(self._records(), 1):
            try:
                if isinstance(record, (str, bytes)):
                    if not record.strip():
                        continue
                    record = json.loads(record)
                search = session_to_input(record)
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                self._complain(number, error)
                continue
            self.num_read += 1
            yield search

    def __str__(self) -> str:
        """Returns the counts and the first problems."""
        lines = [f"{self.num_read:,} sessions read, {self.num_skipped:,} skipped"]
        return "\n  ".join([*lines, *self.problems[:5]])

    def _records(self) -> Iterator[Mapping | bytes]:
        if not isinstance(self.source, (str, os.PathLike)):
            yield from self.source
        elif Path(self.source).suffix == ".parquet":
            try:
                with pq.ParquetFile(
                    self.source, page_checksum_verification=True
                ) as file:
                    for batch in file.iter_batches(_BATCH_ROWS):
                        yield from batch.to_pylist()
            except (OSError, ValueError) as error:  # those of pyarrow are of both kinds
                raise ValueError(
                    f"{self.source} must be a whole Parquet file: {error} It was cut "
                    "off or damaged: get it again."
                ) from error
        else:
            with open(self.source, "rb") as file:
                yield from file

    def _complain(self, number: int, error: Exception) -> None:
        what = "Session"
        if isinstance(self.source, (str, os.PathLike)):
            is_table = Path(self.source).suffix == ".parquet"
            what = f"{self.source}, {'row' if is_table else 'line'}"
        problem = f"{what} {number}: {error}"
        if self.strict:
            raise ValueError(problem) from error
        self.num_skipped += 1
        if len(self.problems) < self.max_problems:
            self.problems.append(problem)


def read_sessions(
    source: str | os.PathLike | Iterable[Mapping], *, strict: bool = False
) -> SessionReader:
    """Opens a file or a stream of sessions, which need not fit in memory.

    Args:
      source: a `.jsonl` file with one session in each line, a `.parquet` file with one
        in each row, an iterable of dicts for `session_to_input`, or a click log: MIND's
        `behaviors.tsv` (a session is an impression), an Open Bandit log (what was shown
        to a group of equal users, an hour apart or less), or `yoochoose-clicks.dat`
        beside `yoochoose-buys.dat` (clicked items, of which the bought ones count).
      strict: whether a session that cannot be used is an error; otherwise it is counted
        and skipped.

    Returns:
      An iterable of `FineTuningInput`, which can be iterated again. `print` of it shows
      how many sessions were read and skipped, and why.

    Example:
      >>> shown = [{"object_id": "a", "rank": 0.9}, {"object_id": "b", "rank": 0.1}]
      >>> sessions = [{"search_query": "shoes", "search_results": shown}, {}]
      >>> reader = tm.data.clickstream.read_sessions(sessions)
      >>> [search.results for search in reader]
      [['a', 'b']]
      >>> print(reader)
      1 sessions read, 1 skipped
        Session 2: A session must have the fields...
    """
    return SessionReader(source, strict=strict)


def _list(session: Mapping, name: str) -> list:
    values = session.get(name)
    if values is None:
        return []
    if isinstance(values, (str, Mapping)) or not hasattr(values, "__iter__"):
        raise ValueError(f"`{name}` of a session must be a list. Got {values!r}.")
    return list(values)


def _object_id(entry: object, where: str) -> str:
    if not isinstance(entry, Mapping) or entry.get("object_id") is None:
        raise ValueError(f"Each of `{where}` must have `object_id`. Got {entry!r}.")
    name = as_id(entry["object_id"])
    if not name.strip():
        raise ValueError(f"`object_id` of `{where}` must not be empty. Got {entry!r}.")
    return name


def _seconds(moment: object) -> float | None:
    """Returns the unix seconds of a number or of a date of a Parquet file."""
    if isinstance(moment, datetime.datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        moment = aware.timestamp()
    is_number = isinstance(moment, (int, float)) and not isinstance(moment, bool)
    if moment is None or (is_number and 0 <= moment < END_SECOND):
        return moment
    raise ValueError(
        "`created_at` of a session must be seconds since 1970, before 2100. Got "
        f"{moment!r}: bring milliseconds and dates to seconds, or leave it out."
    )


def _importance(event: Mapping) -> float:
    meta = event.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise ValueError(f"`meta` of an event must have fields. Got {meta!r}.")
    value = meta.get("importance")  # Parquet fills missing values of a column with null
    return 1.0 if value is None else float(value)
