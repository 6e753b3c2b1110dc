"""Times as they stand in people's tables: read as meant, or refused with the cure."""

import datetime
import time

import numpy as np
import pandas as pd
import pytest

from tfrs_models import data
from tfrs_models.data.sequences import histories, training_windows
from tfrs_models.data.times import row_times

DAYS = ["2024-01-28", "2024-01-29", "2024-01-30", "2024-01-31", "2024-02-01"]


def table(times):
    """Two users with five rows each, at the same five times."""
    return pd.DataFrame(
        {
            "user_id": np.repeat(["ann", "bob"], 5),
            "item_id": [*"pqrst", *"tsrqp"],
            "timestamp": pd.Series([*times, *times]),
        }
    )


def last_time(times, **options):
    """Microseconds of the row that is held out, since 1970."""
    made = data.from_frame(table(times), split="leave_last_out", **options)
    return int(made.splits["test"]["timestamp_us"][0])


def microseconds(*moment):
    utc = datetime.datetime(*moment, tzinfo=datetime.UTC)
    return round(utc.timestamp() * 1e6)


@pytest.mark.parametrize(
    ("times", "options"),
    [
        (DAYS, {}),
        (pd.period_range("2024-01-28", periods=5, freq="D"), {}),
        (pd.period_range("2024-01-28", periods=5, freq="D").astype(object), {}),
        ([datetime.date.fromisoformat(day) for day in DAYS], {}),
        (pd.Series(pd.to_datetime(DAYS)).astype("category"), {}),
        (pd.Series(pd.to_datetime(DAYS)).astype("timestamp[ms][pyarrow]"), {}),
        ([int(day.replace("-", "")) for day in DAYS], {"timestamp_format": "%Y%m%d"}),
        ([day.replace("-", "") for day in DAYS], {"timestamp_format": "%Y%m%d"}),
        ([float(day.replace("-", "")) for day in DAYS], {"timestamp_format": "%Y%m%d"}),
        (
            [int(f"{day[8:]}{day[5:7]}2024") for day in DAYS],
            {"timestamp_format": "%d%m%Y"},
        ),
        (
            [f"{day[5:7]}/{day[8:]}/2024 12:00 AM" for day in DAYS],
            {"timestamp_format": "%m/%d/%Y %I:%M %p"},
        ),
    ],
)
def test_dates_are_dates_however_they_are_written(times, options):
    assert last_time(times, **options) == microseconds(2024, 2, 1)


@pytest.mark.parametrize(
    ("unit", "dtype"),
    [
        (unit, dtype)
        for unit in ("s", "ms", "us", "ns")
        for dtype in ("int64", "uint64", "float64", str, object, "Int64")
    ],
)
def test_numbers_are_times_in_the_unit_that_is_named(unit, dtype):
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = pd.Series(np.arange(1_700_000_000, 1_700_000_005) * per_second)
    found = last_time(times.astype(dtype), timestamp_unit=unit)
    assert found == 1_700_000_004 * 10**6


def test_parts_of_a_second_of_floats_are_rounded_to_microseconds():
    times = [1_700_000_000 + n / 1e6 for n in range(1000)]
    frame = pd.DataFrame({"user_id": "ann", "item_id": range(1000), "timestamp": times})
    made = data.from_frame(frame, split="random", validation_fraction=0)
    found = [made.splits[split]["timestamp_us"] for split in ("train", "test")]
    expected = 1_700_000_000_000_000 + np.arange(1000)
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), expected)


NEWEST_FIRST = 1_700_000_000_900_000 - 100_000 * np.arange(10)  # of one second


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (NEWEST_FIRST // 1000, "ms"),
        (NEWEST_FIRST, "us"),
        (NEWEST_FIRST * 1000, "ns"),
        (NEWEST_FIRST / 1e6, "s"),
        (pd.to_datetime(NEWEST_FIRST, unit="us"), "s"),
        (pd.to_datetime(NEWEST_FIRST, unit="us").astype(str), "s"),
    ],
)
@pytest.mark.parametrize("split", ["leave_last_out", "per_user_time", "global_time"])
def test_rows_within_a_second_are_in_the_order_of_their_times(times, unit, split):
    frame = pd.DataFrame({"user_id": "ann", "item_id": [*"abcdefghij"]})
    made = data.from_frame(
        frame.assign(timestamp=times), split=split, timestamp_unit=unit
    )
    names = np.array(["", *made.vocabularies["item_id"]])
    assert names[made.splits["test"]["item_id"]].tolist() == ["a"]
    assert made.splits["test"]["timestamp"].tolist() == [1_700_000_000]
    history = data.history_table(made, "serving", 20)[1]
    assert names[history[history > 0]].tolist() == [*"jihgfedcba"]
    assert made.summary.audit.tied_rows == 0
    (batch,) = made.batches("test", 4)
    assert batch["timestamp"].numpy().tolist() == [1_700_000_000]
    assert "timestamp_us" not in batch


