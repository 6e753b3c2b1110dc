import itertools

import numpy as np
import pytest

from tfrs_models.metrics import grouped_auc


def oracle(labels, scores, groups):
    found = {}
    for group in sorted(set(groups)):
        own = [
            (y, s) for y, s, g in zip(labels, scores, groups, strict=True) if g == group
        ]
        pairs = [
            (a > b) + (a == b) / 2
            for (y, a), (z, b) in itertools.product(own, own)
            if y == 1 and z == 0
        ]
        if pairs:
            found[group] = sum(pairs) / len(pairs)
    return found


@pytest.mark.parametrize("num_values", [2, 5, 1000])  # of scores: many ties and none
def test_it_is_the_share_of_pairs_in_order_in_every_group(num_values):
    rng = np.random.default_rng(num_values)
    groups = rng.integers(3, 15, size=120) * 7
    labels = rng.integers(2, size=120)
    scores = rng.integers(num_values, size=120) / 10 - 3
    labels[groups == 21] = 1  # a group of one kind has none
    names, values = grouped_auc(labels, scores, groups)
    expected = oracle(labels, scores, groups)
    assert names.tolist() == list(expected)
    np.testing.assert_allclose(values, list(expected.values()))


def test_no_rows_have_no_groups():
    none = np.zeros(0)
    names, values = grouped_auc(none, none, none.astype(int))
    assert names.tolist() == values.tolist() == []


def test_groups_without_both_kinds_have_none():
    names, values = grouped_auc(
        np.array([1, 0]), np.array([0.2, 0.1]), np.array([4, 5])
    )
    assert names.tolist() == values.tolist() == []
