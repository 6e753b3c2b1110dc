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


TABLE = pd.DataFrame(
    {
        "User": [7, 7, 8],
        "venue": ["a", "b", "a"],
        "lat": [1.5, -2.5, 1.5],
        "lng": [31.0, -46.0, 31.0],
        "utc_time": [1_333_476_009_900, 1_333_476_009_100, 1_333_476_000_000],
    }
)


def test_a_table_is_check_ins_in_the_order_of_its_times():
    found = CheckIns.from_frame(TABLE, timestamp_unit="ms")
    assert found.user.tolist() == ["8", "7", "7"]
    assert found.poi.tolist() == ["a", "b", "a"]
    assert found.category.tolist() == ["place"] * 3
    assert found.timestamp.tolist() == [1_333_476_000, *[1_333_476_009] * 2]
    assert found.offset.tolist() == [120, -180, 120]  # 15 degrees an hour
    np.testing.assert_array_equal(found.coordinates[1], [-2.5, -46.0])


def test_columns_of_other_names_are_named():
    frame = TABLE.assign(kind=["x", "y", "x"], zone=[60, 120, -60]).rename(
        columns={"venue": "shop"}
    )
    found = CheckIns.from_frame(
        frame,
        columns={"poi": "shop", "category": "kind", "offset": "zone"},
        timestamp_unit="ms",
    )
    assert found.category.tolist() == ["x", "y", "x"]
    assert found.offset.tolist() == [-60, 120, 60]
    assert (
        CheckIns.from_frame(TABLE, offset=-240, timestamp_unit="ms").offset.tolist()
        == [-240] * 3
    )


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (TABLE, {}, r'`utc_time` must lie between 1971 and 2099.*is it "ms"'),
        (TABLE.drop(columns="lat"), {}, r"columns of \['lat'\]. Got"),
        (TABLE, {"columns": {"shop": "venue"}}, "keys of .*Got 'shop'"),
        (TABLE, {"columns": {"poi": "shop"}}, "`columns.'poi'.` must be a column"),
        (TABLE.assign(venue=["a", "", "b"]), {}, "`venue` must not have missing ids"),
        (TABLE.assign(timezone=[1.5, 0, 0]), {}, "whole minutes ahead of UTC. Got 1.5"),
        (TABLE.assign(timezone=[1, 2, 9000]), {}, "`offset` must be minutes"),
        (TABLE.assign(lat=[1, 2, 91]), {}, "`coordinates` must be latitudes"),
        (TABLE[:0], {}, "at least one row"),
    ],
)
def test_a_table_that_is_no_check_ins_is_refused(frame, options, message):
    unit = {} if not options and "1971" in message else {"timestamp_unit": "ms"}
    with pytest.raises(ValueError, match=message):
        CheckIns.from_frame(frame, **options, **unit)


def test_times_in_milliseconds_are_no_seconds():
    with pytest.raises(ValueError, match="`timestamp` must be seconds since 1970, bef"):
        CheckIns("ms", **(ROWS | {"timestamp": [1_333_476_009_900] * 2}))


@pytest.mark.parametrize(
    ("name", "most"), [("offset", 1440), ("timestamp", 4_102_444_799)]
)
def test_the_ends_of_a_range_are_in_it(name, most):
    found = CheckIns("ends", **(ROWS | {name: [most, -most]}))
    assert getattr(found, name).tolist() == [most, -most]
    for beyond in (most + 1, -most - 1):
        with pytest.raises(ValueError, match=f"`{name}` must be .*Got {beyond}"):
            CheckIns("beyond", **(ROWS | {name: [0, beyond]}))


def test_rows_of_one_time_are_in_an_order_of_the_seed():
    frame = pd.DataFrame({"user": "ann", "venue": [f"p{n}" for n in range(9)]})
    frame = frame.assign(lat=1.0, lon=2.0, timezone=0, time="2024-01-01 12:00")
    in_file = frame["venue"].tolist()
    assert CheckIns.from_frame(frame, ties="file").poi.tolist() == in_file
    orders = [CheckIns.from_frame(frame, seed=seed).poi.tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(order) == in_file != order for order in orders)
    with pytest.raises(ValueError, match="`ties` must be one of .* Got 'ids'"):
        CheckIns.from_frame(frame, ties="ids")
