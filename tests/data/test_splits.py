import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrs_models.data.splits import (
    rows_before_window,
    split_global_time,
    split_leave_last_out,
    split_new_items,
    split_per_user_time,
    split_random,
    split_rows,
)

TABLES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=1, max_size=80
).map(lambda rows: tuple(np.array(rows, np.int64).T))
FRACTIONS = st.tuples(
    st.sampled_from([0.0, 0.1, 0.25, 0.45]), st.sampled_from([0.05, 0.1, 0.5])
)


def history(user, timestamp, of):
    """Row numbers of one user by time, ties in the order of the file."""
    rows = [i for i in range(len(user)) if user[i] == of]
    return sorted(rows, key=lambda i: timestamp[i])  # sorted() is stable


def half_up(count, fraction):
    return int(np.floor(round(count * fraction, 6) + 0.5))


@given(TABLES, FRACTIONS)
def test_per_user_time_cuts_each_history_into_three(table, fractions):
    user, timestamp = table
    validation, test = fractions
    split = split_per_user_time(
        user, timestamp, validation_fraction=validation, test_fraction=test
    )
    for of in np.unique(user):
        rows = history(user, timestamp, of)
        num_test = min(max(half_up(len(rows), test), 1), len(rows) - 1)
        num_validation = half_up(len(rows), validation)
        if validation:
            num_validation = max(num_validation, 1)
        num_validation = min(num_validation, len(rows) - 1 - num_test)
        num_train = len(rows) - num_validation - num_test
        expected = [0] * num_train + [1] * num_validation + [2] * num_test
        assert [split[i] for i in rows] == expected
        assert num_train >= 1


@given(TABLES)
def test_leave_last_out_tests_on_the_last_row_and_validates_on_the_one_before(table):
    user, timestamp = table
    split = split_leave_last_out(user, timestamp)
    for of in np.unique(user):
        rows = history(user, timestamp, of)
        short = len(rows) < 3
        expected = [0] * len(rows) if short else [0] * (len(rows) - 2) + [1, 2]
        assert [split[i] for i in rows] == expected


@pytest.mark.parametrize("splitter", [split_per_user_time, split_leave_last_out])
@given(table=TABLES)
def test_no_user_is_trained_on_rows_after_validation_or_test(splitter, table):
    user, timestamp = table
    split = splitter(user, timestamp)
    for of in np.unique(user):
        times = [timestamp[(user == of) & (split == part)] for part in range(3)]
        times = [t for t in times if len(t)]
        for earlier, later in itertools.pairwise(times):
            assert earlier.max() <= later.min()


@given(TABLES, FRACTIONS)
def test_global_time_cuts_all_rows_at_two_moments(table, fractions):
    _, timestamp = table
    validation, test = fractions
    split = split_global_time(
        timestamp, validation_fraction=validation, test_fraction=test
    )
    rows = sorted(range(len(timestamp)), key=lambda i: timestamp[i])
    num_test = half_up(len(rows), test)
    num_validation = half_up(len(rows), validation)
    num_train = len(rows) - num_test - num_validation
    expected = [0] * num_train + [1] * num_validation + [2] * num_test
    assert [split[i] for i in rows] == expected


@given(st.integers(1, 200), FRACTIONS, st.integers(0, 5))
def test_random_has_the_sizes_asked_for_and_repeats_with_its_seed(
    num_rows, fractions, seed
):
    validation, test = fractions
    options = {"validation_fraction": validation, "test_fraction": test}
    split = split_random(num_rows, seed=seed, **options)
    assert split.dtype == np.int8
    assert np.sum(split == 2) == half_up(num_rows, test)
    assert np.sum(split == 1) == half_up(num_rows, validation)
    np.testing.assert_array_equal(split, split_random(num_rows, seed=seed, **options))


def test_random_draws_other_rows_with_another_seed():
    assert np.any(split_random(200, seed=1) != split_random(200, seed=2))


@given(TABLES, st.sampled_from([0.1, 0.5]), st.integers(0, 5))
def test_new_items_are_in_test_only_and_the_rest_leaves_each_users_last_out(
    table, fraction, seed
):
    user, timestamp = table
    item = (user * 3 + timestamp) % 7
    options = {"test_fraction": fraction, "seed": seed}
    split = split_new_items(user, item, timestamp, **options)
    only_test = [i for i in np.unique(item) if set(split[item == i]) == {2}]
    num_new = half_up(len(np.unique(item)), fraction)
    for new in itertools.combinations(only_test, num_new):
        rest = ~np.isin(item, new)
        expected = split_leave_last_out(user[rest], timestamp[rest])
        if np.array_equal(split[rest], expected):  # what was drawn explains all rows
            break
    else:
        raise AssertionError(f"{num_new} new items, {only_test} in test only")
    again = split_new_items(user, item, timestamp, **options)
    np.testing.assert_array_equal(split, again)


