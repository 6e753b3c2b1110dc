"""A reader of pickles that contain data only."""

import codecs
import math
import os
import pickle
import reprlib
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

_ALLOWED = {
    "_codecs": {"encode"},
    "builtins": {"bytearray", "complex", "frozenset", "range", "set", "slice"},
    "collections": {"OrderedDict"},
    "numpy": {"dtype", "ndarray"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "pandas": {"DataFrame", "Index", "RangeIndex", "Series", "StringDtype"},
    "pandas.arrays": {"ArrowStringArray", "StringArray"},
    "pandas.core.frame": {"DataFrame"},
    "pandas.core.series": {"Series"},
    "pandas.core.indexes.base": {"Index", "_new_Index"},
    "pandas.core.indexes.numeric": {"Float64Index", "Int64Index", "UInt64Index"},
    "pandas.core.indexes.range": {"RangeIndex"},
    "pandas.core.internals.managers": {"BlockManager", "SingleBlockManager"},
    "pandas._libs.internals": {"_unpickle_block"},
    "pyarrow.lib": {"_restore_array", "chunked_array", "py_buffer", "type_for_alias"},
}
# Modules of old pandas and NumPy releases -> modules of the same classes today.
_MOVED = {
    **{
        ("pandas.core.indexes.numeric", name): ("pandas.core.indexes.base", "Index")
        for name in _ALLOWED["pandas.core.indexes.numeric"]
    },
    **{
        (old, name): (old.replace("numpy.core", "numpy._core"), name)
        for old in ("numpy.core.multiarray", "numpy.core.numeric")
        for name in _ALLOWED[old]
    },
}
_KINDS = "biufcSUO"  # dtypes of plain arrays, without fields and units
# Created empty, then given a state: arguments could request any size.
_STATEFUL = (np.ndarray, pd.DataFrame, pd.Series, pd.Index, pd.RangeIndex)
_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_MADE_PER_BYTE, _MADE_AT_LEAST = 8, 10**6
_HELD_PER_BYTE, _HELD_AT_LEAST = 100, 10**7  # several rows may share one list
_PLAIN = (list, tuple, set, frozenset, dict)
_CONTAINERS = (*_PLAIN, np.ndarray, pd.DataFrame, pd.Series, pd.Index)
_DEEPEST = 100  # deeper ones end the process that hashes or compares them
_LEAVES = {int, float, str, bytes, bool, type(None)}  # most values of most files


class RestrictedUnpickler(pickle._Unpickler):
    """An unpickler of arrays, frames and containers that are no larger than the file.

    An ordinary unpickler runs any code that the file names. It also sets attributes of
    any object within reach, classes included; only the Python implementation lets a
    subclass refuse that.

    The number of values that a call creates is counted before the call, together with
    the values in its arguments, and bounded by the bytes of the file:
    `set(range(10**10))` takes 47 bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Initializes the unpickler.

        Args:
          file: a file on disk, at its beginning.
        """
        super().__init__(file)
        self._num_bytes = os.fstat(file.fileno()).st_size
        self._left = max(_MADE_AT_LEAST, _MADE_PER_BYTE * self._num_bytes)
        self._file_read = lambda count: file.read(self._at_most(count))

    def find_class(self, module: str, name: str) -> object:
        """Returns the class of that name if it is on the list of accepted classes."""
        module = "builtins" if module == "__builtin__" else module  # Python 2 wrote it
        if name not in _ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(
                f"{module}.{name} is forbidden: a data file may hold NumPy arrays, "
                "pandas frames, dicts, lists, tuples, strings and numbers."
            )
        if (module, name) == ("pyarrow.lib", "_restore_array"):
            return _restored_arrow_array
        return super().find_class(*_MOVED.get((module, name), (module, name)))

    def load_reduce(self) -> None:
        """Calls a function after a check of how many values that creates."""
        self._count_call(self.stack[-2], self.stack[-1])
        super().load_reduce()
        self._check_made()

    def load_newobj(self) -> None:
        """Creates an object after the same check as `load_reduce`."""
        self._count_call(self.stack[-2], self.stack[-1])
        super().load_newobj()
        self._check_made()

    def load_newobj_ex(self) -> None:
        """Creates an object without named arguments."""
        if self.stack[-1]:
            raise pickle.UnpicklingError("Named arguments are forbidden.")
        self._count_call(self.stack[-3], self.stack[-2])
        super().load_newobj_ex()
        self._check_made()

    def _instantiate(self, klass: Callable, args: list) -> None:
        self._count_call(klass, args)
        super()._instantiate(klass, args)
        self._check_made()

    def load_bytearray8(self) -> None:
        """Reads no more bytes than the file has."""
        (count,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(self._at_most(count))))

    def load_setitem(self) -> None:
        """Sets a value in a dict after a check of the key."""
        self._count_keys(self.stack[-3], dict, self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        """Sets values in a dict after a check of the keys."""
        self._count_keys(self.metastack[-1][-1], dict, self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        """Creates a dict after a check of the keys."""
        self._count_keys({}, dict, self.stack[::2])
        super().load_dict()

    def load_additems(self) -> None:
        """Adds values to a set after a check of them."""
        self._count_keys(self.metastack[-1][-1], set, self.stack)
        super().load_additems()

    def load_frozenset(self) -> None:
        """Creates a set after a check of the values."""
        self._count_keys(set(), set, self.stack)
        super().load_frozenset()

    def load_build(self) -> None:
        """Sets the state of an object that may have one."""
        state, value = self.stack[-1], self.stack[-2]
        if callable(value):
            raise pickle.UnpicklingError(f"The state of {value} is forbidden.")
        if isinstance(value, np.dtype):
            _check_dtype(value, state)
        if isinstance(value, np.ndarray):
            self._count(math.prod(state[1]))
        super().load_build()
        self._check_made()

    def _count_call(self, function: Callable, args: Iterable) -> None:
        """Raises for a call that creates more values than the file's bytes allow."""
        if function is codecs.encode and args[1:] != ("latin1",):
            # Old protocols write bytes in this codec; others can take for ever.
            raise pickle.UnpicklingError(f"The codec of {args[1:]} is forbidden.")
        sized = function is bytearray and args and hasattr(args[0], "__index__")
        if sized or (args and function in _STATEFUL):
            raise pickle.UnpicklingError(f"A size of a {function} is forbidden.")
        for value in args:
            is_flat = isinstance(value, (str, bytes, bytearray, range))
            self._count(len(value) if is_flat else spread_out(value, self._left))
        self._count(_made_by(function, args))
        if args and function in (set, frozenset):
            _refuse_long_numbers(args[0])
        if args and function is OrderedDict:
            _refuse_long_numbers([pair[0] for pair in args[0]])

    def _check_made(self) -> None:
        """Raises for a dtype with fields, or with values larger than the file."""
        made = self.stack[-1]
        if isinstance(made, np.dtype):
            self._at_most(made.itemsize)
            if made.kind not in _KINDS:
                raise pickle.UnpicklingError(f"The dtype {made} is forbidden.")

    def _count_keys(self, holder: object, kind: type, keys: list) -> None:
        """Raises for keys that take longer to hash than the file is long."""
        if not isinstance(holder, kind):
            raise pickle.UnpicklingError(f"Items of {type(holder)} are forbidden.")
        for key in keys:
            if isinstance(key, (tuple, frozenset)):
                self._count(spread_out(key, self._left))
        _refuse_long_numbers(keys)

    def _count(self, count: int) -> None:
        refuse_more(count, self._left)
        self._left -= count

    def _at_most(self, count: int) -> int:
        """Returns a number of bytes after a check that the file has as many."""
        if count > self._num_bytes:
            raise pickle.UnpicklingError(
                f"It is to hold {count:,} bytes in a row and has {self._num_bytes:,}."
            )
        return count

    dispatch = pickle._Unpickler.dispatch | {
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.BUILD[0]: load_build,
    }


def load_pickle(path: Path) -> object:
    """Reads the value in a file that contains data only.

    Args:
      path: path of the file.

    Returns:
      The value.

    Raises:
      ValueError: the file contains anything else, or is not a pickle.
    """
    try:
        with open(path, "rb") as file:
            value = RestrictedUnpickler(file).load()
        num_bytes = path.stat().st_size
        spread_out(value, max(_HELD_AT_LEAST, _HELD_PER_BYTE * num_bytes))
        return value
    except FileNotFoundError:
        raise
    except Exception as error:  # a broken pickle may raise any error
        raise ValueError(f"Cannot read {path}: {error}") from error


def _made_by(function: Callable, args: Iterable) -> int:
    """Counts the values that a call creates besides those in its arguments."""
    if function in (range, slice):
        if not all(part is None or hasattr(part, "__index__") for part in args):
            raise pickle.UnpicklingError(f"A {function} must be of whole numbers.")
        return 0 if None in args else len(range(*args))
    if function is _RECONSTRUCT:
        return math.prod(args[1])
    if function is _restored_arrow_array:
        return _arrow_length(args[0])
    state = args[1] if len(args) > 1 else None
    if isinstance(state, dict) and "stop" in state:  # an index over a range
        return len(range(state.get("start", 0), state["stop"], state.get("step", 1)))
    return 0


def _refuse_long_numbers(keys: Iterable) -> None:
    """Raises for integers beyond 64 bits: their hashes can all be equal."""
    for key in keys:
        if isinstance(key, (tuple, frozenset)):
            _refuse_long_numbers(key)
        elif isinstance(key, int) and key.bit_length() > 64:
            raise pickle.UnpicklingError("Keys of more than 64 bits are forbidden.")


def _arrow_length(data: tuple) -> int:
    """Number of values in an array and its children, which may lack buffers."""
    _, length, _, offset, _, children, *_ = data
    return length + offset + sum(map(_arrow_length, children or ()))


def _check_dtype(dtype: np.dtype, state: object) -> None:
    """Raises for a foreign state of a dtype, which could read any memory address."""
    own = dtype.__reduce__()[2]
    is_own = isinstance(state, tuple) and state[2:] == own[2:]
    if dtype.kind not in _KINDS or not is_own:
        raise pickle.UnpicklingError(
            f"The dtype {dtype} of the state {reprlib.repr(state)} is forbidden: "
            "arrays are of numbers, strings or admitted objects."
        )


def _restored_arrow_array(data: tuple) -> object:
    """Restores an array, with the check of offsets that pyarrow itself omits."""
    import pyarrow

    array = pyarrow.lib._restore_array(data)
    array.validate(full=True)
    return array


def spread_out(value: object, most: int) -> int:
    """Counts the values in a value, with every repetition of a shared list.

    A list of two references to a list of two references to a list, and so on, takes
    three bytes a level in the file, but a comparison, a hash or a copy visits twice as
    many values at each level.

    Args:
      value: a value made by a pickle.
      most: largest accepted count.

    Returns:
      The count.

    Raises:
      pickle.UnpicklingError: the count is above `most`, a value contains itself, or the
        nesting is deeper than a hundred levels.
    """
    if not isinstance(value, _CONTAINERS):
        return 1
    counts: dict[int, int | None] = {}  # None while the parts of a value are counted
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
            # The list keeps its temporary arrays alive, so that no id is used twice.
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
    """Raises the error of a file with far more values than its bytes allow.

    Args:
      count: number of values to create.
      most: largest accepted number.
    """
    if count > most:
        raise pickle.UnpicklingError(
            f"It is to hold {count:,} values or more, far more than its bytes: a file "
            "of data writes its values out."
        )


def _size(value: object) -> int:
    return len(value) if isinstance(value, _PLAIN) else int(np.size(value))


def _parts(value: object) -> list:
    """The containers directly in a value."""
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
