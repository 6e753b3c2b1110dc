import math

import numpy as np
import pytest

from tests.top_k_lists import random_lists
from tfrs_models.metrics import (
    average_popularity,
    beyond_accuracy,
    calibration_divergence,
    intra_list_diversity,
    novelty,
    serendipity,
)


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


def test_each_input_adds_its_measures(shown):
    lists = shown[0]
    rng = np.random.default_rng(1)
    genres, embeddings = rng.integers(0, 3, (15, 2)), rng.normal(size=(15, 4))
    histories = [rng.integers(0, 15, rng.integers(4)) for _ in lists]
    relevant = [rng.integers(0, 15, 3) for _ in lists]
    simple = random_lists(rng, 25, 4, 14)
    measures = beyond_accuracy(
        lists,
        num_items=14,
        attributes={"genres": genres},
        embeddings=embeddings,
        histories=histories,
        relevant=relevant,
        simple_lists=simple,
    )
    expected = {
        "diversity/genres": intra_list_diversity(lists, genres),
        "embedding_diversity": intra_list_diversity(lists, embeddings),
        "calibration_divergence/genres": calibration_divergence(
            lists, histories, genres
        ),
        "serendipity": serendipity(lists, relevant, simple, num_items=14),
    }
    assert set(list(measures)[5:]) == set(expected)
    for name, values in expected.items():
        assert measures[name] == pytest.approx(np.nanmean(values))


def test_a_measure_that_no_list_has_is_nan():
    measures = beyond_accuracy(
        np.array([[1], [2]]), num_items=2, attributes={"genre": np.array([0, 1, 2])}
    )
    assert math.isnan(measures["diversity/genre"])


def test_padded_arrays_and_ragged_tensors_are_rows_of_users():
    class Ragged:  # the part of `tf.RaggedTensor` that is read
        values, row_splits = np.array([2, 1, 2]), np.array([0, 1, 1, 3])

    lists, genres = np.array([[1, 2], [2, 0], [1, 0]]), np.array([0, 1, 2])
    one_array_a_user = [np.array([2]), np.array([], int), np.array([1, 2])]
    padded = np.array([[2, 0], [-1, 0], [1, 2]])
    expected = calibration_divergence(lists, one_array_a_user, genres)
    assert np.isnan(expected[1])
    assert not np.isnan(expected[[0, 2]]).any()
    for histories in (Ragged(), padded):
        found = calibration_divergence(lists, histories, genres)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"users_per_item": [0, 1, 2]}, "together"),
        ({"num_users": 3}, "together"),
        ({"relevant": [[1]]}, "`relevant` and `simple_lists`.*`relevant` alone"),
        ({"embeddings": np.ones((2, 4))}, "`embeddings` must have 3 rows.*Got 2"),
        ({"attributes": {"a": np.ones(4, int)}}, r"`attributes\['a'\]`.*Got 4"),
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
