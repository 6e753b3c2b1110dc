import numpy as np
import pytest

from tfrs_models.metrics import bootstrap_interval, group_intervals


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(12)
    users = rng.integers(0, 60, 400)
    groups = np.array(["de", "fr", "it", "mt"])[np.digitize(users, [30, 50, 57])]
    return rng.random(400) + (groups == "fr"), groups, users


def test_each_group_has_the_interval_of_its_own_rows(rows):
    values, groups, users = rows
    found = group_intervals(values, groups, users, smallest=5, num_samples=50)
    assert list(found) == ["de", "fr", "it", "1 smaller group"]
    for name, group in found.items():
        own = groups == ("mt" if name == "1 smaller group" else name)
        assert group.rows == own.sum()
        assert group.users == len(set(users[own].tolist()))
        expected = bootstrap_interval(values[own], users[own], num_samples=50)
        assert group[2:] == pytest.approx(expected)


def test_every_row_is_in_one_group(rows):
    values, groups, users = rows
    for smallest in (1, 10, 1000):
        found = group_intervals(values, groups, users, smallest=smallest, num_samples=5)
        assert sum(group.rows for group in found.values()) == 400
        total = sum(group.rows * group.mean for group in found.values())
        assert total == pytest.approx(values.sum())
    assert list(found) == ["4 smaller groups"]


def test_users_without_a_group_are_one_group():
    groups = np.array(["a", None, "", float("nan")], object)
    found = group_intervals(np.arange(4.0), groups, smallest=1)
    assert {name: group.rows for name, group in found.items()} == {"unknown": 3, "a": 1}
    assert found["unknown"].mean == 2


def test_a_user_with_many_rows_is_one_user():
    found = group_intervals(np.ones(9), ["a"] * 9, [7] * 9, smallest=2)
    assert found["1 smaller group"].users == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"values": [1.0, np.nan]}, "Got 1 that are not"),
        ({"groups": ["a"]}, r"\(2,\), \(1,\) and \(2,\)"),
        ({"users": [1]}, r"\(2,\), \(2,\) and \(1,\)"),
        ({"smallest": 0}, "`smallest`"),
    ],
)
def test_rows_that_do_not_fit_are_refused(arguments, words):
    inputs = {"values": [1.0, 2.0], "groups": ["a", "b"]} | arguments
    with pytest.raises(ValueError, match=words):
        group_intervals(**inputs)
