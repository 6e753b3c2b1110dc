import numpy as np
import pytest
import scipy.sparse

from tests.baselines.logs import random_log
from tfrs_models.baselines import (
    ALS,
    EASE,
    ItemKNN,
    Popularity,
    RecentPopularity,
    UserHistory,
    WeightedSum,
)

BASELINES = [
    Popularity(),
    RecentPopularity(half_life_days=3.0),
    UserHistory(half_life_days=4.0),
    ItemKNN(shrinkage=1.0, num_neighbours=3, half_life_items=2.0),
    EASE(regularization=2.0, max_items=5),
    WeightedSum([RecentPopularity(), ItemKNN(), UserHistory()], [1, 0.3, -0.2]),
    WeightedSum(
        [WeightedSum([Popularity(), EASE(regularization=2.0)], [1, 2]), UserHistory()],
        [0.5, 1],
    ),
]


def computed(linear, num_rows):
    """Base plus features times weights, densely."""
    scores = np.tile(linear.base.astype("float64"), (num_rows, 1))
    for features, weights, columns in linear.terms:
        if scipy.sparse.issparse(weights):
            weights = weights.toarray()
        scores[:, columns] += features.toarray().astype("float64") @ weights
    return scores


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.name[:30])
@pytest.mark.parametrize("split", ["test", "serving"])
def test_the_linear_model_has_the_scores_of_all_users(baseline, split):
    data = random_log(2, rows=120, users=9)
    fitted = baseline.fit(data, split=split)
    users = np.arange(data.num_users + 1)
    for linear, scores in (
        (fitted.as_linear(), fitted.score(users)),
        (fitted.as_comparable_linear(), fitted.comparable(users)),
    ):
        np.testing.assert_allclose(computed(linear, len(users)), scores, atol=2e-5)
        assert np.abs(scores).max() > 0.1


def test_als_is_linear():
    pytest.importorskip("implicit")
    data = random_log(2, rows=120, users=9)
    fitted, users = ALS(factors=3).fit(data), np.arange(data.num_users + 1)
    scores = computed(fitted.as_linear(), len(users))
    np.testing.assert_allclose(scores, fitted.score(users), atol=1e-5)
