import math

import numpy as np
import pytest

from tests.baselines.logs import DAY, known_rows, random_log
from tfrs_models.baselines import EASE, ItemKNN


def histories(data, split, *, items=math.inf, days=math.inf, floor=0.0):
    """The weights of each user's items, by the definition."""
    newest = {}
    for user, item, time, is_earlier in known_rows(data, split):
        if is_earlier and user:
            newest.setdefault(user, {})
            newest[user][item] = max(time, newest[user].get(item, 0))
    weights = np.zeros((data.num_users + 1, data.num_items))
    for user, times in newest.items():
        for item, time in times.items():
            weight = 1.0
            if math.isfinite(items):
                age = sum(other > time for other in times.values())
                weight = 0.5 ** (age / items) + floor
            if math.isfinite(days):
                age = (max(times.values()) - time) / DAY
                weight = 0.5 ** (age / days) + floor
            weights[user, item - 1] = weight
    return weights


def without_ties(seed):
    """Rows of 40 days, no two at one time."""
    data = random_log(seed, rows=80, newcomers=3, split="global_time")
    step = 0
    for columns in data.splits.values():
        for row in range(len(columns["timestamp_us"])):
            columns["timestamp_us"][row] += step
            step += 1
    return data


@pytest.mark.parametrize("split", ["validation", "test", "serving"])
@pytest.mark.parametrize(
    "recency",
    [{}, {"items": 1.7}, {"items": 3.0, "floor": 0.2}, {"days": 4.0, "floor": 0.1}],
)
def test_items_weigh_by_their_age_in_the_history(recency, split):
    data = without_ties(4)
    names = {"items": "half_life_items", "days": "half_life_days", "floor": "floor"}
    options = {names[key]: value for key, value in recency.items()}
    expected = histories(data, split, **recency)
    for baseline in (
        ItemKNN(**options).fit(data, split=split),
        ItemKNN().fit(data, split=split).with_history(**options),
    ):
        np.testing.assert_allclose(baseline.history.toarray(), expected, rtol=1e-5)


def test_scores_are_the_history_times_the_weights_and_unknown_users_have_none():
    data = without_ties(5)
    users = np.array([0, 3, 1, 3])
    for baseline in (
        ItemKNN(half_life_items=2.0).fit(data),
        EASE(regularization=2.0).fit(data),
    ):
        weights = np.zeros((data.num_items, data.num_items))
        columns = baseline.weighted_items
        part = baseline.weights
        part = part if isinstance(part, np.ndarray) else part.toarray()
        weights[np.ix_(columns, columns)] = part
        scores = baseline.score(users)
        assert scores.dtype == np.float32
        expected = baseline.history.toarray()[users] @ weights
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        assert not scores[0].any()
        assert scores[1].any()


def test_times_are_needed_for_recency_only():
    data = random_log(1, timestamp_column=None, split="random")
    assert not ItemKNN().reads_times
    assert ItemKNN().fit(data).score(np.array([1])).any()
    with pytest.raises(ValueError, match="`data` must have timestamps"):
        ItemKNN(half_life_items=2.0).fit(data)


@pytest.mark.parametrize("kind", [ItemKNN, EASE])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"half_life_items": 0}, "`half_life_items` must be positive"),
        ({"half_life_days": -1}, "`half_life_days` must be positive"),
        ({"half_life_items": math.nan}, "`half_life_items` must be positive"),
        ({"half_life_items": 1, "half_life_days": 1}, "leave one infinite"),
        ({"floor": -0.1}, "`floor` must be"),
    ],
)
def test_wrong_weights_of_histories_are_refused(kind, options, words):
    with pytest.raises(ValueError, match=words):
        kind(**options)


def test_names_have_the_parameters():
    assert ItemKNN().name == "item-kNN, 100 neighbours, shrinkage 10"
    with_floor = EASE(regularization=30, half_life_days=2, floor=0.1)
    assert with_floor.name == "EASE, regularization 30, half-life 2 days + 0.1"
