"""Sessions from a file, one after the other."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq

from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput
from tfrs_models.data.clickstream.sessions import session_to_input

SUFFIXES = (".jsonl", ".parquet")
_BATCH_ROWS = 1024  # of a Parquet file, held at once


class SessionReader:
    """Reads sessions as inputs, one at a time, as often as it is iterated.

    A session that cannot be used is counted, and the others are read all the same.

    Attributes:
      num_read: Sessions that were read since the iteration began.
      num_skipped: Sessions that could not be used.
      problems: Where and why, of the first hundred of them.
    """

    max_problems = 100

    def __init__(
        self, source: str | os.PathLike | Iterable[Mapping], *, strict: bool = False
    ) -> None:
        """Initializes the reader.

        Args:
          source: A `.jsonl` file with one session a line, in which blank lines are
            skipped, a `.parquet` file with one a row, or an iterable of dicts (see
            `session_to_input`); an iterator can be read once.
          strict: Whether a session that cannot be used is an error.

        Raises:
          FileNotFoundError: no such file.
          ValueError: a file of another kind.
        """
        self.source = source
        self.strict = strict
        self.num_read = self.num_skipped = 0
        self.problems = []
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            if path.suffix not in SUFFIXES:
                raise ValueError(
                    f"`source` must be a file that ends in one of {SUFFIXES}, or an "
                    f"iterable of sessions. Got {str(path)!r}."
                )
            if not path.exists():
                raise FileNotFoundError(f"There is no file {str(path)!r}.")

    def __iter__(self) -> Iterator[FineTuningInput]:
        """Inputs in the order of the sessions.

        Raises:
          ValueError: a session cannot be used, and the reader is strict.
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
        """What was read and what was not."""
        lines = [f"{self.num_read:,} sessions read, {self.num_skipped:,} skipped"]
        return "\n  ".join([*lines, *self.problems[:5]])

    def _records(self) -> Iterator[Mapping | bytes]:
        if not isinstance(self.source, (str, os.PathLike)):
            yield from self.source
        elif Path(self.source).suffix == ".parquet":
            with pq.ParquetFile(self.source) as file:
                for batch in file.iter_batches(_BATCH_ROWS):
                    yield from batch.to_pylist()
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
      source: See `SessionReader`.
      strict: Whether a session that cannot be used is an error.

    Returns:
      An iterable of `FineTuningInput`.
    """
    return SessionReader(source, strict=strict)
