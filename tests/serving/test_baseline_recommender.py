import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.baselines import (
    EASE,
    ItemKNN,
    Popularity,
    RecentPopularity,
    UserHistory,
    WeightedSum,
)

BASELINES = {
    "sum": WeightedSum(
        [RecentPopularity(2.0), ItemKNN(half_life_items=2.0), UserHistory()],
        [1, 0.3, 0.2],
    ),
    "EASE": EASE(regularization=2.0, max_items=8),
    "popularity": Popularity(),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "user_id": [f"user {u}" for u in rng.integers(7, size=120)],
            "item_id": [f"item {i}" for i in (12 * rng.random(120) ** 2).astype(int)],
            "timestamp": 1_400_000_000 + rng.integers(10**6, size=120),
        }
    )
    return tm.data.from_frame(frame)


def answers(function, users, k, exclude_seen):
    found = function(
        user_id=tf.constant(users),
        k=tf.fill([len(users)], k),
        exclude_seen=tf.fill([len(users)], exclude_seen),
    )
    return found["item_id"].numpy().astype(str), found["score"].numpy()


def assert_best(fitted, data, items, scores, *, exclude_seen):
    """The answers are the items by descending score, without the excluded ones."""
    users = np.arange(data.num_users + 1)
    known = data.known_items("serving").to_list()
    ids = data.vocabularies["item_id"]
    for user, row, answered, values in zip(
        users, fitted.score(users), items, scores, strict=True
    ):
        left = set(range(data.num_items))
        if exclude_seen:
            left -= {item - 1 for item in known[user]}
        number = min(len(answered), len(left))
        best = np.sort(row[sorted(left)])[::-1][:number]
        np.testing.assert_allclose(values[:number], best, atol=1e-5)
        columns = [list(ids).index(item) for item in answered[:number]]
        assert set(columns) <= left
        np.testing.assert_allclose(row[columns], best, atol=1e-5)
        assert not any(answered[number:])


@pytest.mark.parametrize("name", BASELINES)
def test_a_saved_baseline_answers_with_what_it_scores_best(name, data, tmp_path):
    recommender = tm.serving.baseline_recommender(BASELINES[name], data)
    served = {"serving_default": recommender.recommend}
    path = tm.serving.export(recommender, tmp_path, signatures=served)
    loaded = tf.saved_model.load(str(path)).signatures["serving_default"]
    fitted = BASELINES[name].fit(data, split="serving")
    if name == "EASE":  # without a history: the most frequent items of all rows
        fitted = _WithPopularity(fitted, data)
    users = ["nobody", *data.vocabularies["user_id"]]
    for exclude_seen in (True, False):
        items, scores = answers(loaded, users, data.num_items, exclude_seen)
        assert_best(fitted, data, items, scores, exclude_seen=exclude_seen)


class _WithPopularity:
    def __init__(self, fitted, data):
        self._fitted, self._data = fitted, data

    def score(self, users):
        scores = self._fitted.score(users)
        items = np.concatenate([s["item_id"] for s in self._data.splits.values()])
        scores[0] = [np.mean(items == i + 1) for i in range(self._data.num_items)]
        return scores


@pytest.mark.parametrize(
    ("repeats", "expected"), [("allow", False), ("leave-out", True)]
)
def test_what_is_served_excludes_what_the_evaluation_excluded(repeats, expected):
    frame = pd.DataFrame({"user_id": list("aabbc"), "item_id": list("pqpqp")})
    data = tm.data.from_frame(frame.assign(timestamp=range(5)), repeats=repeats)
    recommender = tm.serving.baseline_recommender(tm.baselines.Popularity(), data)
    assert bool(recommender.exclude_seen) is expected


def test_what_is_served_can_be_filtered():
    frame = pd.DataFrame({"user_id": list("aabbc"), "item_id": list("pqpqp")})
    data = tm.data.from_frame(frame.assign(timestamp=range(5)))
    kinds = {"kind": np.array(["first", "second"])}
    recommender = tm.serving.baseline_recommender(
        tm.baselines.Popularity(), data, attributes=kinds
    )
    found = recommender.find(
        tf.constant(["a", "b", "nobody"]),
        2,
        tf.constant([False] * 3),
        filters={"kind": tf.constant([["first"], ["second"], [""]])},
    )
    assert [sorted(row) for row in found.items.numpy()] == [[0, 1], [0, 2], [1, 2]]
