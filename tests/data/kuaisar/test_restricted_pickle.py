"""Pickles that were made to do harm, opcode by opcode."""

import codecs
import collections
import importlib
import pickle
import resource
import struct

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


def nested(kind, levels):
    """A value that takes a few bytes a level and twice the room at each."""
    value = kind([1])
    for _ in range(levels):
        value = kind([value, value])
    return value


def opcodes(*parts):
    return b"".join(parts) + b"."


RANGE = b"cbuiltins\nrange\n(I10000000000\ntR"
MANY = Reduced(range, 10**10)
ARROW_RESTORE, ((ARROW_NULL, *_),) = pyarrow.nulls(1).__reduce__()
RECONSTRUCT = np.arange(1).__reduce__()[0]
NEW_INDEX = pd.RangeIndex(1).__reduce__()[0]
LONG = 20 * (2**61 - 1)  # whose multiples have one hash
DEEP = np.empty(2, object)
DEEP[0] = nested(list, 60)
DEEP_KEY = pickle.dumps(nested(tuple, 60), protocol=2)[2:-1]


@pytest.mark.parametrize(
    "content",
    [
        opcodes(b"cbuiltins\nset\n(", RANGE, b"tR"),
        opcodes(b"cbuiltins\nfrozenset\n(", RANGE, b"tR"),
        opcodes(b"(", RANGE, b"ibuiltins\nset\n"),
        opcodes(b"(cbuiltins\nset\n", RANGE, b"o"),
        opcodes(b"cbuiltins\nbytearray\n(I10000000000\ntR"),
        opcodes(b"cbuiltins\nbytearray\nI10000000000\n\x85\x81"),
        opcodes(b"\x96", struct.pack("<Q", 10**12)),
        opcodes(b"\x8e", struct.pack("<Q", 10**12)),
        opcodes(b"\x8d", struct.pack("<Q", 10**12)),
        opcodes(b"\x95", struct.pack("<Q", 10**12)),
        opcodes(b"}", DEEP_KEY, b"K\x01s"),
        opcodes(b"}(", DEEP_KEY, b"K\x01u"),
        opcodes(b"(", DEEP_KEY, b"K\x01d"),
        opcodes(b"\x8f(", DEEP_KEY, b"\x90"),
        opcodes(b"(", DEEP_KEY, b"\x91"),
        # The same thousand items, in a set again and again.
        opcodes(
            b"(",
            b"K\x01" * 1000,
            b"tp0\n",
            b"cbuiltins\nset\np1\n(",
            *[b"g1\n(g0\ntR"] * 2000,
        ),
        opcodes(b"cnumpy\nndarray\n((I10000000000\nttR"),
        opcodes(b"cnumpy\nndarray\n((I10000000000\ntt\x81"),
        *map(
            pickle.dumps,
            [
                MANY,
                [Reduced(slice, 0, 10**10)],
                Reduced(set, [nested(tuple, 60)]),
                nested(tuple, 60),
                nested(list, 60),
                {"x": [nested(list, 60)]},
                DEEP,
                pd.DataFrame({"x": DEEP}),
                Reduced(collections.OrderedDict, [(nested(tuple, 60), 1)]),
                Reduced(RECONSTRUCT, np.ndarray, (10**10,), b"b"),
                Reduced(
                    RECONSTRUCT,
                    np.ndarray,
                    (0,),
                    b"b",
                    state=(1, (10**10,), np.dtype("O"), False, [1]),
                ),
                np.dtype("S1000000000"),
                Reduced(np.dtype, "(100000000,)i8"),
                pd.RangeIndex(10**10),
                Reduced(NEW_INDEX, pd.Index, {"data": MANY, "name": None}),
                Reduced(pd.Series, 0, pd.RangeIndex(1000)),
                Reduced(pd.DataFrame, 0, pd.RangeIndex(1000), ["x"]),
                Reduced(ARROW_RESTORE, (ARROW_NULL, 10**15, 0, 0, [None], [], None)),
            ],
        ),
    ],
)
def test_a_file_makes_no_more_than_it_holds(content, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"forbidden|is to hold|hold itself"):
        read(tmp_path / "x.pkl", content)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # kB


@pytest.mark.parametrize(
    "content",
    [
        opcodes(b"}", b")", b"\x85" * 200_000, b"Ns"),  # ((((...)))) as a key
        opcodes(b"cbuiltins\nset\n((", b")", b"\x85" * 200_000, b"ttR"),
        opcodes(b"]" * 200_000, b"a" * 199_999),
        pickle.dumps(Reduced(slice, None, Reduced(slice, None, 3))),
        pickle.dumps(Reduced(codecs.encode, "ü" * 60_000, "punycode")),
        pickle.dumps(Reduced(codecs.encode, "a", "idna")),
        *(
            pickle.dumps(keys, protocol=protocol)
            for keys in [{LONG: 1}, {(1, (LONG,)): 1, 2: 3}, {LONG}, frozenset({-LONG})]
            for protocol in (0, 4)
        ),
        pickle.dumps(Reduced(collections.OrderedDict, [(LONG, 1)])),
        pickle.dumps(Reduced(np.dtype, [("a", "i8")])),
        pickle.dumps(np.dtype("M8[ns]")),
    ],
)
def test_what_takes_for_ever_or_ends_the_process_is_refused(content, tmp_path):
    with pytest.raises(ValueError, match=r"forbidden|whole numbers"):
        read(tmp_path / "x.pkl", content)


def test_long_numbers_and_bytes_of_old_protocols_come_back(tmp_path):
    value = {2**64 - 1: [2**70, {2**40}], 7: b"\x00\xff"}
    for protocol in range(6):
        content = pickle.dumps(value, protocol=protocol)
        assert read(tmp_path / "x.pkl", content) == value


def test_a_value_that_holds_itself_is_refused(tmp_path):
    value = [1]
    value.append(value)
    with pytest.raises(ValueError, match="A value must not hold itself"):
        read(tmp_path / "x.pkl", pickle.dumps(value))


def test_columns_are_set_in_dicts_only(tmp_path):
    frame = pickle.dumps(pd.DataFrame({"x": [1]}), protocol=2)[:-1]
    with pytest.raises(ValueError, match=r"Items of .*DataFrame.* are forbidden"):
        read(tmp_path / "x.pkl", frame + b"S'y'\nI1\ns.")


def test_rows_may_share_what_they_hold(tmp_path):
    shared = list(range(200))
    frame = pd.DataFrame({"id": np.arange(300), "list": [shared] * 300})
    found = read(tmp_path / "x.pkl", pickle.dumps(frame))
    assert found["list"].tolist() == [shared] * 300


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