def test_an_hour_of_the_audit_is_an_hour_of_the_clock():
    times = 1_700_000_000_000 + 1000 * np.array([0, 1, 2, 3, 3604])
    made = data.from_frame(table(times), split="leave_last_out", timestamp_unit="ms")
    assert made.summary.audit.long_gap_rows == 2
    times[-1] -= 1000
    made = data.from_frame(table(times), split="leave_last_out", timestamp_unit="ms")
    assert made.summary.audit.long_gap_rows == 0


FORMS = {
    "ms": lambda us: us // 1000,
    "us": lambda us: us,
    "ns": lambda us: us * 1000,
    "s": lambda us: us / 1e6,
    "text": lambda us: pd.to_datetime(us, unit="us").strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    "number as text": lambda us: (us / 1e6).astype(str),
    "datetime64": lambda us: us.astype("datetime64[us]").astype("datetime64[ns]"),
    "format": lambda us: pd.to_datetime(us, unit="us").strftime("%d.%m.%Y %H:%M:%S.%f"),
}


def clicks(form, step_us, num_users=25, num_clicks=7):
    """Clicks of each user `step_us` apart, the newest first; click `n` is on item n."""
    user, click = np.divmod(np.arange(num_users * num_clicks), num_clicks)
    click = num_clicks - 1 - click
    starts = np.random.default_rng(4).integers(10**6, size=num_users)
    micro = 1_700_000_000_000_000 + starts[user] // 1000 * 1000 + click * step_us
    frame = pd.DataFrame({"user_id": user, "item_id": click})
    frame["timestamp"] = FORMS[form](micro)
    options = {"timestamp_unit": form} if form in ("ms", "us", "ns") else {}
    if form == "format":
        options = {"timestamp_format": "%d.%m.%Y %H:%M:%S.%f"}
    return frame, options


def clicks_of(made, items):
    """Numbers of the clicks on items; padding is -1."""
    return np.append(-1, made.vocabularies["item_id"].astype(int))[items]


@pytest.mark.parametrize("step_us", [900_000, 1000])
@pytest.mark.parametrize("form", FORMS)
def test_clicks_within_a_second_newest_first_have_the_order_of_their_times(
    form, step_us
):
    frame, options = clicks(form, step_us)
    made = data.from_frame(frame, split="leave_last_out", **options)
    assert made.num_users == 25
    for split, click in (("validation", 5), ("test", 6)):
        assert set(clicks_of(made, made.splits[split]["item_id"])) == {click}
        before = clicks_of(made, histories(made, split, 9))
        assert {*map(tuple, before)} == {(*range(click), *[-1] * (9 - click))}
    table = clicks_of(made, data.history_table(made, "serving", 4)[1:])
    assert {*map(tuple, table)} == {(3, 4, 5, 6)}
    windows = training_windows(made, 4)
    assert {*map(tuple, clicks_of(made, windows.history))} == {(0, 1, 2, 3)}
    assert {*map(tuple, clicks_of(made, windows.item_id))} == {(1, 2, 3, 4)}
    audit = made.summary.audit
    assert audit.tied_rows == audit.own_future_rows == 0
    assert made.summary.ties.tied_rows == 0


