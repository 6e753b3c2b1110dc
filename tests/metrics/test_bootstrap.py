import numpy as np
import pytest

from tfrs_models.metrics import bootstrap_interval


def test_the_interval_is_that_of_a_mean_of_independent_values():
    values = np.random.default_rng(1).normal(loc=3, scale=2, size=2000)
    mean, low, high = bootstrap_interval(values, num_samples=4000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert mean == pytest.approx(values.mean())
    np.testing.assert_allclose([low, high], [mean - half, mean + half], atol=0.01)


def test_rows_of_one_user_are_no_independent_evidence():
    users = np.repeat(np.arange(50), 40)
    values = np.random.default_rng(2).normal(size=50)[users]
    by_row = bootstrap_interval(values)
    by_user = bootstrap_interval(values, users)
    ratio = (by_user.high - by_user.low) / (by_row.high - by_row.low)
    assert ratio == pytest.approx(np.sqrt(40), rel=0.2)


def test_users_with_more_rows_weigh_more():
    users = np.array([1] * 30 + [2])
    interval = bootstrap_interval(np.array([1.0] * 30 + [0.0]), users)
    assert interval.mean == pytest.approx(30 / 31)
    assert interval.low == 0  # both draws may be the second user
    assert interval.high <= 1


def test_a_resampled_mean_divides_by_the_rows_that_were_drawn():
    """Whole users of unequal numbers of rows are drawn; a loop does the same."""
    rng = np.random.default_rng(4)
    users = np.repeat([7, 3, 9, 1, 4], [1, 40, 3, 12, 2])
    values = rng.random(len(users)) + (users == 3) * 0.5
    names = np.unique(users)
    draws = np.random.default_rng(5)
    means = []
    for _ in range(300):
        times = draws.multinomial(len(names), np.full(len(names), 1 / len(names)))
        rows = [
            value
            for name, number in zip(names, times, strict=True)
            for value in np.repeat(values[users == name], number)
        ]
        means.append(np.mean(rows))
    found = bootstrap_interval(values, users, num_samples=300, seed=5)
    assert found[1:] == pytest.approx(np.quantile(means, [0.025, 0.975]))
    assert found.high <= max(values[users == name].mean() for name in names)


def test_the_seed_decides():
    values = np.arange(20.0)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_nothing_has_no_mean():
    assert np.isnan(bootstrap_interval(np.array([]))).all()


def test_a_confidence_outside_0_and_1_is_refused():
    with pytest.raises(ValueError, match=r"`confidence`.*Got 95"):
        bootstrap_interval(np.arange(3.0), confidence=95)
