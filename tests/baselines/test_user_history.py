import math

import numpy as np
import pytest

from tests.baselines.logs import DAY, known_rows, queries, random_log
from tfrs_models.baselines import UserHistory


def pairs(rows, num_items, user, time, half_life):
    """(own decayed count, number of rows of all users) of each item before a time."""
    own, common = np.zeros(num_items), np.zeros(num_items)
    for owner, item, then, _ in rows:
        if then < time:
            common[item - 1] += 1
            if owner == user > 0:
                own[item - 1] += 0.5 ** ((time - then) / DAY / half_life)
    return [(np.float32(o), c) for o, c in zip(own, common, strict=True)]


@pytest.mark.parametrize("half_life", [0.3, 5.0, math.inf])
@pytest.mark.parametrize("split", ["validation", "test", "serving"])
def test_own_items_come_by_decayed_count_and_popularity_breaks_ties(half_life, split):
    data = random_log(2, rows=90, newcomers=3, split="global_time")
    users, times = queries(data, split)
    users, times = np.append(users, [0, 1]), np.append(times, [times.max()] * 2)
    baseline = UserHistory(half_life_days=half_life).fit(data, split=split)
    scores = baseline.score(users, times)
    for user, time, row in zip(users, times, scores, strict=True):
        known = pairs(known_rows(data, split), data.num_items, user, time, half_life)
        for i, first in enumerate(known):
            assert (row[i] >= 1) == (first[0] > 0)
            for j, second in enumerate(known):
                assert (row[i] > row[j]) == (first > second), (i, j)


def test_the_scale_of_sums_is_the_own_count_alone():
    data = random_log(2, rows=90)
    users, times = queries(data, "test")
    scores = UserHistory(half_life_days=3.0).fit(data).comparable(users, times)
    for user, time, row in zip(users, times, scores, strict=True):
        known = pairs(known_rows(data, "test"), data.num_items, user, time, 3.0)
        own = np.array([count for count, _ in known])
        np.testing.assert_allclose(row, own / max(own.max(), 1e-30), atol=1e-6)


def test_without_times_only_rows_of_earlier_splits_count():
    data = random_log(6, items=50, split="leave_last_out")
    users = np.arange(data.num_users + 1)
    scores = UserHistory(half_life_days=math.inf).fit(data).score(users)
    for user, row in enumerate(scores):
        had = {item for u, item, _, e in known_rows(data, "test") if e and u == user}
        had = had if user else set()
        assert {i + 1 for i in np.flatnonzero(row >= 1)} == had


@pytest.mark.parametrize("half_life", [0, -2.0, math.nan])
def test_a_half_life_that_is_not_positive_is_refused(half_life):
    with pytest.raises(ValueError, match="`half_life_days` must be positive"):
        UserHistory(half_life_days=half_life)
