import math

import numpy as np
import pytest

from tests.top_k_lists import random_lists
from tfrs_models.metrics import exposure


@pytest.mark.parametrize(("num_users", "k", "num_items"), [(40, 5, 9), (7, 3, 50)])
def test_all_numbers_are_those_of_loops(num_users, k, num_items):
    lists = random_lists(np.random.default_rng(num_items), num_users, k, num_items)
    times = dict.fromkeys(range(1, num_items + 1), 0)
    for row in lists:
        for item in row:
            if item > 0:
                times[int(item)] += 1
    total = sum(times.values())
    pairs = sum(abs(a - b) for a in times.values() for b in times.values())
    descending = sorted(times.values(), reverse=True)
    shown = exposure(lists, num_items)
    assert shown.counts.tolist() == [0, *times.values()]
    assert shown.coverage == sum(c > 0 for c in times.values()) / num_items
    assert shown.gini == pytest.approx(pairs / (2 * num_items * total))
    assert shown.largest_reach == descending[0] / num_users
    assert times[shown.most_shown] == descending[0]
    for top in (0.01, 0.2, 0.34, 1.0):
        number = math.ceil(top * num_items)
        expected = sum(descending[:number]) / total
        assert shown.share_of_top(top) == pytest.approx(expected)
    share, filled = shown.curve()
    assert share[-1] == filled[-1] == 1
    assert filled[2] == pytest.approx(sum(descending[:3]) / total)


def test_equal_exposure_has_no_gini_and_full_coverage():
    lists = np.arange(1, 13).reshape(4, 3)
    shown = exposure(lists, 12)
    assert (shown.gini, shown.coverage, shown.largest_reach) == (0, 1, 0.25)
    assert shown.share_of_top(0.5) == 0.5


def test_one_item_for_all_users_is_the_extreme():
    shown = exposure(np.full((6, 1), 3), 10)
    assert shown.gini == pytest.approx(0.9)
    assert (shown.coverage, shown.largest_reach, shown.most_shown) == (0.1, 1, 3)
    assert shown.share_of_top() == 1


def test_users_with_empty_lists_count_in_the_reach():
    assert (
        exposure(np.array([[2, 1], [0, 0], [-1, -1], [2, 0]]), 2).largest_reach == 0.5
    )


def test_the_share_of_the_catalogue_is_rounded_up_but_not_by_float_errors():
    lists = np.arange(1, 101)[None, :]
    assert exposure(lists, 100).share_of_top(0.07) == pytest.approx(0.07)
    assert exposure(lists, 100).share_of_top(0.071) == pytest.approx(0.08)


def test_the_gini_index_does_not_depend_on_names_or_the_number_of_users():
    rng = np.random.default_rng(5)
    lists = random_lists(rng, 30, 4, 11)
    other_names = np.concatenate([[0], 1 + rng.permutation(11)])
    shown = exposure(lists, 11)
    renamed = exposure(other_names[np.maximum(lists, 0)], 11)
    doubled = exposure(np.concatenate([lists, lists]), 11)
    assert renamed.gini == pytest.approx(shown.gini)
    assert doubled.gini == pytest.approx(shown.gini)
    assert doubled.largest_reach == shown.largest_reach


@pytest.mark.parametrize(
    ("lists", "num_items", "words"),
    [
        ([[0.5, 1.0]], 3, "not their scores"),
        ([[1, 4]], 3, "from 1 to 3.*Got 1 to 4"),
        ([[-2, 1]], 3, "padding. Got -2"),
        ([1, 2], 3, r"shape \(2,\)"),
        (np.zeros((3, 0), int), 3, "one position"),
        (np.zeros((0, 3), int), 3, "one user"),
        ([[0, -1]], 3, "padding only"),
        ([[1, 2], [2, 2]], 3, "row 1"),
        ([[1]], 0, "`num_items`"),
        ([[1]], 2.0, "`num_items`"),
    ],
)
def test_lists_that_are_no_lists_of_items_are_refused(lists, num_items, words):
    with pytest.raises(ValueError, match=words):
        exposure(np.array(lists), num_items)


@pytest.mark.parametrize("top", [0, -0.1, 1.5, math.nan])
def test_a_share_of_the_catalogue_is_a_share(top):
    with pytest.raises(ValueError, match="`top`"):
        exposure(np.array([[1]]), 1).share_of_top(top)
