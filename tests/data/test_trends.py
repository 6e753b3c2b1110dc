"""Trend features against loops over the log."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfrs_models as tm

DAY = 86_400
RNG = np.random.default_rng(7)
NUM_ITEMS, NUM_ROWS = 6, 90
ITEM = RNG.choice([0, 1, 2, 3, 5], NUM_ROWS, p=[0.1, 0.5, 0.2, 0.15, 0.05])
TIME = 10**9 + RNG.integers(0, 20 * DAY, NUM_ROWS)
TIME[10:20] = TIME[10]  # rows at one time
HALF_LIVES = (0.5, 30.0)


def by_loop(item, time, resolution=3600):
    """Features of an item at a time, row by row of the log."""
    now = time - time % resolution
    counts, first = np.zeros(len(HALF_LIVES)), None
    for other, second in zip(ITEM, TIME, strict=True):
        if other != item or second >= now or item == 0:
            continue
        first = second if first is None else min(first, second)
        for k, half_life in enumerate(HALF_LIVES):
            counts[k] += 0.5 ** ((now - second) / DAY / half_life)
    age = 0 if first is None else np.log1p((now - first) / DAY)
    return [*np.log((0.1 + counts) / 0.1), age, float(first is None)]


@pytest.fixture(scope="module", params=[3600, 1])
def table(request):
    return tm.data.TrendTable(
        ITEM,
        TIME,
        num_items=NUM_ITEMS,
        half_lives_days=HALF_LIVES,
        resolution_seconds=request.param,
    )


def test_features_equal_a_loop_over_the_log(table):
    times = np.array(
        [10**9 - 5, TIME[10], TIME[10] + 1, 10**9 + 7 * DAY, TIME.max() + DAY]
    )
    items = np.arange(NUM_ITEMS + 1)
    got = table.features(items[None, :], times[:, None])
    expected = [[by_loop(i, t, table.resolution_seconds) for i in items] for t in times]
    assert got.shape == (5, NUM_ITEMS + 1, 4)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(
        table.at(int(times[3])), expected[3], rtol=2e-5, atol=2e-5
    )


def test_features_are_the_same_in_a_graph(table):
    items, times = tf.constant([1, 3]), tf.constant([10**9 + 9 * DAY, 10**9 + DAY])
    graph = tf.function(table.features, autograph=False)
    np.testing.assert_allclose(
        graph(items, times), table.features(items, times), rtol=1e-6
    )


def test_rows_at_or_after_a_time_change_nothing():
    now = 10**9 + 9 * DAY
    now -= now % 3600
    past = now > TIME
    tables = [
        tm.data.TrendTable(ITEM[rows], TIME[rows], num_items=NUM_ITEMS)
        for rows in (past, slice(None))
    ]
    np.testing.assert_allclose(*(t.at(now) for t in tables), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(tables[1].at(now), tables[1].at(now + 3599))


def test_many_items_and_short_half_lives_stay_exact():
    number = 9000  # more than are added up at once
    item = np.repeat(np.arange(1, number + 1), 3)
    time = np.tile(np.array([0, 1000 * DAY, 1000 * DAY + 3600]), number)
    table = tm.data.TrendTable(item, time, num_items=number, half_lives_days=[1 / 24])
    counts = 0.1 * np.expm1(table.at(1000 * DAY + 2 * 3600)[1:, 0].astype(float))
    np.testing.assert_allclose(counts, 0.75, rtol=1e-5)


def test_counts_for_a_live_recommender_are_those_of_the_features(table):
    now = int(TIME.max()) + 5
    counts, first = table.counts_at(now)
    for item in range(NUM_ITEMS + 1):
        mine = TIME[(item == ITEM) & (item > 0)]
        assert first[item] == (mine.min() if len(mine) else 0)
        for k, half_life in enumerate(HALF_LIVES):
            expected = (0.5 ** ((now - mine) / DAY / half_life)).sum()
            np.testing.assert_allclose(counts[item, k], expected, rtol=2e-5)


@pytest.fixture(scope="module")
def data():
    users, items = list("aaaabbbbcccc"), list("pqrspqtsprtq")
    frame = pd.DataFrame({"user_id": users, "item_id": items})
    frame["timestamp"] = 10**9 + DAY * np.array([0, 1, 2, 3, 0, 2, 4, 5, 1, 3, 5, 6])
    return tm.data.from_frame(frame, split="leave_last_out")


@pytest.mark.parametrize(
    ("split", "number"),
    [("train", 6), ("validation", 9), ("test", 12), ("serving", 12)],
)
def test_a_split_knows_its_own_rows_and_earlier_splits(data, split, number):
    table = tm.data.trend_table(data, split, half_lives_days=[1e6])
    counts = 0.1 * np.expm1(table.at(10**9 + 100 * DAY)[:, 0].astype(float))
    assert round(counts.sum()) == number


def test_candidates_get_the_trends_of_a_time(data):
    table = tm.data.trend_table(data, "serving")
    now = table.next_period(table.newest_time)
    batch = next(iter(table.add_to(data.candidate_batches(3), now)))
    np.testing.assert_array_equal(batch["trends"], table.at(now)[batch["item_id"]])
    assert now > table.newest_time
    assert now % 3600 == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"half_lives_days": []}, "`half_lives_days` must be finite numbers above 0"),
        ({"half_lives_days": [1, np.inf]}, "`half_lives_days` must be finite"),
        ({"resolution_seconds": 0}, "`resolution_seconds` must be a whole number"),
        ({"item_id": [7]}, "`item_id` must be from 0 to 6"),
        ({"item_id": [0]}, "`item_id` must have a row of a known item"),
        ({"item_id": [1, 2]}, "must have one value a row"),
        ({"timestamp": [1.5]}, "`timestamp` must be whole numbers"),
        ({"timestamp": [1_700_000_000_000]}, "are these milliseconds"),
    ],
)
def test_bad_tables_are_refused(changed, message):
    given = {"item_id": [1], "timestamp": [5], "num_items": 6} | changed
    with pytest.raises(ValueError, match=message):
        tm.data.TrendTable(**given)


def test_data_without_times_has_no_trends():
    frame = pd.DataFrame({"user_id": list("aabb") * 5, "item_id": list("pqpr") * 5})
    with pytest.raises(ValueError, match="must have timestamps"):
        tm.data.trend_table(tm.data.from_frame(frame, split="random"), "test")


def test_first_items_are_targets_after_an_empty_history(data):
    from tfrs_models.data.sequences import training_windows

    plain = training_windows(data, 3)
    windows = training_windows(data, 3, first_items=True)
    assert (windows.item_id > 0).sum() == (plain.item_id > 0).sum() + 3
    first = windows.history[:, 0] == 0
    assert first.sum() == 3
    for user, target, time in zip(
        windows.user_id[first],
        windows.item_id[first, 0],
        windows.timestamp[first, 0],
        strict=True,
    ):
        train = data.splits["train"]
        mine = np.flatnonzero(train["user_id"] == user)
        oldest = mine[np.argmin(train["timestamp"][mine])]
        assert (target, time) == (train["item_id"][oldest], train["timestamp"][oldest])
