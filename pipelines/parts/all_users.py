"""Writes recommendations for all users to one file, part by part, so that it resumes.

Parts are written to a folder beside the output, `<output>.parts`, each whole or not at
all. The last step joins them and removes the folder. A part has a fixed range of users,
so an interrupted run and an uninterrupted one write the same bytes.
"""

import contextlib
import hashlib
import itertools
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from .artifacts import read_json, write_json, written_whole

Answer = Mapping[str, np.ndarray]
COLUMNS = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("score", pa.float32()),
    ]
)
SUFFIXES = (".parquet", ".csv")
_ABOUT, _UNKNOWN = "about.json", b"unknown_users"
_MADE_WITH = b"tfrs_models.recommend"


def recommend_to_file(
    answer: Callable[[list[str]], Answer],
    users: Path,
    output: Path,
    *,
    k: int,
    users_at_once: int,
    made_with: Mapping[str, object],
    rows_of_a_part: int = 2**18,
) -> str:
    """Writes the recommendations for all users of a file, and goes on where it ended.

    The memory does not grow with the number of users: one part is held at once.

    Args:
      answer: function from ids of users to `item_id`, `title`, `score` `[batch, k]` and
        `known_user` `[batch]`.
      users: text file with an id on each line.
      output: path of the table, which ends in .parquet or .csv.
      k: number of items for each user.
      users_at_once: number of users of one call of `answer`.
      made_with: flag or model -> value; a run with other values does not resume.
      rows_of_a_part: largest number of rows of a part, unless one call gives more; a
        run with another number does not resume.

    Returns:
      A sentence about the result.

    Raises:
      SystemExit: `output` cannot be written, or it is of a run with other values.
    """
    number, digest = _counted(users)
    if not number:
        raise SystemExit(f"`--users` must have an id on a line. {users} has none.")
    made_with = {**made_with, "users": digest}
    made_with |= {"format": output.suffix, "rows of a part": rows_of_a_part}
    parts = output.with_name(f"{output.name}.parts")
    if output.exists() and not (parts / _ABOUT).exists():
        _check_finished(output, made_with)
        return f"{output} is complete already: {number:,} users."
    in_part = max(1, rows_of_a_part // k // users_at_once) * users_at_once
    paths = [
        parts / f"part-{n:06}.parquet" for n in range((number + in_part - 1) // in_part)
    ]
    ids = _ids(users)
    first = list(itertools.islice(ids, min(in_part, number)))
    if not paths[0].exists():
        answer(first[:users_at_once])  # a wrong request fails before anything is made
    _start(parts, output, made_with)
    with tqdm(
        total=number, unit=" users", file=sys.stdout, disable=None, leave=False
    ) as bar:
        for path in paths:
            part = first or list(itertools.islice(ids, in_part))
            first = []
            if not _is_whole(path, made_with):
                with written_whole(path) as unfinished:
                    table = _table(answer, part, users_at_once, bar)
                    said = {**table.schema.metadata, _MADE_WITH: _said(made_with)}
                    table = table.replace_schema_metadata(said)
                    pq.write_table(table, unfinished, write_page_checksum=True)
            else:
                bar.update(len(part))
    rows, unknown = _join(paths, output, made_with)
    for path in paths:
        path.unlink()
    shutil.rmtree(parts)  # about.json goes last: it names the run
    said = f"{output}: {rows:,} rows of {number:,} users."
    if unknown:
        said += f" {unknown:,} of them are unknown and have the most popular items."
    return said


def rows_of(users: Sequence[str], answer: Answer) -> dict[str, np.ndarray]:
    """Flattens an answer to one row for each user and item, without empty positions.

    Args:
      users: `[batch]` ids of the users.
      answer: `item_id`, `title` and `score`, `[batch, k]`.

    Returns:
      Column of `COLUMNS` -> `[num_rows]` values, text as bytes but for `user_id`.
    """
    row, column = np.nonzero(answer["item_id"] != b"")
    return {
        "user_id": np.asarray(users, object)[row],
        "rank": column.astype(np.int32) + 1,
        **{name: answer[name][row, column] for name in ("item_id", "title", "score")},
    }


def _table(
    answer: Callable[[list[str]], Answer], users: list[str], at_once: int, bar: tqdm
) -> pa.Table:
    tables, unknown = [], 0
    for start in range(0, len(users), at_once):
        batch = users[start : start + at_once]
        found = answer(batch)
        unknown += int(np.sum(~found["known_user"]))
        tables.append(pa.table(rows_of(batch, found), schema=COLUMNS))
        bar.update(len(batch))
    whole = pa.concat_tables(tables).combine_chunks()
    return whole.replace_schema_metadata({_UNKNOWN: str(unknown)})


def _is_whole(path: Path, made_with: Mapping[str, object]) -> bool:
    """Returns whether a part is there; a damaged one of this run is made again."""
    if not path.exists():
        return False
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        said = table.schema.metadata[_MADE_WITH]
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        print(f"{path} is damaged, and is made again: {str(error).splitlines()[0]}")
        return False
    if said != _said(made_with):
        raise SystemExit(
            f"`--output` must not mix two runs. {path} is of another one: remove "
            f"{path.parent}, or choose another with --output."
        )
    return True


def _said(made_with: Mapping[str, object]) -> bytes:
    return json.dumps(made_with, sort_keys=True).encode()


def _join(
    paths: Sequence[Path], output: Path, made_with: Mapping[str, object]
) -> tuple[int, int]:
    """Joins parts to the output; returns its rows and its number of unknown users."""
    rows = unknown = 0
    with written_whole(output) as unfinished, contextlib.ExitStack() as stack:
        if output.suffix == ".csv":
            writer = pa.csv.CSVWriter(unfinished, COLUMNS)
        else:
            schema = COLUMNS.with_metadata({_MADE_WITH: _said(made_with)})
            writer = pq.ParquetWriter(unfinished, schema, write_page_checksum=True)
        stack.enter_context(writer)
        for path in paths:
            table = pq.read_table(path)
            rows += table.num_rows
            unknown += int(table.schema.metadata[_UNKNOWN])
            writer.write_table(table.cast(COLUMNS))
    return rows, unknown


def _start(parts: Path, output: Path, made_with: Mapping[str, object]) -> None:
    """Makes the folder of the parts, or checks that it is of the same run."""
    about = parts / _ABOUT
    try:
        parts.mkdir(parents=True, exist_ok=True)
        if not about.exists():
            write_json(about, made_with)
    except OSError as error:
        raise SystemExit(
            "`--output` must be a file in a folder that can be written to. Got "
            f"{output}: {error.strerror}. Choose another with --output."
        ) from error
    then = read_json(about, (), f"Remove {parts} to start again")
    _check_same(then, made_with, f"{parts} has parts", f"remove {parts}")


def _check_finished(output: Path, made_with: Mapping[str, object]) -> None:
    advice = f"remove {output}"
    then = None
    if output.suffix == ".parquet" and output.is_file():
        with contextlib.suppress(pa.ArrowInvalid, ValueError):
            said = (pq.read_schema(output).metadata or {}).get(_MADE_WITH)
            then = json.loads(said) if said else None
    if not isinstance(then, dict):
        raise SystemExit(
            f"`--output` must not exist, or be of the same run. {output} exists: "
            f"{advice}, or choose another with --output."
        )
    _check_same(then, made_with, f"{output} is", advice)


def _check_same(
    then: Mapping, made_with: Mapping[str, object], what: str, advice: str
) -> None:
    now = json.loads(json.dumps(made_with))
    found = [
        f"{name} was {_short(then.get(name))} and is {_short(now.get(name))}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    if found:
        raise SystemExit(
            f"`--output` must not mix two runs. {what} of another one: "
            f"{'; '.join(found)}. Go on with what that run had, {advice}, or choose "
            "another with --output."
        )


def _short(value: object) -> str:
    """Shortens a value for a message: of a digest its first characters."""
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _ids(users: Path) -> Iterator[str]:
    with users.open(encoding="utf-8") as lines:
        yield from (line for text in lines if (line := text.rstrip("\r\n")))


def _counted(users: Path) -> tuple[int, str]:
    """Counts the ids of a file, and hashes them."""
    number, hashed = 0, hashlib.sha256()
    try:
        for line in _ids(users):
            number += 1
            hashed.update(f"{line}\n".encode())
    except (OSError, ValueError) as error:  # no file, or no text
        why = getattr(error, "strerror", None) or error
        raise SystemExit(
            f"`--users` must be a text file with an id on a line. {users}: {why}."
        ) from error
    return number, hashed.hexdigest()
