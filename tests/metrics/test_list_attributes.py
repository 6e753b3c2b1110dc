import math

import numpy as np
import pytest

from tests.top_k_lists import random_lists
from tfrs_models.metrics import calibration_divergence, intra_list_diversity


def random_bags(rng, num_items, length, num_values):
    """Bags of different sizes, a third of them empty; row 0 must not count."""
    bags = rng.integers(1, num_values + 1, size=(num_items + 1, length))
    bags[rng.random(bags.shape) < 0.4] = 0
    bags[rng.random(num_items + 1) < 0.2] = 0
    bags[0] = 1
    return bags


def jaccard(one, other):
    one, other = set(one.tolist()) - {0}, set(other.tolist()) - {0}
    if not one or not other:
        return None
    return 1 - len(one & other) / len(one | other)


def cosine(one, other):
    if not one.any() or not other.any():
        return None
    return 1 - one @ other / math.sqrt((one @ one) * (other @ other))


def mean_distance(items, values, distance):
    """The mean over the pairs in which both items have values."""
    items = [int(item) for item in items if item > 0]
    distances = [
        distance(values[item], values[other])
        for position, item in enumerate(items)
        for other in items[:position]
    ]
    distances = [d for d in distances if d is not None]
    return sum(distances) / len(distances) if distances else math.nan


@pytest.mark.parametrize("num_values", [4, 63, 64, 65, 200])
def test_diversity_of_bags_is_the_mean_of_all_pairs(num_values):
    rng = np.random.default_rng(num_values)
    lists = random_lists(rng, 30, 6, 15)
    bags = random_bags(rng, 15, 4, num_values)
    expected = [mean_distance(items, bags, jaccard) for items in lists]
    found = intra_list_diversity(lists, bags)
    np.testing.assert_allclose(found, expected)
    assert np.isnan(found).any()  # some lists have fewer than two items
    assert not np.isnan(found).all()


def test_diversity_of_categories_is_the_share_of_different_pairs():
    rng = np.random.default_rng(9)
    lists = random_lists(rng, 30, 5, 12)
    category = rng.integers(0, 4, 13) * 1000
    expected = [mean_distance(items, category[:, None], jaccard) for items in lists]
    np.testing.assert_allclose(intra_list_diversity(lists, category), expected)


def test_diversity_of_embeddings_is_one_minus_the_mean_cosine():
    rng = np.random.default_rng(2)
    lists = random_lists(rng, 40, 5, 12)
    embeddings = rng.normal(size=(13, 3)) * rng.uniform(0.1, 9, size=(13, 1))
    embeddings[4] = 0
    expected = [mean_distance(items, embeddings, cosine) for items in lists]
    np.testing.assert_allclose(intra_list_diversity(lists, embeddings), expected)


def test_many_users_have_the_values_of_few():
    rng = np.random.default_rng(4)
    lists = random_lists(rng, 50, 4, 20)
    bags = random_bags(rng, 20, 3, 9)
    many = np.tile(lists, (200, 1))
    expected = np.tile(intra_list_diversity(lists, bags), 200)
    np.testing.assert_array_equal(intra_list_diversity(many, bags), expected)


def distribution(items, bags):
    shares = {}
    for item in items:
        values = set(bags[item].tolist()) - {0} if item > 0 else set()
        for value in values:
            shares[value] = shares.get(value, 0) + 1 / len(values)
    total = sum(shares.values())
    return {value: share / total for value, share in shares.items()}


@pytest.mark.parametrize("smoothing", [0.01, 0.3])
def test_calibration_is_steck_s_divergence(smoothing):
    rng = np.random.default_rng(11)
    lists = random_lists(rng, 30, 5, 15)
    bags = random_bags(rng, 15, 3, 6)
    histories = [rng.integers(0, 16, rng.integers(0, 7)) for _ in lists]  # repeats
    expected = []
    for items, history in zip(lists, histories, strict=True):
        p, q = distribution(history, bags), distribution(items, bags)
        expected.append(
            sum(
                share
                * math.log(share / ((1 - smoothing) * q.get(v, 0) + smoothing * share))
                for v, share in p.items()
            )
            if p and q
            else math.nan
        )
    found = calibration_divergence(lists, histories, bags, smoothing=smoothing)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert 0 < np.isnan(found).sum() < len(found)


def test_calibration_is_between_0_and_the_logarithm_of_the_smoothing():
    genres = np.array([0, 1, 1, 2, 2])
    histories = [[1, 3], [1], [3]]
    lists = np.array([[2, 4], [4, 0], [3, 4]])
    expected = [0, math.log(100), 0]
    found = calibration_divergence(lists, histories, genres)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_large_vocabularies_are_counted_in_blocks_of_users():
    rng = np.random.default_rng(6)
    lists = random_lists(rng, 100, 4, 90)
    histories = [rng.integers(1, 91, rng.integers(1, 5)) for _ in lists]
    few = random_bags(rng, 90, 2, 30)
    padded = np.concatenate([few, np.zeros((70_000, 2), int)])
    padded[91:, 0] = np.arange(70_000) + 31  # attributes of items that are not listed
    np.testing.assert_allclose(
        calibration_divergence(lists, histories, padded),
        calibration_divergence(lists, histories, few),
    )


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        (np.array([0.0, 1.0]), "float64 of the shape"),
        (np.array(["", "a"]), "indices of the values"),
        (np.array([True, False]), "integers"),
        (np.array([0, -1]), "negative"),
        (np.array([[0.0], [np.nan]]), "finite"),
        (np.zeros((2, 0), int), "row 0"),
        (np.array([0]), "row 0"),
    ],
)
def test_attributes_of_another_kind_are_refused(attributes, words):
    with pytest.raises(ValueError, match=words):
        intra_list_diversity(np.array([[1]]), attributes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"smoothing": 0}, "infinite divergence. Got 0"),
        ({"smoothing": 1}, "`smoothing`"),
        ({"histories": [[1]]}, "all 2 users.*Got 1"),
        ({"histories": [[1], [7]]}, "1 to 2.*Got 1 to 7"),
        ({"histories": [[1], [0.5]]}, "one row of integers"),
        ({"attributes": np.zeros((3, 2))}, "no distribution"),
    ],
)
def test_inputs_of_the_calibration_that_do_not_fit_are_refused(arguments, words):
    inputs = {"histories": [[1], [2]], "attributes": np.array([0, 1, 2])} | arguments
    with pytest.raises(ValueError, match=words):
        calibration_divergence(np.array([[1], [2]]), **inputs)
