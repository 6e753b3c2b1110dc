import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrs_models.data.summary import audit

ROWS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 5),
        st.integers(0, 6).map(lambda t: t * 1800),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=40,
)


def oracle(rows):
    """Every definition as loops over (user, item, time, split)."""
    test = [(i, r) for i, r in enumerate(rows) if r[3] == 2]
    train = [r for r in rows if r[3] == 0]
    before = {}
    for i, (user, _, time, _) in test:
        earlier = [
            (t, j)
            for j, (u, _, t, _) in enumerate(rows)
            if u == user and (t, j) < (time, i)
        ]
        if earlier:
            before[i] = time - max(earlier)[0]
    cold_user = [r for _, r in test if r[0] not in {t[0] for t in train}]
    cold_item = [r for _, r in test if r[1] not in {t[1] for t in train}]
    return {
        "test_rows": len(test),
        "others_future_rows": sum(
            any(t[0] != r[0] and t[2] > r[2] for t in train) for _, r in test
        ),
        "own_future_rows": sum(
            any(r[0] == t[0] and t[2] > r[2] for _, r in test) for t in train
        ),
        "repeated_rows": sum(
            any(o[:2] == r[:2] and o[3] < r[3] for o in rows) for r in rows
        ),
        "tied_rows": sum(gap == 0 for gap in before.values()),
        "followed_rows": len(before),
        "long_gap_rows": sum(gap > 3600 for gap in before.values()),
        "cold_users": len({r[0] for r in cold_user}),
        "cold_user_rows": len(cold_user),
        "cold_items": len({r[1] for r in cold_item}),
        "cold_item_rows": len(cold_item),
    }


@given(ROWS)
def test_the_audit_counts_what_its_definitions_say(rows):
    user, item, timestamp, split = np.array(rows, np.int64).T
    found = audit(user, item, timestamp, split.astype(np.int8))
    assert dataclasses.asdict(found) == oracle(rows)


def test_without_timestamps_the_counts_of_time_are_unknown():
    found = audit(np.array([0, 0]), np.array([1, 1]), None, np.array([0, 2], np.int8))
    assert found.tied_rows is found.own_future_rows is found.others_future_rows is None
    assert found.repeated_rows == 1
    assert "no timestamps" in str(found)


@pytest.mark.parametrize(
    ("rows", "warning"),
    [
        ([(0, 0, 1, 0), (1, 0, 9, 2)], "almost only new users"),
        ([(0, 0, 5, 0), (0, 1, 3, 2)], "future of their own"),
        ([(0, 0, 1, 0), (1, 0, 9, 0), (0, 1, 3, 2)], "other users' futures"),
        ([(0, 0, 1, 0), (1, 0, 2, 0), (0, 1, 3, 2)], None),
    ],
)
def test_a_reader_is_warned_of_what_bends_the_metrics(rows, warning):
    user, item, timestamp, split = np.array(rows).T
    found = audit(user, item, timestamp, split)
    if warning is None:
        assert found.warnings == ()
    else:
        assert len(found.warnings) == 1
        assert warning in found.warnings[0]
        assert warning in str(found)


@pytest.mark.parametrize("ticks", [1, 10**6])
def test_exactly_an_hour_continues_the_session(ticks):
    user, item = np.zeros(4, int), np.arange(4)
    seconds = np.array([0, 3600, 7200 + 1, 7200 + 1 + 3600])
    found = audit(
        user, item, seconds * ticks, np.array([0, 2, 2, 2]), ticks_per_second=ticks
    )
    assert (found.followed_rows, found.long_gap_rows) == (3, 1)


def test_shares_that_warn_are_above_their_bounds():
    """Half of the rows of cold users, and a hundredth before others' futures."""
    user, item = np.array([0, 0, 1]), np.zeros(3, int)
    half = audit(user, item, np.array([1, 8, 9]), np.array([0, 2, 2]))
    assert half.cold_user_rows == 1
    assert half.warnings == ()
    for others, num_warnings in ((1, 0), (2, 1)):
        future = np.r_[0, np.full(others, 1), np.full(100 - others, 3)]
        found = audit(
            np.r_[1, 0, np.zeros(100, int)],
            np.zeros(102, int),
            np.r_[2, future],
            np.r_[0, 0, np.full(100, 2)],
        )
        assert found.others_future_rows == others
        assert len(found.warnings) == num_warnings
