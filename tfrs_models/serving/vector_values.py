"""Values for a vector store: rows of candidates, and literals in filters."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

ID, EMBEDDING = "id", "embedding"
MAX_ID_BYTES = 512
# Limits of Milvus.
MAX_TEXT_BYTES, MAX_LIST_LENGTH, MAX_EMBEDDING_DIM = 65_535, 4096, 32_768
_NAMES = {bool: "BOOL", int: "INT64", float: "DOUBLE", str: "VARCHAR"}
_STRING = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"""
_STRING_OR_NAME = re.compile(rf"{_STRING}|\{{([^{{}}]*)\}}", re.DOTALL)
_ESCAPES = str.maketrans(
    {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
)
INT64 = np.iinfo(np.int64)


class Kind(NamedTuple):
    """The type of the values of an attribute, in the terms of Milvus."""

    name: str
    """`BOOL`, `INT64`, `DOUBLE` or `VARCHAR`."""
    is_list: bool = False

    def __str__(self) -> str:
        return f"lists of {self.name}" if self.is_list else self.name

    def takes(self, other: "Kind") -> bool:
        """Returns whether values of the other type can be stored as this one."""
        numbers = (self.name, other.name) == ("DOUBLE", "INT64")
        return self == other or (numbers and self.is_list == other.is_list)


class Rows(NamedTuple):
    """Checked candidates, one dict each."""

    values: list[dict]
    id_type: type
    embedding_dim: int
    kinds: dict[str, Kind | None]
    """Attribute name -> type of its values; None if all values are None."""


def read_rows(
    candidates: np.ndarray | tf.Tensor,
    identifiers: Sequence | np.ndarray | tf.Tensor,
    attributes: Mapping[str, Sequence] | None,
) -> Rows:
    """Converts candidates to the rows that the engine stores.

    Args:
      candidates: `[num_candidates, embedding_dim]` embeddings.
      identifiers: `[num_candidates]` unique ids.
      attributes: attribute name -> `[num_candidates]` values.

    Raises:
      ValueError: a value is wrong; the message names the argument, row and rule.
    """
    embeddings, ids = matrix("candidates", candidates), read_ids(identifiers)
    columns = {ID: ids, EMBEDDING: embeddings.tolist()}
    for name, values in (attributes or {}).items():
        if name in columns or not re.fullmatch(r"[A-Za-z_]\w{0,254}", name, re.ASCII):
            raise ValueError(
                "The names of `attributes` must be letters, digits and `_`, at most "
                f"255, and must not be called `{ID}` or `{EMBEDDING}`. Got {name!r}."
            )
        columns[name] = [_attribute(name, *entry) for entry in enumerate(values)]
    lengths = {name: len(values) for name, values in columns.items()}
    if not ids or len(set(lengths.values())) > 1 or len(set(ids)) < len(ids):
        raise ValueError(
            "`candidates`, `identifiers` and all `attributes` must have one row for "
            f"each candidate, one at least, and ids must not repeat. Got {lengths}, "
            f"with {len(set(ids))} different ids."
        )
    kinds = {name: _kind(name, columns[name]) for name in attributes or {}}
    return Rows(
        [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ],
        type(ids[0]),
        embeddings.shape[1],
        kinds,
    )


def read_ids(
    identifiers: Sequence | np.ndarray | tf.Tensor,
) -> list[int] | list[str]:
    """Converts ids to integers or strings of Python.

    Raises:
      ValueError: the ids have several types, or an id is reserved or too long.
    """
    if isinstance(identifiers, (str, bytes)):
        raise ValueError(f"`identifiers` must be a list of ids. Got {identifiers!r}.")
    ids = [plain(value) for value in identifiers]
    kinds = {type(value) for value in ids}
    if len(kinds) > 1 or not kinds <= {int, str}:
        raise ValueError(
            "`identifiers` must be whole numbers or strings, all of one kind. Got "
            f"{sorted(kind.__name__ for kind in kinds)}."
        )
    for row, value in enumerate(ids):
        if isinstance(value, str):
            is_id = 0 < _num_bytes(value) <= MAX_ID_BYTES
        else:
            is_id = value != -1 and INT64.min <= value <= INT64.max
        if not is_id:
            raise ValueError(
                f"`identifiers` must be strings of 1 to {MAX_ID_BYTES} bytes of UTF-8, "
                'or int64 other than -1 ("" and -1 stand for no candidate). Got '
                f"{_shown(value)} in row {row}."
            )
    return ids


def matrix(name: str, values: np.ndarray | tf.Tensor) -> np.ndarray:
    """Converts values to a float32 matrix of finite numbers.

    Raises:
      ValueError: the values are no such matrix.
    """
    with np.errstate(over="ignore"):  # the check below names the values that overflow
        array = np.asarray(values, "float32")
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError(
            f"`{name}` must be a table of finite numbers, a row each. Got the shape "
            f"{array.shape} with {int((~np.isfinite(array)).sum())} that are not "
            "finite."
        )
    if not 1 <= array.shape[1] <= MAX_EMBEDDING_DIM:
        raise ValueError(
            f"`{name}` must have from 1 to {MAX_EMBEDDING_DIM} columns. Got "
            f"{array.shape[1]}."
        )
    return array


def _attribute(name: str, row: int, value: object) -> object:
    value = plain(value)
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        fits = {
            str: lambda v: 0 <= _num_bytes(v) <= MAX_TEXT_BYTES,
            int: lambda v: INT64.min <= v <= INT64.max,
            float: np.isfinite,
            bool: lambda _: True,
        }.get(type(entry))
        is_missing = entry is None and entries is not value
        if is_missing or (fits and fits(entry) and len(entries) <= MAX_LIST_LENGTH):
            continue
        raise ValueError(
            f"The attribute `{name}` must be strings of at most {MAX_TEXT_BYTES} bytes "
            "of UTF-8, int64, finite numbers, booleans, lists of at most "
            f"{MAX_LIST_LENGTH} of these, or None. Got {_shown(value)} in row {row}."
        )
    return value


def _kind(name: str, values: Sequence[object]) -> Kind | None:
    there = [value for value in values if value is not None]
    are_lists = {isinstance(value, list) for value in there}
    entries = [e for v in there for e in (v if isinstance(v, list) else [v])]
    names = {_NAMES[type(entry)] for entry in entries}
    if names == {"INT64", "DOUBLE"}:
        names = {"DOUBLE"}
    if len(names) > 1 or len(are_lists) > 1:
        raise ValueError(
            f"The values of the attribute `{name}` must be of one kind, all of them "
            f"lists or none. Got {' and '.join(sorted(names))}"
            f"{', some in lists' if len(are_lists) > 1 else ''}."
        )
    if not there:
        return None
    return Kind(names.pop() if names else "VARCHAR", are_lists == {True})


def _num_bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8
        return -1


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}... ({len(text):,} characters)"


