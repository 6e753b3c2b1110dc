"""Columns of check-ins, whatever they come as."""

import numpy as np
import pandas as pd
import pytest

from tfrs_models.data.checkins import CheckIns

ROWS = {
    "user": ["a", "b"],
    "poi": ["x", "y"],
    "category": ["cafe", "park"],
    "coordinates": [[1, 2], [-3.5, 4]],
    "timestamp": [2_147_480_000, -1],
    "offset": [840, -60],
}


def assert_columns(found):
    assert found.timestamp.dtype == found.offset.dtype == np.int64
    assert found.coordinates.dtype == np.float64
    assert all(v.dtype.kind == "U" for v in (found.user, found.poi, found.category))
    assert found.user.tolist() == ["a", "b"]
    assert found.hour.tolist() == [16, 22]  # 02:13:20 UTC and 14 hours, 23:59:59 less 1
    assert found.weekday.tolist() == [1, 2]


def test_lists_are_columns():
    assert_columns(CheckIns("lists", **ROWS))


def test_narrow_numbers_do_not_overflow():
    narrow = {name: np.array(ROWS[name], "int32") for name in ("timestamp", "offset")}
    narrow["coordinates"] = np.array(ROWS["coordinates"], "float32")
    assert_columns(CheckIns("narrow", **(ROWS | narrow)))


def test_columns_of_a_frame_are_welcome():
    frame = pd.DataFrame({n: v for n, v in ROWS.items() if n != "coordinates"})
    columns = {name: frame[name] for name in frame}
    assert_columns(CheckIns("frame", coordinates=ROWS["coordinates"], **columns))


def test_check_ins_may_be_none():
    empty = {name: [] for name in ROWS} | {"coordinates": np.zeros([0, 2])}
    found = CheckIns("none", **empty)
    assert len(found) == 0
    assert found.hour.dtype == np.int64


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "timestamp",
            [1.5, 2.0],
            r"`timestamp` must be \[num_rows\] integers.*float64",
        ),
        ("timestamp", ["1", "2"], r"`timestamp` must be \[num_rows\] integers.*<U1"),
        ("timestamp", [[1], [2]], r"`timestamp` must be .*of shape \(2, 1\)"),
        ("timestamp", [True, False], "`timestamp` must be .*bool"),
        ("timestamp", np.array([1, 2**63], "uint64"), "`timestamp` must be .*uint64"),
        ("offset", [0.0, 30.0], r"`offset` must be \[num_rows\] integers.*float64"),
        ("offset", [0, 1441], "`offset` must be minutes from -1440 to 1440. Got 1441"),
        ("user", [1, 2], r"`user` must be \[num_rows\] strings. Got int64"),
        ("poi", ["x", None], r"`poi` must be \[num_rows\] strings. Got object"),
        ("category", "ab", r"`category` must be .*of shape \(\)"),
        ("coordinates", [1, 2], r"`coordinates` must be \[num_rows, 2\].*\(2,\)"),
        ("coordinates", [[1, 2, 3]] * 2, r"`coordinates` must be .*\(2, 3\)"),
        ("coordinates", [["a", "b"]] * 2, r"`coordinates` must be .*<U1"),
        ("coordinates", [[1, 2], [3]], "`coordinates` must be .*several lengths"),
        ("coordinates", [[1, 2], [91, 0]], "`coordinates` must be.*in row 1"),
        ("user", ["a"], "All columns must have as many rows. Got .*'user': 1"),
    ],
)
def test_a_column_of_another_kind_is_named(name, values, message):
    with pytest.raises(ValueError, match=message):
        CheckIns("bad", **(ROWS | {name: values}))
