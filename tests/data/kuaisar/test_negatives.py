import numpy as np
import pytest

from tfrs_models.data.kuaisar.negatives import Events, first_meetings, sample_negatives

RNG = np.random.default_rng(8)
USERS, ITEMS, ROWS = 7, 40, 300
USER = RNG.integers(USERS, size=ROWS)
MET = Events(
    USER,
    1 + (ITEMS * RNG.random(ROWS) ** 2).astype(int),
    RNG.integers(50, size=ROWS),
    np.where(RNG.random(ROWS) < 0.5, 1 + 3 * USER + RNG.integers(3, size=ROWS), 0),
)


def drawn(num_negatives, moment=MET.moment, pool=MET.item, seed=0):
    return sample_negatives(
        MET._replace(moment=moment),
        num_negatives,
        pool=pool,
        met=first_meetings(MET, ITEMS + 1),
        rng=np.random.default_rng(seed),
    )


def test_negatives_are_distinct_and_were_not_clicked_before_nor_with_the_positive():
    found = drawn(6)
    events, at_once = [*zip(*MET, strict=True)], 0
    for (user, item, moment, session), negatives in zip(
        events, found.tolist(), strict=True
    ):
        before = {i for u, i, t, _ in events if u == user and t < moment}
        beside = {i for _, i, _, s in events if s == session > 0}
        assert len(set(negatives)) == 6
        assert not set(negatives) & (before | beside | {item})
        at_once += len(
            {i for u, i, t, _ in events if u == user and t == moment} & set(negatives)
        )
    assert at_once > 0


def test_what_is_met_later_may_be_drawn_unless_the_moment_is_the_end_of_time():
    def num_met(found):
        pairs = set(zip(MET.user.tolist(), MET.item.tolist(), strict=True))
        return sum(
            (u, i) in pairs for u, row in zip(MET.user, found, strict=True) for i in row
        )

    assert num_met(drawn(4).tolist()) > 0
    assert num_met(drawn(4, moment=np.full(ROWS, 10**15)).tolist()) == 0


def test_items_are_drawn_as_often_as_they_are_in_the_pool():
    pool = np.repeat([1, 2, 3], [6, 3, 1])
    zeros = np.zeros(3000, int)
    samples = Events(np.arange(3000), np.full(3000, 4), zeros, zeros)
    nobody = samples._replace(user=zeros - 1)
    found = sample_negatives(
        samples,
        1,
        pool=pool,
        met=first_meetings(nobody, 5),
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
    assert not (found == MET.item[:, None]).any()


def test_more_negatives_than_there_are_items_are_refused():
    with pytest.raises(ValueError, match="`num_negatives` of 40 is too many"):
        drawn(40)
