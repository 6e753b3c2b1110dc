"""Filters of a vector store, with values that cannot change their meaning."""

import re
from collections.abc import Mapping

import numpy as np

_STRING = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"""
_STRING_OR_NAME = re.compile(rf"{_STRING}|\{{([^{{}}]*)\}}", re.DOTALL)
_ESCAPES = str.maketrans(
    {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
)
INT64 = np.iinfo(np.int64)


def filled(where: str, params: Mapping[str, object]) -> str:
    """A filter with the literals of its parameters.

    The literals are written here and not by the engine: the embedded one takes no
    parameters, and so both engines read the same text.

    Args:
      where: The filter, with `{name}` in the place of each value. Braces inside a
        string literal are text.
      params: Name -> a number, string, boolean, or list of them.

    Raises:
      ValueError: a name without a value, a value without a name, or a value of another
        kind.
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
    """A value of an array as Python has it; bytes are text.

    Raises:
      ValueError: bytes that are no UTF-8.
    """
    if hasattr(value, "numpy"):  # a tensor
        value = value.numpy()
    is_time = getattr(getattr(value, "dtype", None), "kind", "") in "mM"
    if isinstance(value, (np.generic, np.ndarray)) and not is_time:
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value.decode() if isinstance(value, bytes) else value
