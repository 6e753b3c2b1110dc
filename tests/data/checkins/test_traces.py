"""Traces against a loop over users, and what a split must not let in."""

import dataclasses
import datetime

import numpy as np
import pytest

from tfrs_models.data.checkins import CheckIns, make_traces

HOUR = 3600


def made(seed=0, rows=120):
    """Check-ins in no order, of five users at nine places."""
    rng = np.random.default_rng(seed)
    poi = rng.integers(9, size=rows)
    return CheckIns(
        "made",
        user=np.char.add("u", rng.integers(5, size=rows).astype(str)),
        poi=np.char.add("p", poi.astype(str)),
        category=np.char.add("c", (poi % 3).astype(str)),
        coordinates=np.stack([40 + poi / 10, -70 - poi / 10], axis=1),
        timestamp=rng.permutation(rows) * 2 * HOUR + 1_333_324_800,
        offset=np.where(poi % 2, -240, 345),
    )


def loops(data, *, length, min_length, gap, stride):
    """Rows of (user, check-ins of the steps, check-in of the target)."""
    rows = []
    for user in sorted(set(data.user.tolist())):
        own = sorted(np.flatnonzero(data.user == user), key=lambda i: data.timestamp[i])
        sessions = [[]]
        for before, row in zip([None, *own], own, strict=False):
            since = (
                0 if before is None else data.timestamp[row] - data.timestamp[before]
            )
            if gap is not None and since > gap * HOUR:
                sessions.append([])
            sessions[-1].append(row)
        for session in sessions:
            for place in range(min_length, len(session), stride):
                steps = session[max(0, place - length) : place]
                rows.append((user, steps, session[place]))
    return rows


def clock(data, row):
    """Hour and weekday where the check-in was."""
    zone = datetime.timezone(datetime.timedelta(minutes=int(data.offset[row])))
    local = datetime.datetime.fromtimestamp(int(data.timestamp[row]), zone)
    return local.hour, local.weekday()


@pytest.mark.parametrize(
    ("options", "gap", "min_length"),
    [
        ({"length": 4}, None, 4),
        ({"length": 4, "min_length": 1, "stride": 3}, None, 1),
        ({"length": 3, "session_gap": 8.0}, 8.0, 1),
    ],
)
def test_a_trace_is_what_came_before_its_target(options, gap, min_length):
    data = made()
    traces = make_traces(data, **options)
    expected = loops(
        data,
        length=options["length"],
        min_length=min_length,
        gap=gap,
        stride=options.get("stride", 1),
    )
    found = traces.features(np.arange(len(traces.target)))
    names = {key: ["?", *map(str, v)] for key, v in traces.vocabularies.items()}
    assert len(expected) == len(traces.target)
    for row, (user, steps, target) in enumerate(expected):
        padding = traces.length - len(steps)
        assert found["poi_id"][row, :padding].tolist() == [0] * padding
        places = [names["poi_id"][i] for i in found["poi_id"][row, padding:]]
        assert places == [data.poi[i] for i in steps]
        kinds = [names["category_id"][i] for i in found["category_id"][row, padding:]]
        assert kinds == [data.category[i] for i in steps]
        times = [found[name][row, padding:].tolist() for name in ("hour", "weekday")]
        assert list(zip(*times, strict=True)) == [clock(data, i) for i in steps]
        for name in ("category_id", "hour", "weekday"):
            assert not found[name][row, :padding].any()
        assert names["user_id"][found["user_id"][row]] == user
        assert names["poi_id"][found["next_poi_id"][row]] == data.poi[target]
        kind = names["category_id"][found["next_category_id"][row]]
        assert kind == data.category[target]
        assert traces.columns["timestamp"][traces.target[row]] == data.timestamp[target]
        hour, _ = clock(data, target)
        assert traces.columns["hour"][traces.target[row]] == hour


@pytest.mark.parametrize("options", [{"length": 2}, {"length": 3, "session_gap": 8.0}])
@pytest.mark.parametrize("past_length", [3, 40])
def test_the_past_is_what_the_user_did_strictly_before_the_target(options, past_length):
    data = made()
    traces = make_traces(data, min_length=1, past_length=past_length, **options)
    found = traces.features(np.arange(len(traces.target)))
    batch = next(iter(traces.batches("test", 4)))
    names = ["?", *traces.vocabularies["poi_id"]]
    gap = options.get("session_gap")
    expected = loops(data, length=9, min_length=1, gap=gap, stride=1)
    for row, (user, _, target) in enumerate(expected):
        now = data.timestamp[target]
        before = (data.user == user) & (data.timestamp < now)
        own = sorted(np.flatnonzero(before), key=lambda i: data.timestamp[i])
        own = own[-past_length:]
        pois = [names[i] for i in found["past_poi_id"][row]]
        padding = ["?"] * (past_length - len(own))
        assert pois == padding + [data.poi[i] for i in own]
        times = found["past_timestamp"][row]
        assert times.tolist() == [0] * len(padding) + data.timestamp[own].tolist()
        assert found["timestamp"][row] == now
        hour_and_day = found["request_hour"][row], found["request_weekday"][row]
        assert hour_and_day == clock(data, target)
    first = traces.rows("test")[:4]
    for name, values in batch.items():
        np.testing.assert_array_equal(values, found[name][first], err_msg=name)