def test_new_items_are_others_with_another_seed():
    user, item = np.repeat(np.arange(9), 20), np.tile(np.arange(20), 9)
    time = (user + item) % 20  # no two users end with the same item
    splits = [split_new_items(user, item, time, seed=seed) for seed in (1, 2)]
    held_out = [np.flatnonzero(np.bincount(item[s < 2]) == 0) for s in splits]
    assert [len(items) for items in held_out] == [2, 2]
    assert set(held_out[0]) != set(held_out[1])


def test_equal_timestamps_keep_the_order_of_the_file():
    user, timestamp = np.zeros(10, int), np.full(10, 5)
    expected = [0] * 8 + [1, 2]
    assert split_per_user_time(user, timestamp).tolist() == expected
    assert split_leave_last_out(user, timestamp).tolist() == expected
    assert split_global_time(timestamp).tolist() == expected


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ((0.1, 0.0), "`test_fraction` must be between 0 and 1"),
        ((0.1, 1.0), "`test_fraction` must be between 0 and 1"),
        ((0.1, -0.2), "Got -0.2"),
        ((-0.1, 0.1), "`validation_fraction` must be at least 0"),
        ((1.0, 0.1), "`validation_fraction` must be at least 0"),
        ((0.5, 0.5), "their sum must be below 1. Got 0.5 \\+ 0.5"),
    ],
)
def test_impossible_fractions_are_refused(fractions, message):
    validation, test = fractions
    user = timestamp = np.arange(10)
    options = {"validation_fraction": validation, "test_fraction": test}
    with pytest.raises(ValueError, match=message):
        split_per_user_time(user, timestamp, **options)
    with pytest.raises(ValueError, match=message):
        split_global_time(timestamp, **options)
    with pytest.raises(ValueError, match=message):
        split_random(10, **options)


def test_an_impossible_fraction_of_new_items_is_refused():
    rows = np.arange(10)
    with pytest.raises(ValueError, match="`test_fraction` must be between 0 and 1"):
        split_new_items(rows, rows, rows, test_fraction=1.0)


@pytest.mark.parametrize("fraction", [0.29, 0.145])
def test_a_half_is_rounded_up_although_its_float_is_below(fraction):
    count = round(14.5 / fraction)
    assert fraction * count < 14.5
    rows, user = np.arange(count), np.zeros(count, int)
    for split in (
        split_per_user_time(user, rows, test_fraction=fraction),
        split_global_time(rows, test_fraction=fraction),
        split_random(count, test_fraction=fraction),
        split_new_items(rows, rows, rows, test_fraction=fraction),
    ):
        assert np.sum(split == 2) == 15
    options = {"validation_fraction": fraction, "test_fraction": 0.1}
    for split in (
        split_per_user_time(user, rows, **options),
        split_global_time(rows, **options),
        split_random(count, **options),
    ):
        assert np.sum(split == 1) == 15


def test_a_split_by_name_is_that_of_its_function_with_all_its_arguments():
    rng = np.random.default_rng(8)
    user, item = rng.integers(9, size=300), rng.integers(20, size=300)
    time = rng.integers(100, size=300)
    fractions = {"validation_fraction": 0.25, "test_fraction": 0.15}
    expected = {
        "per_user_time": split_per_user_time(user, time, **fractions),
        "leave_last_out": split_leave_last_out(user, time),
        "global_time": split_global_time(time, **fractions),
        "new_items": split_new_items(user, item, time, test_fraction=0.15, seed=5),
        "random": split_random(300, seed=5, **fractions),
    }
    for name, split in expected.items():
        found = split_rows(user, item, time, split=name, seed=5, **fractions)
        np.testing.assert_array_equal(found, split)


@pytest.mark.parametrize("count", [20, 37, 401])
def test_windows_of_a_rolling_origin_follow_each_other_and_test_no_row_twice(count):
    rng = np.random.default_rng(count)
    time = rng.integers(0, count // 2, size=count)
    order, size = np.argsort(time, kind="stable"), half_up(count, 0.1)
    for back in range(4):
        keep = rows_before_window(time, windows_back=back)
        assert sorted(np.flatnonzero(keep)) == sorted(order[: count - back * size])
        part = np.full(count, -1)
        fractions = {"test_fraction": 0.1 * count / keep.sum()}
        part[keep] = split_global_time(time[keep], **fractions)
        end = count - back * size
        assert sorted(np.flatnonzero(part == 2)) == sorted(order[end - size : end])


@pytest.mark.parametrize("back", [-1, 10])
def test_windows_that_leave_nothing_are_refused(back):
    with pytest.raises(ValueError, match=f"`windows_back` must be .*Got {back} "):
        rows_before_window(np.arange(20), windows_back=back)