def test_features_and_lists_have_the_order_of_clicks_within_a_second():
    frame, options = clicks("ms", 1000)
    frame = frame.assign(rating=1.0, genre=frame["item_id"] % 2)
    options |= {"item_category_columns": ["genre"], "split": "leave_last_out"}
    made = data.with_activity(data.from_frame(frame, **options))
    for split in made.splits:
        columns = made.splits[split]
        np.testing.assert_array_equal(
            columns["activity"], clicks_of(made, columns["item_id"])
        )
    _, activity = data.activity_table(made, "test")
    assert set(activity[1:]) == {6}
    (batch,) = data.ranking_batches(made, "train", 999, tasks={"click": None})
    of_rows = slice(None, None, 2)  # every other row is an unseen item
    np.testing.assert_array_equal(
        batch["activity"][of_rows], clicks_of(made, batch["item_id"][of_rows])
    )
    (batch,) = data.list_batches(made, "train", 99, list_size=5)
    lists = clicks_of(made, batch["item_id"].numpy())
    assert {*map(tuple, lists)} == {(0, 1, 2, 3, 4)}
    windows = next(iter(data.window_batches(made, 99, length=3)))
    ordered = clicks_of(made, windows["history"].numpy())
    assert {*map(tuple, ordered)} == {(1, 2, 3), (0, -1, -1)}


def test_times_that_are_yet_to_come_are_noted_and_kept():
    coming = int(time.time()) + 400 * 86_400
    made = data.from_frame(table([*SECONDS[:4], coming]), split="leave_last_out")
    assert made.splits["test"]["timestamp"].tolist() == [coming] * 2
    year = datetime.datetime.fromtimestamp(coming, datetime.UTC).year
    assert f"2 of 10 rows have times that are yet to come, up to {year}-" in str(made)
    tonight = int(time.time()) + 3600
    made = data.from_frame(table([*SECONDS[:4], tonight]), split="leave_last_out")
    assert "yet to come" not in str(made)


def test_steps_are_an_order_and_the_summary_says_so():
    made = data.from_frame(table([4, 0, 3, 1, 2]), split="leave_last_out")
    assert made.splits["test"]["timestamp"].tolist() == [4, 4]
    assert "all times lie in 1970: they tell the order" in str(made)
    made = data.from_frame(table(DAYS), split="leave_last_out")
    assert "1970" not in str(made)


SECONDS = [1_700_000_000 + i for i in range(5)]


