import math

import numpy as np
import pytest

from tests.top_k_lists import random_lists
from tfrs_models.metrics import average_popularity, beyond_accuracy, novelty


@pytest.fixture(scope="module")
def shown():
    rng = np.random.default_rng(3)
    lists = random_lists(rng, 25, 6, 14)
    lists[4] = 0  # a user without a list, whatever the seed
    users_per_item = np.concatenate([[0], rng.integers(0, 4, 14) * 10])  # ties, zeros
    return lists, users_per_item, 50


def test_popularity_and_novelty_are_those_of_loops(shown):
    lists, users_per_item, num_users = shown
    popularity = average_popularity(lists, users_per_item)
    bits = novelty(lists, users_per_item, num_users)
    for row, items in enumerate(lists):
        counts = [users_per_item[item] for item in items if item > 0]
        if not counts:
            assert np.isnan([popularity[row], bits[row]]).all()
            continue
        assert popularity[row] == pytest.approx(sum(counts) / len(counts))
        expected = [-math.log2(max(count, 1) / num_users) for count in counts]
        assert bits[row] == pytest.approx(sum(expected) / len(counts))


def test_half_as_many_users_are_one_bit_more():
    bits = novelty(np.array([[1], [2], [3]]), np.array([0, 64, 32, 0]), 64)
    assert bits.tolist() == [0, 1, 6]  # the last item had no user and counts as one


def test_all_measures_are_means_over_the_users_with_a_list(shown):
    lists, users_per_item, num_users = shown
    measures = beyond_accuracy(
        lists, num_items=14, users_per_item=users_per_item, num_users=num_users
    )
    some = (lists > 0).any(axis=1)
    assert measures["covered_users"] == some.mean() < 1
    popularity = average_popularity(lists, users_per_item)
    assert measures["average_popularity"] == pytest.approx(popularity[some].mean())
    bits = novelty(lists, users_per_item, num_users)
    assert measures["novelty"] == pytest.approx(bits[some].mean())


def test_measures_without_their_input_are_not_there(shown):
    assert set(beyond_accuracy(shown[0], num_items=14)) == {
        "covered_users",
        "coverage",
        "gini",
        "largest_reach",
        "share_of_top_1_percent",
    }


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"users_per_item": [0, 1, 2]}, "together"),
        ({"num_users": 3}, "together"),
        ({"users_per_item": [1, 2], "num_users": 3}, r"here \[3\].*shape \(2,\)"),
        ({"users_per_item": [0, 1, -2], "num_users": 3}, "not negative"),
        ({"users_per_item": [0, 1, np.nan], "num_users": 3}, "finite"),
        ({"users_per_item": [0, 1, 4], "num_users": 3}, "not every repeat"),
        ({"users_per_item": [0, 0, 0], "num_users": 0}, "`num_users`"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, words):
    with pytest.raises(ValueError, match=words):
        beyond_accuracy(np.array([[1, 2]]), num_items=2, **inputs)
