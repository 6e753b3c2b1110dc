import sys

import numpy as np
import pandas as pd
import pytest

from tests.baselines.logs import random_log
from tfrs_models.baselines import ALS, choose
from tfrs_models.data import from_frame


@pytest.mark.parametrize("weighting", ["bm25:0.5", "alpha:3"])
def test_a_users_own_group_of_items_scores_higher(weighting):
    pytest.importorskip("implicit")
    group = np.kron(np.eye(2), np.ones((20, 10)))
    rng = np.random.default_rng(0)
    user, item = np.nonzero(group * (rng.random(group.shape) < 0.6))
    frame = pd.DataFrame({"user_id": user, "item_id": item})
    data = from_frame(frame, split="random", test_fraction=0.05)
    baseline = ALS(weighting=weighting, factors=4).fit(data)
    scores = baseline.score(np.arange(data.num_users + 1))
    group_of = [
        ids.astype(int) >= n
        for ids, n in zip(
            (data.vocabularies["user_id"], data.vocabularies["item_id"]),
            (20, 10),
            strict=True,
        )
    ]
    same = group_of[0][:, None] == group_of[1]
    assert scores[1:][same].mean() > scores[1:][~same].mean() + 0.2
    assert not scores[0].any()  # the unknown user
    users, items = baseline.embeddings
    np.testing.assert_allclose(scores, users @ items.T, rtol=1e-6)


def test_the_seed_decides():
    pytest.importorskip("implicit")
    data = random_log(1)
    first, second, third = (
        ALS(factors=2, seed=seed).fit(data).score(np.array([1])) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).max() > 1e-6


def test_without_implicit_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit.als", None)
    data = random_log(1)
    with pytest.raises(ImportError, match=r"pip install \"tfrs-models\[baselines\]\""):
        ALS().fit(data)
    (choice,) = choose(data, names=["als"])
    assert choice.note == "the package `implicit` is not installed"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weighting": "bm25"}, "`weighting` must be"),
        ({"weighting": "tfidf:1"}, "`weighting` must be"),
        ({"factors": 0}, "must be at least 1"),
        ({"regularization": -1}, "must not be negative"),
    ],
)
def test_wrong_parameters_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        ALS(**options)
