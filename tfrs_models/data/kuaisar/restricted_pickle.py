"""Pickles that hold data and nothing else."""

import pickle
from pathlib import Path

import numpy as np

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
# Where old releases of pandas and NumPy kept what newer ones keep elsewhere.
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


_KINDS = "biufcSUO"  # of plain arrays: no fields, no units


class RestrictedUnpickler(pickle._Unpickler):
    """Admits NumPy arrays, pandas frames and plain containers.

    An ordinary unpickler runs whatever code the file names. It also sets attributes of
    whatever it has at hand, classes among them: that takes the one in Python to refuse.
    """

    dispatch = pickle._Unpickler.dispatch.copy()

    def find_class(self, module: str, name: str) -> object:
        """The class of that name where it is one of the admitted."""
        module = "builtins" if module == "__builtin__" else module  # Python 2's
        if name not in _ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(
                f"{module}.{name} is forbidden: a data file may hold NumPy arrays, "
                "pandas frames, dicts, lists, tuples, strings and numbers."
            )
        if (module, name) == ("pyarrow.lib", "_restore_array"):
            return _restored_arrow_array
        return super().find_class(*_MOVED.get((module, name), (module, name)))

    def load_build(self) -> None:
        """Gives an object its state, once it is one that may have it."""
        state, value = self.stack[-1], self.stack[-2]
        if callable(value):
            raise pickle.UnpicklingError(f"The state of {value} is forbidden.")
        if isinstance(value, np.dtype):
            _check_dtype(value, state)
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build


def load_pickle(path: Path) -> object:
    """The value in a file, if it is made of data only.

    Raises:
      ValueError: anything else is in it, or the file is no pickle.
    """
    try:
        with open(path, "rb") as file:
            return RestrictedUnpickler(file).load()
    except FileNotFoundError:
        raise
    except Exception as error:  # what a broken pickle raises is not defined
        raise ValueError(f"Cannot read {path}: {error}") from error


def _check_dtype(dtype: np.dtype, state: object) -> None:
    """Raises for a state that is not the dtype's own: objects are read by address."""
    own = dtype.__reduce__()[2]
    is_own = isinstance(state, tuple) and state[2:] == own[2:]
    if dtype.kind not in _KINDS or not is_own:
        raise pickle.UnpicklingError(
            f"The dtype {dtype} of the state {state!r:.200} is forbidden: arrays are "
            "of numbers, strings or admitted objects."
        )


def _restored_arrow_array(data: tuple) -> object:
    """What pyarrow does not check itself: that offsets stay within the buffers."""
    import pyarrow

    array = pyarrow.lib._restore_array(data)
    array.validate(full=True)
    return array
