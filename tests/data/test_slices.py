import dataclasses

import numpy as np
import pandas as pd
import pytest

from tfrs_models import data as tm_data

SPLITS = ("train", "validation", "test")


def make(split, *, seed=0, times=True, **options):
    """Interactions with repeats, equal times and pauses, in no order."""
    rng = np.random.default_rng(seed)
    rows = 150
    frame = pd.DataFrame(
        {
            "user_id": rng.choice(["ann", "bob", "cy", "dee", "eve", "fay"], rows),
            "item_id": rng.choice(list("pqrstuvwxyz"), rows),
            "timestamp": 1_600_000_000 + rng.integers(60, size=rows) * 900,
        }
    )
    frame.loc[rows] = ["gus", "p", 1_600_000_000]  # a user with one row
    if not times:
        frame = frame.drop(columns="timestamp")
    return tm_data.from_frame(frame, split=split, **options)


def oracle(data, split, gap_seconds):
    """The definitions as loops over (user, time, order, item, split, row)."""
    events = []
    for part in SPLITS:
        columns = data.splits[part]
        for row, (user, item) in enumerate(
            zip(columns["user_id"], columns["item_id"], strict=True)
        ):
            time = columns["timestamp_us"][row] if "timestamp_us" in columns else None
            place = columns["tie_order"][row] if "tie_order" in columns else len(events)
            events.append((user, time or 0, place, item, part, row, time))
    events.sort()
    found = {}
    for user, now, place, item, part, row, time in events:
        if part != split:
            continue
        own = [e for e in events if e[0] == user] if user else []
        before = [e for e in own if (e[1], e[2]) < (now, place)]
        after = [e for e in own if (e[1], e[2]) > (now, place)]
        earlier = [e for e in own if SPLITS.index(e[4]) < SPLITS.index(split)]
        names = set()
        is_repeat = any(e[3] == item for e in [*before, *earlier])
        names.add("repeat" if is_repeat else "new")
        if time is None:
            before_count = len(earlier)
        else:
            before_count = len(before)
            tied = (before and before[-1][1] == now) or (after and after[0][1] == now)
            names.add("tied" if tied else "untied")
            if before:
                pause = now - before[-1][1]
                within = pause <= gap_seconds * 10**6
                names.add("within a session" if within else "after a gap")
        bounds = [(0, "no history"), (1, "history 1"), (5, "history 2-5")]
        bounds += [(20, "history 6-20"), (10**9, "history over 20")]
        names.add(next(name for most, name in bounds if before_count <= most))
        found[row] = names
    return found


@pytest.mark.parametrize("gap", [900, 3600, 3599.5])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    "rule", ["leave_last_out", "per_user_time", "global_time", "new_items", "random"]
)
def test_slices_are_what_the_loops_say(rule, split, gap):
    options = {} if rule == "leave_last_out" else {"test_fraction": 0.3}
    data = make(rule, **options)
    found = tm_data.row_slices(data, split, session_gap_seconds=gap)
    expected = oracle(data, split, gap)
    assert len(expected) == len(data.splits[split]["user_id"])
    for row, names in expected.items():
        assert {name for name, rows in found.items() if rows[row]} == names


@pytest.mark.parametrize("split", SPLITS)
def test_without_times_there_are_no_slices_of_time(split):
    data = make("random", times=False)
    found = tm_data.row_slices(data, split)
    assert not {"tied", "untied", "after a gap", "within a session"} & found.keys()
    for row, names in oracle(data, split, 3600).items():
        assert {name for name, rows in found.items() if rows[row]} == names


def test_without_times_the_unknown_user_has_no_history():
    data = make("random", times=False)
    for columns in data.splits.values():
        columns["user_id"][::2] = 0
    found = tm_data.row_slices(data, "test")
    assert found["no history"][::2].all()
    assert found["new"][::2].all()
    assert found["history 6-20"].any()


def test_whole_seconds_alone_give_the_same_slices():
    data = make("leave_last_out")
    splits = {
        name: {k: v for k, v in columns.items() if k != "timestamp_us"}
        for name, columns in data.splits.items()
    }
    whole = dataclasses.replace(data, splits=splits)
    expected = tm_data.row_slices(data, "test")
    found = tm_data.row_slices(whole, "test")
    assert found.keys() == expected.keys()
    for name, rows in found.items():
        np.testing.assert_array_equal(rows, expected[name])


def test_the_unknown_user_stands_for_many_and_repeats_nothing():
    data = make("global_time", test_fraction=0.3)
    for columns in data.splits.values():
        columns["user_id"][:] = 0
    found = tm_data.row_slices(data, "test")
    assert found["new"].all()
    assert found["untied"].all()
    assert found["no history"].all()
    assert not found["within a session"].any()


def test_clicks_less_than_a_second_apart_are_not_tied():
    frame = pd.DataFrame({"user_id": "ann", "item_id": list("pqrs")})
    frame = frame.assign(timestamp=[1.6e9, 1.6e9 + 0.25, 1.6e9 + 0.5, 1.6e9 + 0.75])
    data = tm_data.from_frame(frame, split="leave_last_out")
    assert tm_data.row_slices(data, "test")["untied"].all()
    found = tm_data.row_slices(data, "test", session_gap_seconds=0.2)
    assert found["after a gap"].all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "serving"}, "`split` must be one of .* Got 'serving'"),
        ({"session_gap_seconds": 0}, "`session_gap_seconds` must be positive. Got 0"),
        ({"session_gap_seconds": float("nan")}, "`session_gap_seconds` must be"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tm_data.row_slices(make("leave_last_out"), **({"split": "test"} | options))
