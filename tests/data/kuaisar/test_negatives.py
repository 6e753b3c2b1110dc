import numpy as np
import pytest

from tfrs_models.data.kuaisar.negatives import first_meetings, sample_negatives

RNG = np.random.default_rng(8)
USERS, ITEMS, ROWS = 7, 40, 300
MET = (
    RNG.integers(USERS, size=ROWS),
    1 + (ITEMS * RNG.random(ROWS) ** 2).astype(int),
    RNG.integers(50, size=ROWS),
)


def drawn(num_negatives, time=MET[2], pool=MET[1], seed=0):
    return sample_negatives(
        MET[0],
        MET[1],
        time,
        num_negatives,
        pool=pool,
        met=first_meetings(*MET, ITEMS + 1),
        rng=np.random.default_rng(seed),
    )


def test_negatives_are_distinct_and_neither_the_positive_nor_met_before():
    found = drawn(6)
    rows = zip(*MET, found.tolist(), strict=True)
    for user, item, time, negatives in rows:
        met = {i for u, i, t in zip(*MET, strict=True) if u == user and t < time}
        assert len(set(negatives)) == 6
        assert not set(negatives) & (met | {item})


def test_what_is_met_later_may_be_drawn_unless_the_time_is_the_end_of_time():
    def num_met(found):
        pairs = set(zip(MET[0].tolist(), MET[1].tolist(), strict=True))
        return sum(
            (u, i) in pairs for u, row in zip(MET[0], found, strict=True) for i in row
        )

    assert num_met(drawn(4).tolist()) > 0
    assert num_met(drawn(4, time=np.full(ROWS, 10**15)).tolist()) == 0


def test_items_are_drawn_as_often_as_they_are_in_the_pool():
    pool = np.repeat([1, 2, 3], [6, 3, 1])
    user, item = np.arange(3000), np.full(3000, 4)
    nothing = (np.zeros(1, int) - 1, np.ones(1, int), np.zeros(1, int))
    found = sample_negatives(
        user,
        item,
        item,
        1,
        pool=pool,
        met=first_meetings(*nothing, 5),
        rng=np.random.default_rng(0),
    )
    shares = np.bincount(found.ravel(), minlength=4)[1:] / 3000
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.03)


def test_a_seed_decides_and_blocks_do_not_matter(monkeypatch):
    np.testing.assert_array_equal(drawn(4), drawn(4))
    assert (drawn(4) != drawn(4, seed=1)).any()
    monkeypatch.setattr("tfrs_models.data.kuaisar.negatives._BLOCK", 40)
    found = drawn(4)
    assert found.shape == (ROWS, 4)
    assert not (found == MET[1][:, None]).any()


def test_more_negatives_than_there_are_items_are_refused():
    with pytest.raises(ValueError, match="`num_negatives` of 40 is too many"):
        drawn(40)
