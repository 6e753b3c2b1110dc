import numpy as np
import pytest

from tfrs_models.data import synthetic


@pytest.fixture(scope="module")
def planted():
    return synthetic.make_check_ins(
        3, num_users=9, trips_per_user=5, periods=(4, 6), num_hubs=7
    )


def test_the_planted_rounds_return_to_the_sight_of_their_period(planted):
    data = planted.check_ins
    pois = data.poi.reshape(-1, planted.trip_length)
    kinds = data.category.reshape(pois.shape)
    assert planted.trip_length == 13
    for trip, period in enumerate(planted.period):
        for step in range(planted.trip_length - 2):
            other = step % period
            if "sight" not in (kinds[trip, step], kinds[trip, other]):
                assert pois[trip, step] == pois[trip, other]
            assert (kinds[trip, step] == "home") == (
                other == 0 and kinds[trip, step] != "sight"
            )
        if planted.returns[trip]:
            assert pois[trip, -1] == pois[trip, period]
    names, place = np.unique(data.poi, return_inverse=True)
    number = np.char.replace(names, "place ", "").astype(int)
    near = planted.neighbourhood[number[place]].reshape(pois.shape)
    stays = ~planted.returns
    np.testing.assert_array_equal(near[stays, -1], near[stays, -2])
    assert (kinds[:, -1] == "sight").all()
    assert planted.returns.mean() == pytest.approx(0.6, abs=0.2)


def test_planted_trips_follow_each_other_and_one_seed_is_one_truth(planted):
    data = planted.check_ins
    times = data.timestamp.reshape(9, -1)
    assert (np.diff(times, axis=1) >= 0).all()
    again = synthetic.make_check_ins(
        3, num_users=9, trips_per_user=5, periods=(4, 6), num_hubs=7
    )
    np.testing.assert_array_equal(again.check_ins.poi, data.poi)
    np.testing.assert_array_equal(again.check_ins.timestamp, data.timestamp)
    other = synthetic.make_check_ins(
        4, num_users=9, trips_per_user=5, periods=(4, 6), num_hubs=7
    )
    assert (other.check_ins.poi != data.poi).any()
    assert (other.check_ins.timestamp != data.timestamp).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loyalty": 1.5}, r"`loyalty` must be in \[0, 1\]"),
        ({"periods": (4, 8)}, "none a multiple of another"),
        ({"periods": (1,)}, "`periods` must be 2 or more"),
        ({"num_hubs": 5}, "`num_hubs` must be from the longest period"),
    ],
)
def test_worlds_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        synthetic.make_check_ins(0, **options)
