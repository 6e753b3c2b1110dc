"""Pickles that were made to do harm, opcode by opcode."""

import importlib
import pickle

import numpy as np
import pandas as pd
import pyarrow
import pytest

from tfrs_models.data.kuaisar.restricted_pickle import load_pickle


class Reduced:
    """Pickles as a call, and a state that the result is given."""

    def __init__(self, function, *args, state=None):
        self._value = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self._value


def read(path, content):
    path.write_bytes(content)
    return load_pickle(path)


@pytest.mark.parametrize(
    "name",
    [
        "builtins eval",
        "builtins getattr",
        "__builtin__ eval",
        "os system",
        "numpy load",
        "numpy.core.multiarray set_string_function",
        "pandas eval",
        "pandas read_pickle",
        "pandas.core.frame pd",
        "pyarrow.lib memory_map",
        "pandas.core.indexes.base Index.map",
        "_codecs lookup",
        "collections ChainMap",
    ],
)
def test_what_is_not_admitted_is_named_and_refused(name, tmp_path):
    module, attribute = name.split()
    pickled = f"c{module}\n{attribute}\n.".encode()
    with pytest.raises(ValueError, match=rf"{attribute} is forbidden: a data file"):
        read(tmp_path / "x.pkl", pickled)


@pytest.mark.parametrize(
    "name",
    [
        "numpy dtype",
        "numpy._core.numeric _frombuffer",
        "numpy._core.multiarray scalar",
        "pandas DataFrame",
        "pandas Index",
        "pandas RangeIndex",
        "pandas.core.indexes.base _new_Index",
        "pandas.core.internals.managers BlockManager",
        "pandas._libs.internals _unpickle_block",
        "pyarrow.lib chunked_array",
        "builtins slice",
        "collections OrderedDict",
    ],
)
@pytest.mark.parametrize("slots", [True, False])
def test_nothing_that_is_admitted_can_be_changed(name, slots, tmp_path):
    module, attribute = name.split()
    admitted = getattr(importlib.import_module(module), attribute)
    state = {"__doc__": "spoilt", "spoilt": 1}
    pickled = f"c{module}\n{attribute}\n".encode()
    pickled += pickle.dumps((None, state) if slots else state, protocol=0)[:-1]
    before = admitted.__doc__
    with pytest.raises(ValueError, match="The state of .* is forbidden"):
        read(tmp_path / "x.pkl", pickled + b"b.")
    assert admitted.__doc__ == before
    assert not hasattr(admitted, "spoilt")


@pytest.mark.parametrize(
    "dtype",
    [
        Reduced(np.dtype, "O8", False, True, state=(3, "|", *[None] * 3, -1, -1, 0)),
        Reduced(
            np.dtype,
            "V8",
            False,
            True,
            state=(3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0),
        ),
        np.dtype([("a", "O")]),
        Reduced(np.dtype, "U2", False, True, state=(3, "<", *[None] * 3, 4000, 4, 8)),
    ],
)
def test_an_array_that_calls_its_bytes_addresses_is_refused(dtype, tmp_path):
    reconstruct = np.arange(1).__reduce__()[0]
    state = (1, (1,), dtype, False, b"AAAAAAAA")
    array = Reduced(reconstruct, np.ndarray, (0,), b"b", state=state)
    with pytest.raises(ValueError, match="The dtype .* is forbidden"):
        read(tmp_path / "x.pkl", pickle.dumps(array))


def test_text_whose_offsets_leave_its_buffer_is_refused(tmp_path):

    restore, ((kind, *_),) = pyarrow.array(["x"]).__reduce__()
    buffers = [None, pyarrow.py_buffer(np.array([0, 10**9], np.int32).tobytes())]
    buffers.append(pyarrow.py_buffer(b"x"))
    text = Reduced(restore, (kind, 1, 0, 0, buffers, [], None))
    with pytest.raises(ValueError, match=r"Cannot read .*x.pkl"):
        read(tmp_path / "x.pkl", pickle.dumps(text))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_data_comes_back_as_it_was(protocol, tmp_path):
    values = {
        "arrays": [np.arange(6).reshape(2, 3), np.float32([1.5]), np.bool_(True)],
        "texts": np.array(["a", "bcd"]),
        "objects": np.array([[1, 2], "x", None], dtype=object),
        "containers": [(1, 2.5), {3}, frozenset({"y"}), b"z", 2**70, {0: None}],
    }
    frame = pd.DataFrame(
        {"id": [3, 1], "score": [0.5, np.nan], "text": ["a", "b"], "list": [[1], []]},
        index=[7, 9],
    )
    read_back = read(tmp_path / "x.pkl", pickle.dumps((values, frame), protocol))
    for name, expected in values.items():
        for found, one in zip(read_back[0][name], expected, strict=True):
            assert type(found) is type(one)
            np.testing.assert_array_equal(found, one)
    pd.testing.assert_frame_equal(read_back[1], frame)
