import math

import numpy as np
import pytest

from tests.baselines.logs import queries, random_log
from tfrs_models.baselines import (
    Popularity,
    RecentPopularity,
    UserHistory,
    WeightedSum,
)


def test_scores_are_the_weighted_sum_of_rows_divided_by_their_largest_value():
    data = random_log(2, rows=90)
    users, times = queries(data, "test")
    users[0] = 0
    parts = [RecentPopularity(half_life_days=3.0), UserHistory(half_life_days=2.0)]
    scores = WeightedSum(parts, [0.7, -0.4]).fit(data).score(users, times)
    counts = parts[0].fit(data).score(users, times)
    own = parts[1].fit(data).comparable(users, times)
    for row, count, of_user in zip(scores, counts, own, strict=True):
        logs = np.array([math.log((0.1 + c) / 0.1) for c in count])
        expected = 0.7 * logs / max(logs.max(), 1e-30) - 0.4 * of_user
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_negative_scores_are_divided_by_their_distance_to_zero():
    data = random_log(2)
    negative = WeightedSum([Popularity()], [-0.5]).fit(data)
    scores = negative.score(np.array([1]))
    assert scores.max() <= 0
    comparable = negative.comparable(np.array([1]))
    np.testing.assert_allclose(comparable, scores / 0.5, rtol=1e-6)


def test_an_unknown_user_gets_the_order_of_popularity():
    data = random_log(2)
    parts = [Popularity(), UserHistory()]
    scores = WeightedSum(parts, [1, 5]).fit(data).score(np.array([0]))[0]
    counts = Popularity().fit(data).score(np.array([0]))[0]
    np.testing.assert_array_equal(np.argsort(scores), np.argsort(counts))


def test_a_sum_of_fitted_baselines_is_fitted():
    data = random_log(2)
    parts = [Popularity().fit(data), UserHistory().fit(data)]
    users = np.arange(3)
    np.testing.assert_array_equal(
        WeightedSum(parts, [1, 2]).score(users),
        WeightedSum([Popularity(), UserHistory()], [1, 2]).fit(data).score(users),
    )
    assert not WeightedSum([parts[0], UserHistory()], [1, 2]).is_fitted


def test_a_sum_is_time_aware_or_personal_if_a_part_is():
    assert not WeightedSum([Popularity()], [1]).reads_times
    assert WeightedSum([Popularity(), RecentPopularity()], [1, 1]).reads_times
    assert not WeightedSum([Popularity(), RecentPopularity()], [1, 1]).is_personal
    assert WeightedSum([Popularity(), UserHistory()], [1, 1]).is_personal


def test_the_name_has_weights_other_than_one():
    name = WeightedSum([Popularity(), RecentPopularity(1)], [1, 0.3]).name
    assert name == "popularity + 0.3 x (recent popularity, half-life 1 day)"


@pytest.mark.parametrize("weights", [[1], [1, math.nan], [1, math.inf]])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(ValueError, match="`weights` must"):
        WeightedSum([Popularity(), Popularity()], weights)


def test_a_sum_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        WeightedSum([], [])