def filled(where: str, params: Mapping[str, object]) -> str:
    """Replaces the names in a filter with the literals of their values.

    The engine's own parameters are not used, because the embedded engine has none; so
    both engines read the same text.

    Args:
      where: filter with `{name}` instead of each value. Braces inside a string literal
        are text.
      params: name -> number, string, boolean, or list of these.

    Raises:
      ValueError: a name has no value, a value has no name, or has another type.
    """
    if not isinstance(where, str):
        raise ValueError(f"`where` must be a string. Got {where!r}.")
    names = {match[1] for match in _STRING_OR_NAME.finditer(where)} - {None}
    if names != set(params):
        raise ValueError(
            "`where_params` must have a value for every {name} of `where`, and no "
            f"others. Got {sorted(params)} for {sorted(names)} in {where!r}."
        )
    literals = {name: _literal(name, value) for name, value in params.items()}
    return _STRING_OR_NAME.sub(
        lambda match: match[0] if match[1] is None else literals[match[1]], where
    )


def _literal(name: str, value: object) -> str:
    value = plain(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_literal(name, entry) for entry in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and INT64.min <= value <= INT64.max:
        return str(value)
    if isinstance(value, float) and np.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    raise ValueError(
        f"`where_params['{name}']` must be a string, a boolean, an int64, a finite "
        f"number, or a list of these. Got {value!r}."
    )


def plain(value: object) -> object:
    """Converts a value of an array or tensor to Python; bytes become text.

    Raises:
      ValueError: bytes are no UTF-8.
    """
    if hasattr(value, "numpy"):  # a tensor
        value = value.numpy()
    is_time = getattr(getattr(value, "dtype", None), "kind", "") in "mM"
    if isinstance(value, (np.generic, np.ndarray)) and not is_time:
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value.decode() if isinstance(value, bytes) else value
