"""Pickles that hold data and nothing else."""

import pickle
from pathlib import Path

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


class RestrictedUnpickler(pickle.Unpickler):
    """Admits NumPy arrays, pandas frames and plain containers.

    An ordinary unpickler runs whatever code the file names.
    """

    def find_class(self, module: str, name: str) -> object:
        """The class of that name where it is one of the admitted."""
        module = "builtins" if module == "__builtin__" else module  # Python 2's
        if name not in _ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(
                f"{module}.{name} is forbidden: a data file may hold NumPy arrays, "
                "pandas frames, dicts, lists, tuples, strings and numbers."
            )
        return super().find_class(*_MOVED.get((module, name), (module, name)))


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