def test_without_a_past_length_there_is_no_past():
    features = make_traces(made(), length=3).features(np.arange(2))
    assert not [name for name in features if name.startswith(("past_", "request_"))]
    with pytest.raises(ValueError, match="`past_length` must be at least 0. Got -1"):
        make_traces(made(), length=3, past_length=-1)


def test_check_ins_of_one_second_stay_in_the_order_of_the_file():
    data = made(rows=90)
    data = dataclasses.replace(data, timestamp=data.timestamp // (40 * HOUR))
    told, rows = set(), []
    for row, key in enumerate(zip(data.user, data.poi, data.timestamp, strict=True)):
        if key not in told:
            told.add(key)
            rows.append(row)
    expected = []
    for user in sorted(set(data.user.tolist())):
        own = [row for row in rows if data.user[row] == user]
        expected += sorted(own, key=lambda row: data.timestamp[row])
    traces = make_traces(data, length=1)
    names = ["?", *traces.vocabularies["poi_id"].tolist()]
    found = [names[i] for i in traces.columns["poi_id"]]
    assert found == [data.poi[row] for row in expected]


def test_no_future_is_in_training_and_each_trace_in_one_split():
    traces = make_traces(made(rows=300), length=5, min_length=2)
    time = traces.columns["timestamp"]
    train, validation, test = (
        traces.rows(name) for name in ("train", "validation", "test")
    )
    assert len(train) + len(validation) + len(test) == len(traces.target)
    newest = time[traces.target[train]].max()
    assert newest < time[traces.target[validation]].min()
    assert time[traces.target[validation]].max() < time[traces.target[test]].min()
    assert (time[traces.first] < time[traces.target]).all()


def test_what_training_does_not_show_has_no_id():
    data = made(rows=200)
    late = data.timestamp > np.quantile(data.timestamp, 0.95)
    poi = np.where(late, "brand new", data.poi)
    user = np.where(late & (data.user == "u3"), "stranger", data.user)
    data = CheckIns(
        "made",
        user,
        poi,
        *(getattr(data, n) for n in ("category", "coordinates", "timestamp", "offset")),
    )
    traces = make_traces(data, length=3, min_length=1)
    assert "brand new" not in traces.vocabularies["poi_id"]
    assert "stranger" not in traces.vocabularies["user_id"]
    found = traces.features(traces.rows("test"))
    assert (found["next_poi_id"] == 0).any()
    assert (found["next_category_id"] > 0).all()
    assert "misses" in str(traces)


def test_sessions_too_short_for_a_trace_are_counted():
    data = made(rows=9)  # everybody has two check-ins or so
    traces = make_traces(data, length=2, min_length=1)
    _, sizes = np.unique(data.user, return_counts=True)
    assert traces.num_short == np.sum(sizes < 2)
    assert len(traces.target) == np.sum(sizes - 1)


def test_a_check_in_that_is_written_twice_counts_once():
    data = made()
    again = np.random.default_rng(3).choice(len(data), size=30, replace=False)
    elsewhere = again[:5]  # the same user and second, another place
    rows = np.concatenate([np.arange(len(data)), again, elsewhere])
    columns = {
        name: getattr(data, name)[rows]
        for name in ("user", "poi", "category", "coordinates", "timestamp", "offset")
    }
    columns["poi"][-5:] = "p9"
    traces = make_traces(CheckIns("made", **columns), length=3)
    assert traces.num_repeated == 30
    assert "30 check-ins were repeated" in str(traces)
    assert len(traces.columns["poi_id"]) == len(data) + 5
    told = {
        (str(u), str(p), int(t))
        for u, p, t in zip(
            columns["user"], columns["poi"], columns["timestamp"], strict=True
        )
    }
    assert len(told) == len(data) + 5


def test_traces_that_are_all_of_training_say_so():
    traces = make_traces(made(rows=8), length=2, min_length=1)
    assert (traces.split == 0).all()
    assert "0 of the 0 later targets" in str(traces)


def test_places_have_their_coordinates():
    traces = make_traces(made(), length=3)
    for name, (latitude, _) in zip(
        traces.vocabularies["poi_id"], traces.coordinates, strict=True
    ):
        assert latitude == pytest.approx(40 + int(name[1:]) / 10)


def test_batches_hold_all_traces_of_a_split():
    traces = make_traces(made(), length=3)
    rows = traces.features(traces.rows("train"))
    batches = list(traces.batches("train", 16, shuffle=True, seed=1))
    for name, values in rows.items():
        found = np.concatenate([batch[name] for batch in batches])
        assert not np.array_equal(found, values)
        np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(values, axis=0))


def test_a_seed_repeats_its_order_and_another_has_another():
    traces = make_traces(made(), length=3)
    orders = [
        [
            row
            for batch in traces.batches("train", 16, shuffle=True, seed=seed)
            for row in batch["poi_id"].numpy().tolist()
        ]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 3, "min_length": 4}, "`min_length` must be from 1 to `length`"),
        ({"length": 0}, "`min_length` must be from 1 to `length`. Got 0 and 0"),
        ({"stride": 0}, "`stride` must be at least 1. Got 0"),
        ({"session_gap": 0.0}, "`session_gap` must be positive hours. Got 0.0"),
        ({"session_gap": 0.5}, "A trace takes 1 check-ins of a session and the next"),
        ({"length": 99}, "Got sessions of .* at most: lower `min_length`"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_traces(made(), **options)
    with pytest.raises(ValueError, match="`split` must be one of"):
        make_traces(made(), length=2).rows("dev")
