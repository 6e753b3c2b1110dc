"""Transitions between items against loops."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import tfrs_models as tm

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "user_id": RNG.choice(list("abcd"), 60),
        "item_id": RNG.choice(list("pqrstu"), 60),
        "timestamp": RNG.permutation(60),
    }
)


@pytest.fixture(scope="module")
def data():
    return tm.data.from_frame(FRAME)


def oracle(data, splits, steps, shrinkage):
    size = data.num_items + 1
    counts = np.zeros((size, size))
    for user in range(1, data.num_users + 1):
        sequence = sorted(
            (time, item)
            for split in splits
            for time, item, owner in zip(
                *(data.splits[split][n] for n in ("timestamp", "item_id", "user_id")),
                strict=True,
            )
            if owner == user
        )
        for a, (_, item) in enumerate(sequence):
            for step, (_, later) in enumerate(sequence[a + 1 : a + 1 + steps], 1):
                counts[item, later] += 1 / step
    return counts / (counts.sum(axis=1, keepdims=True) + shrinkage)


@pytest.mark.parametrize(
    ("split", "splits"),
    [("validation", ["train"]), ("serving", ["train", "validation", "test"])],
)
def test_they_are_shares_of_what_follows(data, split, splits):
    found = tm.baselines.transitions(data, split=split, steps=2, shrinkage=1.5)
    expected = oracle(data, splits, 2, 1.5)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-6)


def test_later_splits_do_not_count(data):
    """The same rows before the split, whatever comes after it."""
    changed = {k: v.copy() for k, v in data.splits["test"].items()}
    changed["item_id"][:] = 1
    other = dataclasses.replace(data, splits=data.splits | {"test": changed})
    found = (tm.baselines.transitions(d, split="test").toarray() for d in (data, other))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tomorrow"}, "`split` must be one of"),
        ({"steps": 0}, "`steps` must be at least 1"),
        ({"shrinkage": -1.0}, "`shrinkage` must be finite"),
    ],
)
def test_wrong_arguments_are_refused(data, options, message):
    with pytest.raises(ValueError, match=message):
        tm.baselines.transitions(data, **options)
