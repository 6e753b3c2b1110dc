"""Measures of top-k lists equal those of RecTools, where it is installed."""

import numpy as np
import pytest

from tests.top_k_lists import random_lists
from tfrs_models.metrics import (
    average_popularity,
    exposure,
    intra_list_diversity,
    novelty,
    serendipity,
)

pd = pytest.importorskip("pandas")
rectools = pytest.importorskip("rectools.metrics")

NUM_USERS, K, NUM_ITEMS = 60, 5, 20


def as_table(lists):
    rows = [
        (user, int(item), rank)
        for user, items in enumerate(lists)
        for rank, item in enumerate(items, start=1)
        if item > 0
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "rank"])


@pytest.fixture(scope="module")
def lists():
    return random_lists(np.random.default_rng(21), NUM_USERS, K, NUM_ITEMS)


@pytest.fixture(scope="module")
def earlier():
    """Pairs of a user and an item: item `i` had `20 - i` users, the last had none."""
    rng = np.random.default_rng(22)
    rows = [
        (int(user), item)
        for item in range(1, NUM_ITEMS)
        for user in rng.choice(NUM_ITEMS, NUM_ITEMS - item, replace=False)
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id"])


def assert_equal(found, expected):
    """Compares values by user: RecTools has none for a user without a list."""
    defined = ~np.isnan(found)
    assert expected.index.tolist() == np.flatnonzero(defined).tolist()
    np.testing.assert_allclose(found[defined], expected.to_numpy())


def test_coverage(lists):
    metric = rectools.CatalogCoverage(K, normalize=True)
    expected = metric.calc(as_table(lists), range(1, NUM_ITEMS + 1))
    assert exposure(lists, NUM_ITEMS).coverage == pytest.approx(expected)


def test_popularity_and_novelty(lists, earlier):
    counts = np.bincount(earlier["item_id"], minlength=NUM_ITEMS + 1)
    assert_equal(
        average_popularity(lists, counts),
        rectools.AvgRecPopularity(K).calc_per_user(as_table(lists), earlier),
    )
    assert_equal(
        average_popularity(lists, counts / counts.sum()),
        rectools.AvgRecPopularity(K, normalize=True).calc_per_user(
            as_table(lists), earlier
        ),
    )
    assert_equal(
        novelty(lists, counts, earlier["user_id"].nunique()),
        rectools.MeanInvUserFreq(K).calc_per_user(as_table(lists), earlier),
    )


def test_serendipity_against_the_catalogue_by_popularity(lists, earlier):
    rng = np.random.default_rng(23)
    relevant = [
        rng.choice(NUM_ITEMS, rng.integers(9), replace=False) + 1 for _ in lists
    ]
    pairs = [(user, item) for user, items in enumerate(relevant) for item in items]
    expected = rectools.Serendipity(K).calc_per_user(
        as_table(lists),
        pd.DataFrame(pairs, columns=["user_id", "item_id"]),
        earlier,
        range(1, NUM_ITEMS + 1),
    )
    by_popularity = np.arange(1, NUM_ITEMS)[None]  # the last is cold and in no list
    found = serendipity(lists, relevant, by_popularity, num_items=NUM_ITEMS)
    assert_equal(found, expected)
    assert expected.max() > 0


def test_diversity_of_categories(lists):
    """RecTools has 0 for a list of one item; here it has no distance."""
    category = np.random.default_rng(24).integers(1, 4, NUM_ITEMS + 1)
    table = pd.DataFrame({"category": category})
    table.index.name = "item_id"
    distances = pytest.importorskip("rectools.metrics.distances")
    expected = rectools.IntraListDiversity(
        K, distances.PairwiseHammingDistanceCalculator(table)
    ).calc_per_user(as_table(lists))
    found = intra_list_diversity(lists, category)
    one_item = (lists > 0).sum(axis=1) == 1
    assert one_item.any()
    assert (expected[np.flatnonzero(one_item)] == 0).all()
    assert_equal(found, expected[~one_item[expected.index]])
