import numpy as np
import pytest

from tests.top_k_lists import random_lists
from tfrs_models.metrics import serendipity


def oracle(items, relevant, simple, num_items):
    values = []
    for position, item in enumerate(items):
        if item <= 0:
            continue
        ours = (num_items + 1 - (position + 1)) / num_items
        theirs = 0
        for rank, other in enumerate(simple, start=1):
            if other == item:
                theirs = (num_items + 1 - rank) / num_items
        values.append(max(ours - theirs, 0) * (item in relevant))
    return sum(values) / len(values) if values else np.nan


@pytest.mark.parametrize("rows", ["each", "one", "empty"])
def test_serendipity_is_that_of_a_loop(rows):
    rng = np.random.default_rng(8)
    lists = random_lists(rng, 40, 6, 13)
    relevant = [rng.integers(0, 14, rng.integers(0, 9)) for _ in lists]
    simple = random_lists(rng, 40, 8, 13)
    if rows == "one":
        simple = simple[[0]]
    if rows == "empty":
        simple = np.zeros_like(simple)
    expected = [
        oracle(lists[row], relevant[row], simple[row % len(simple)], 13)
        for row in range(40)
    ]
    found = serendipity(lists, relevant, simple, num_items=13)
    np.testing.assert_allclose(found, expected)
    assert np.nanmax(found) > 0


def test_the_simple_recommender_does_not_surprise():
    lists = random_lists(np.random.default_rng(1), 20, 5, 9)
    everything = np.tile(np.arange(1, 10), (20, 1))
    found = serendipity(lists, everything, lists, num_items=9)
    assert np.nanmax(found) == 0


def test_hits_that_no_simple_list_has_are_all_unexpected():
    lists, simple = np.array([[1, 2], [3, 4]]), np.array([[5, 6]])
    found = serendipity(lists, [[1, 2], [4]], simple, num_items=1000)
    np.testing.assert_allclose(found, [1, 0.5], atol=1e-3)


def test_an_item_of_another_user_s_list_is_not_in_this_one():
    lists, simple = np.array([[1], [2]]), np.array([[2], [1]])
    assert serendipity(lists, [[1], [2]], simple, num_items=2).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("relevant", "simple", "words"),
    [
        ([[1], [2]], [[1], [2], [1]], "`simple_lists`.*2 rows.*Got 3"),
        ([[1], [2]], [[0.1]], "`simple_lists` must hold item indices"),
        ([[1]], [[1]], "`relevant`.*Got 1 users"),
    ],
)
def test_lists_of_other_users_are_refused(relevant, simple, words):
    with pytest.raises(ValueError, match=words):
        serendipity(np.array([[1], [2]]), relevant, np.array(simple), num_items=2)