@pytest.mark.parametrize(
    ("times", "options", "message"),
    [
        ([int(d.replace("-", "")) for d in DAYS], {}, '`timestamp_format="%Y%m%d"`'),
        ([d.replace("-", "") for d in DAYS], {}, '`timestamp_format="%Y%m%d"`'),
        (
            [int(d.replace("-", "")) for d in DAYS],
            {"timestamp_unit": "ms"},
            '`timestamp_format="%Y%m%d"`',
        ),
        ([2011, 2012, 2013, 2014, 2015], {}, '`timestamp_format="%Y"`'),
        ([201112, 201201, 201202, 201203, 201204], {}, '`timestamp_format="%Y%m"`'),
        ([240128, 240129, 240130, 240131, 240201], {}, '`timestamp_format="%y%m%d"`'),
        ([28012024, 29012024, 30012024, 1022024, 2022024], {}, '"%d%m%Y"'),
        ([1022024, 2022024, 3022024, 4022024, 5022024], {}, '"%d%m%Y"'),
        ([1282024, 1292024, 1302024, 1312024, 2012024], {}, '"%m%d%Y"'),
        ([202401312359 + i for i in range(-4, 1)], {}, "%Y%m%d%H%M"),
        ([20240131235955 + i for i in range(5)], {}, "%Y%m%d%H%M%S"),
        ([t * 1000 for t in SECONDS], {}, 'is it "ms".*`timestamp_unit="ms"`'),
        ([t * 10**6 for t in SECONDS], {}, 'is it "us"'),
        ([t * 10**9 for t in SECONDS], {}, 'is it "ns"'),
        (SECONDS, {"timestamp_unit": "ms"}, 'is it "s"'),
        ([*SECONDS[:4], SECONDS[4] * 1000], {}, 'some are in "s" and some in "ms"'),
        (
            [*SECONDS[:4], SECONDS[4] * 1000],
            {"timestamp_unit": "ms"},
            'Got 8 of 10 rows .*some are in "ms" and some in "s"',
        ),
        ([0, *SECONDS[1:]], {}, "between 1971 and 2099.*Got 2 of 10 .*row 0.*missing"),
        ([1e300, *SECONDS[1:]], {}, "between 1971 and 2099"),
        ([2**63, *SECONDS[1:]], {}, "between 1971 and 2099"),
        ([5_000_000_000] * 5, {}, "between 1971 and 2099"),
        (["2024-01-01", "2124-01-01", *DAYS[:3]], {}, "between 1971 and 2099.*2124"),
        (["1970-01-01", *DAYS[1:]], {}, "between 1971 and 2099.*1970-01-01"),
        (["1969-12-31", *DAYS[1:]], {}, "not negative.*1969-12-31"),
        ([np.inf, *SECONDS[1:]], {}, "must be finite"),
        ([-5, *SECONDS[1:]], {}, "finite and not negative.*Got 2 of 10 .*row 0"),
        ([-0.5, 1, 2, 3, 4], {}, "finite and not negative"),
        (
            [SECONDS[0] * 1000, *[t * 10**6 for t in SECONDS[1:]]],
            {"timestamp_unit": "us"},
            'some are in "us" and some in "ms"',
        ),
        ([True, False, True, True, False], {}, "must be a number, or a date.*True"),
        (pd.to_timedelta([1, 2, 3, 4, 5], unit="D"), {}, "must be a number, or a date"),
        ([1j, 2j, 3j, 4j, 5j], {}, "must be a number, or a date"),
        (
            ["01/31/2024 11:59 PM"] * 5,
            {},
            r'say `timestamp_format="%m/%d/%Y %I:%M %p"`',
        ),
        (["03/04/2024"] * 5, {}, r'"%m/%d/%Y"` or `timestamp_format="%d/%m/%Y"'),
        (
            ["Tue Apr 03 18:00:09 +0000 2012"] * 5,
            {},
            r'timestamp_format="%a %b %d %H:%M:%S %z %Y"',
        ),
        (["2024-01-31", "1700000000", *DAYS[:3]], {}, "or a number in all.*'17000000"),
        (
            np.float32(SECONDS),
            {},
            "must tell seconds apart. Got float32, .* 128 s apart",
        ),
        (DAYS, {"timestamp_format": "%d.%m.%Y"}, "must be dates of the form"),
        (DAYS, {"timestamp_format": "ISO"}, "must say where year"),
        (DAYS, {"timestamp_format": 5}, "must say where year"),
        (
            DAYS,
            {"timestamp_format": "%Y-%m-%Q"},
            "one that Python reads. Got '%Y-%m-%Q'",
        ),
        (DAYS, {"timestamp_format": "%Y-%m-%d", "timestamp_unit": "ms"}, "leave one"),
    ],
)
def test_times_that_mean_something_else_are_refused_with_the_cure(
    times, options, message
):
    with pytest.raises(ValueError, match=message):
        data.from_frame(table(times), split="leave_last_out", **options)


FIRST, LAST = 31_536_000, 4_102_444_799  # 1 January 1971, 31 December 2099


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000)])
def test_the_first_and_the_last_second_are_read(unit, factor):
    for extreme in (FIRST, LAST):
        times = sorted([10**9 + n for n in range(4)] + [extreme])
        found = last_time([time * factor for time in times], timestamp_unit=unit)
        assert found == times[-1] * 10**6


@pytest.mark.parametrize("outside", [FIRST - 1, LAST + 1])
def test_a_second_before_the_first_or_after_the_last_is_refused(outside):
    times = [10**9 + n for n in range(4)] + [outside]
    with pytest.raises(ValueError, match="must lie between 1971 and 2099"):
        last_time(times)
    dates = [datetime.datetime.fromtimestamp(t, datetime.UTC) for t in times]
    with pytest.raises(ValueError, match="must lie between 1971 and 2099"):
        last_time(dates)


def test_times_of_rows_are_microseconds_whatever_the_rows_have():
    seconds, micro = np.array([3, 5]), np.array([3_000_001, 5_999_999])
    both = {"timestamp": seconds, "timestamp_us": micro}
    np.testing.assert_array_equal(row_times(both), micro)
    np.testing.assert_array_equal(row_times({"timestamp": seconds}), [3e6, 5e6])
    assert row_times({"user_id": seconds}) is None
