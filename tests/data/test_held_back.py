"""Training rows that are held back for a ranker."""

import numpy as np
import pandas as pd
import pytest

import tfrs_models as tm

RNG = np.random.default_rng(0)
COUNTS = {"a": 30, "b": 8, "c": 3, "d": 4, "e": 1}


@pytest.fixture(scope="module")
def data():
    rows = [
        (user, f"i{item}", 1000 * (1 + len(user)) + RNG.integers(10**5))
        for user, count in COUNTS.items()
        for item in RNG.choice(40, count, replace=False)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    return tm.data.from_frame(frame.sample(frac=1, random_state=1))


def rows(data, split):
    columns = data.splits[split]
    names = ("user_id", "item_id", "timestamp", "tie_order")
    return list(zip(*(columns[n] for n in names if n in columns), strict=True))


def test_the_newest_rows_of_each_user_are_held_back_and_no_row_is_lost(data):
    earlier = tm.data.with_held_back(data, fraction=0.2, most=4)
    assert sorted(rows(earlier, "train") + rows(earlier, "validation")) == sorted(
        rows(data, "train")
    )
    assert rows(earlier, "test") == rows(data, "validation")
    number = {}
    for user in range(1, data.num_users + 1):
        old = [r[2:] for r in rows(earlier, "train") if r[0] == user]
        new = [r[2:] for r in rows(earlier, "validation") if r[0] == user]
        assert not new or max(old) <= min(new)
        number[data.vocabularies["user_id"][user - 1]] = len(new)
    # 28, 6, 1, 2 and 1 rows in train
    assert number == {"a": 4, "b": 1, "c": 0, "d": 1, "e": 0}


def test_no_test_row_is_among_them(data):
    earlier = tm.data.with_held_back(data)
    seen = {row for split in earlier.splits for row in rows(earlier, split)}
    assert not seen & set(rows(data, "test"))


def test_shares_are_those_of_the_earlier_rows(data):
    earlier = tm.data.with_held_back(data, fraction=0.3)
    counts = np.bincount(
        earlier.splits["train"]["item_id"], minlength=data.num_items + 1
    )
    shares = earlier.candidate_probabilities
    np.testing.assert_allclose(shares, counts / counts.sum(), rtol=1e-6)


def test_earlier_items_are_those_before_the_row_in_time(data):
    for split in ("train", "validation", "test"):
        found = tm.data.earlier_items(data, split).numpy()
        for (user, _, time, *_), items in zip(rows(data, split), found, strict=True):
            before = sorted(
                (row[2:], row[1])
                for part in ("train", "validation", "test")
                for row in rows(data, part)
                if row[0] == user and row[2] < time
            )
            assert items.tolist() == [item for _, item in before]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fraction": 1.0}, "`fraction` must be between 0 and 1"),
        ({"most": 0}, "`most` must be at least 1"),
    ],
)
def test_wrong_numbers_are_refused(data, options, message):
    with pytest.raises(ValueError, match=message):
        tm.data.with_held_back(data, **options)


def test_users_with_one_training_row_have_none_to_hold_back():
    frame = pd.DataFrame({"user_id": list("ab"), "item_id": list("pq")})
    frame = frame.assign(timestamp=[1, 2])
    data = tm.data.from_frame(pd.concat([frame, frame.assign(timestamp=[3, 4])]))
    with pytest.raises(ValueError, match="a user with two training rows"):
        tm.data.with_held_back(data)
