"""No score of a row can see an event at or after the row's time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.baselines.logs import random_log, with_rows
from tfrs_models.baselines import (
    EASE,
    ItemKNN,
    Popularity,
    RecentPopularity,
    UserHistory,
    WeightedSum,
)

TIME_AWARE = [
    RecentPopularity(half_life_days=1.5),
    RecentPopularity(half_life_days=math.inf),
    UserHistory(half_life_days=4.0),
    WeightedSum([RecentPopularity(), UserHistory()], [1, 0.3]),
]
ALL = [
    *TIME_AWARE,
    Popularity(),
    ItemKNN(half_life_items=2.0),
    EASE(regularization=3.0, half_life_days=2.0),
    WeightedSum([RecentPopularity(), ItemKNN()], [1, 0.3]),
]
SPLITS = ["per_user_time", "leave_last_out", "global_time", "new_items", "random"]


def changed_future(data, time, rng):
    """Data whose rows at or after a time have other items and users, or are gone."""
    splits = {}
    for name, columns in data.splits.items():
        late = columns["timestamp_us"] >= time
        gone = late & (rng.random(len(late)) < 0.5)
        columns = {key: column[~gone].copy() for key, column in columns.items()}
        late = late[~gone]
        for key, high in (("item_id", data.num_items), ("user_id", data.num_users)):
            columns[key][late] = rng.integers(1, high + 1, size=late.sum())
        columns["timestamp_us"][late] += rng.integers(3, size=late.sum())
        splits[name] = columns
    return with_rows(data, **splits)


def assert_blind_to_the_future(baseline, data, split, seed):
    rng = np.random.default_rng(seed)
    rows = data.splits[split]
    row = rng.integers(len(rows["user_id"]))
    users, times = rows["user_id"][[row]], rows["timestamp_us"][[row]]
    other = changed_future(data, times[0], rng)
    np.testing.assert_allclose(
        baseline.fit(other, split=split).score(users, times),
        baseline.fit(data, split=split).score(users, times),
        rtol=1e-5,
        atol=1e-6,
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    rule=st.sampled_from(SPLITS),
    split=st.sampled_from(["validation", "test"]),
    baseline=st.sampled_from(TIME_AWARE),
)
def test_time_aware_baselines_never_see_the_future(seed, rule, split, baseline):
    data = random_log(seed, rows=40, split=rule, validation_fraction=0.2)
    if len(data.splits[split]["user_id"]):
        assert_blind_to_the_future(baseline, data, split, seed)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    split=st.sampled_from(["validation", "test"]),
    baseline=st.sampled_from(ALL),
)
def test_no_baseline_sees_the_future_after_a_global_cut(seed, split, baseline):
    data = random_log(seed, rows=40, split="global_time")
    rows = data.splits[split]
    # A row that shares its time with earlier splits is not after the cut.
    names = ("train", "validation")[: 1 + (split == "test")]
    newest = max(data.splits[name]["timestamp_us"].max(initial=0) for name in names)
    after = rows["timestamp_us"] > newest
    if after.any():
        rows = {name: column[after] for name, column in rows.items()}
        assert_blind_to_the_future(baseline, with_rows(data, **{split: rows}), split, 0)


@pytest.mark.xfail(strict=True, raises=AssertionError)
def test_the_property_finds_a_leak():
    data = random_log(1, rows=60, split="leave_last_out")
    for seed in range(20):
        assert_blind_to_the_future(Popularity(), data, "test", seed)
