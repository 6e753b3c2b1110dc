"""How large a value of a pickle is once everything that it repeats is written out."""

import pickle

import numpy as np
import pandas as pd

_PLAIN = (list, tuple, set, frozenset, dict)
_CONTAINERS = (*_PLAIN, np.ndarray, pd.DataFrame, pd.Series, pd.Index)

_DEEPEST = 100  # deeper ones end the process that hashes or compares them
_LEAVES = {int, float, str, bytes, bool, type(None)}  # most values of most files


def spread_out(value: object, most: int) -> int:
    """Counts the values in a value: those in a list that is there twice count twice.

    A list of two equal lists of two equal lists, and so on, takes three bytes a level
    and twice the room at each. What compares, hashes or copies it visits all of it.

    Args:
      value: what a pickle made.
      most: the count from which on it does not matter any more.

    Returns:
      The count.

    Raises:
      pickle.UnpicklingError: there are more than `most`, a value holds itself, or one
        is in more than a hundred others.
    """
    if not isinstance(value, _CONTAINERS):
        return 1
    counts: dict[int, int | None] = {}  # None while a value's own parts are counted
    parts: dict[int, list] = {}
    stack, num_open = [value], 0
    while stack:
        current = stack[-1]
        key = id(current)
        if key not in counts:
            counts[key], size = None, _size(current)
            refuse_more(size, most)
            num_open += 1
            if num_open > _DEEPEST:
                raise pickle.UnpicklingError(
                    f"Values within values, more than {_DEEPEST} levels, are forbidden."
                )
            # The list also keeps what was made for it, so that no id is used again.
            parts[key] = _parts(current)
            stack += [part for part in parts[key] if id(part) not in counts]
            if any(counts.get(id(part), 0) is None for part in parts[key]):
                raise pickle.UnpicklingError("A value must not hold itself.")
            continue
        stack.pop()
        if counts[key] is None:
            num_open -= 1
            inner = sum(counts[id(part)] for part in parts[key])
            counts[key] = 1 + _size(current) + inner
            refuse_more(counts[key], most)
    return counts[id(value)]


def refuse_more(count: int, most: int) -> None:
    """Raises the error of a file whose values take more room than it can account for.

    Args:
      count: values that are to be made.
      most: how many may be.
    """
    if count > most:
        raise pickle.UnpicklingError(
            f"It is to hold {count:,} values or more, far more than its bytes: a file "
            "of data writes its values out."
        )


def _size(value: object) -> int:
    return len(value) if isinstance(value, _PLAIN) else int(np.size(value))


def _parts(value: object) -> list:
    """The containers right in a value."""
    if isinstance(value, dict):
        inside = [*value, *value.values()]
    elif isinstance(value, pd.DataFrame):
        columns = range(value.shape[1])
        inside = [value.iloc[:, column].array for column in columns]
        inside = [np.asarray(c, object) for c in inside if c.dtype.kind == "O"]
    elif isinstance(value, _PLAIN):
        inside = value
    else:
        is_object = getattr(value.dtype, "kind", "") == "O"
        inside = np.asarray(value, object).ravel().tolist() if is_object else []
    others = [part for part in inside if type(part) not in _LEAVES]
    return [part for part in others if isinstance(part, _CONTAINERS)]
