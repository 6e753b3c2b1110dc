import numpy as np
import pytest

from tests.baselines.logs import known_rows, random_log
from tfrs_models.baselines import EASE, ease


def binary(data):
    """Users and their items, one row at a time."""
    x = np.zeros((data.num_users + 1, data.num_items))
    for user, item, _, is_earlier in known_rows(data, "test"):
        x[user, item - 1] = is_earlier or x[user, item - 1]
    return x[1:]


def test_ease_minimises_its_ridge_loss_under_a_zero_diagonal():
    data = random_log(1, rows=120, users=25, items=6)
    x, weights = binary(data), EASE(regularization=5.0).fit(data).weights

    def loss(weights):
        return ((x - x @ weights) ** 2).sum() + 5.0 * (weights**2).sum()

    assert np.diag(weights) == pytest.approx(0)
    weights = weights.astype("float64")
    for row in range(len(weights)):
        for column in range(len(weights)):
            if row != column:
                for step in (-1e-3, 1e-3):
                    moved = weights.copy()
                    moved[row, column] += step
                    assert loss(moved) > loss(weights)


@pytest.mark.parametrize("regularization", [1e-3, 1.0, 300.0])
def test_weights_are_those_of_the_inverse(regularization):
    data = random_log(2, rows=300, users=40, items=30)
    baseline = EASE(regularization=regularization).fit(data)
    x = binary(data)[:, baseline.weighted_items]
    inverse = np.linalg.inv(x.T @ x + regularization * np.eye(x.shape[1]))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(baseline.weights, expected, atol=1e-4 * scale)


def test_large_matrices_are_mirrored_in_blocks(monkeypatch):
    monkeypatch.setattr(ease, "_BLOCK", 7)
    test_weights_are_those_of_the_inverse(10.0)


def test_only_the_most_frequent_items_have_weights_and_the_others_score_zero():
    data = random_log(4, rows=200, users=20, items=12)
    counts = np.zeros(data.num_items)
    for _, item, _, is_earlier in known_rows(data, "test"):
        counts[item - 1] += is_earlier
    baseline = EASE(regularization=2.0, max_items=4).fit(data)
    smallest = counts[baseline.weighted_items].min()
    others = np.setdiff1d(np.arange(data.num_items), baseline.weighted_items)
    assert len(baseline.weighted_items) == 4
    assert smallest >= counts[others].max()
    scores = baseline.score(np.arange(data.num_users + 1))
    assert not scores[:, others].any()
    assert scores[1:, baseline.weighted_items].any()
    assert "4 most frequent items" in baseline.name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"regularization": 0}, "`regularization` must be positive"),
        ({"regularization": np.nan}, "`regularization` must be positive"),
        ({"max_items": 0}, "`max_items` must be at least 1"),
    ],
)
def test_wrong_parameters_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        EASE(**options)
