import math

import numpy as np
import pytest

from tests.baselines.logs import DAY, known_rows, queries, random_log
from tfrs_models.baselines import RecentPopularity


def oracle(rows, num_items, time, half_life_days):
    """The definition, a row at a time."""
    counts = np.zeros(num_items)
    for _, item, then, _ in rows:
        if then < time:
            counts[item - 1] += 0.5 ** ((time - then) / DAY / half_life_days)
    return counts


@pytest.mark.parametrize("half_life", [0.01, 0.7, 3.0, 500.0, math.inf])
@pytest.mark.parametrize("split", ["train", "validation", "test", "serving"])
def test_scores_are_decayed_counts_of_the_rows_before(half_life, split):
    data = random_log(2)
    users, times = queries(data, split)
    times = np.concatenate([times, times[:3] + 1, [0, 2 * times.max()]])
    users = np.resize(users, len(times))
    baseline = RecentPopularity(half_life_days=half_life).fit(data, split=split)
    rows = known_rows(data, split)
    expected = [oracle(rows, data.num_items, time, half_life) for time in times]
    scores = baseline.score(users, times)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-37)


def test_a_query_alone_has_the_score_that_it_has_among_others():
    data = random_log(3, rows=3000, days=400)
    baseline = RecentPopularity(half_life_days=0.5).fit(data)
    users, times = queries(data, "test")
    alone = [
        baseline.score(users[i : i + 1], times[i : i + 1])[0] for i in range(len(users))
    ]
    np.testing.assert_allclose(baseline.score(users, times), alone, rtol=1e-6)
    rows = known_rows(data, "test")
    expected = [oracle(rows, data.num_items, time, 0.5) for time in times[:20]]
    np.testing.assert_allclose(alone[:20], expected, rtol=1e-5, atol=1e-37)


def test_without_times_scores_are_those_at_the_newest_earlier_row():
    data = random_log(4)
    rows = [row for row in known_rows(data, "test") if row[3]]
    newest = max(time for _, _, time, _ in rows)
    inclusive = oracle(rows, data.num_items, newest + 1, 2.0)
    scores = RecentPopularity(half_life_days=2.0).fit(data).score(np.array([0, 1]))
    np.testing.assert_allclose(scores, [inclusive] * 2, rtol=1e-5)


def test_the_row_to_predict_does_not_count():
    data = random_log(5, split="leave_last_out")
    test = data.splits["test"]
    only = {name: column[:1] for name, column in test.items()}
    baseline = RecentPopularity(half_life_days=math.inf).fit(data)
    counts = baseline.score(only["user_id"], only["timestamp_us"])[0]
    earlier = sum(
        item == only["item_id"][0] and time < only["timestamp_us"][0]
        for _, item, time, _ in known_rows(data, "test")
    )
    assert counts[only["item_id"][0] - 1] == earlier


@pytest.mark.parametrize("half_life", [0, -1.0, math.nan])
def test_a_half_life_that_is_not_positive_is_refused(half_life):
    with pytest.raises(ValueError, match="`half_life_days` must be positive"):
        RecentPopularity(half_life_days=half_life)


def test_data_without_times_are_refused():
    data = random_log(1, timestamp_column=None, split="random")
    with pytest.raises(ValueError, match="`timestamp_column`, or use Popularity"):
        RecentPopularity().fit(data)


def test_names_have_the_half_life():
    assert RecentPopularity(1).name == "recent popularity, half-life 1 day"
    assert RecentPopularity(0.5).name == "recent popularity, half-life 0.5 days"
    assert RecentPopularity(math.inf).name == "popularity before the row's time"
