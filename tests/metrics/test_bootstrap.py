import numpy as np
import pytest

from tfrs_models.metrics import bootstrap_interval, bootstrap_intervals


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


def test_several_metrics_have_the_intervals_that_each_has_alone():
    rng = np.random.default_rng(4)
    users = rng.integers(9, size=40)
    values = {"a": rng.normal(size=40), "b": rng.random(40), "c": np.arange(40.0)}
    found = bootstrap_intervals(values, users, confidence=0.8, num_samples=50, seed=3)
    assert found.keys() == values.keys()
    for name, own in values.items():
        totals = np.array([own[users == user].sum() for user in range(9)])
        counts = np.array([(users == user).sum() for user in range(9)])
        draws = np.random.default_rng(3)
        means = []
        for _ in range(50):
            drawn = draws.multinomial(9, [1 / 9] * 9)
            means.append((drawn * totals).sum() / (drawn * counts).sum())
        expected = (own.mean(), *np.quantile(means, [0.1, 0.9]))
        np.testing.assert_allclose(found[name], expected)


def test_several_metrics_of_nothing_have_no_mean():
    found = bootstrap_intervals({"a": np.array([]), "b": np.array([])})
    assert np.isnan([*found["a"], *found["b"]]).all()
    assert bootstrap_intervals({}) == {}
