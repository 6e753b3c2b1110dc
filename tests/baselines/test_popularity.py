import numpy as np
import pytest

from tests.baselines.logs import known_rows, random_log
from tfrs_models.baselines import Popularity


@pytest.mark.parametrize("split", ["validation", "test", "serving"])
def test_scores_are_counts_of_the_earlier_rows(split):
    data = random_log(1)
    expected = np.zeros(data.num_items)
    for _, item, _, is_earlier in known_rows(data, split):
        expected[item - 1] += is_earlier
    scores = Popularity().fit(data, split=split).score(np.array([0, 2]))
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, [expected, expected])


def test_data_without_times_have_a_popularity():
    data = random_log(1, timestamp_column=None, split="random")
    assert Popularity().fit(data).score(np.array([1])).sum() > 0


def test_a_baseline_that_is_not_fitted_is_refused():
    with pytest.raises(ValueError, match="must be fitted first"):
        Popularity().score(np.array([1]))


def test_an_unknown_split_and_a_split_without_rows_before_it_are_refused():
    data = random_log(1, timestamp_column=None, split="random")
    with pytest.raises(ValueError, match="`split` must be one of"):
        Popularity().fit(data, split="tomorrow")
    with pytest.raises(ValueError, match="must have rows before it"):
        Popularity().fit(data, split="train")


@pytest.mark.parametrize("users", [[-1], [100], [[1, 2]]])
def test_users_that_do_not_exist_are_refused(users):
    baseline = Popularity().fit(random_log(1))
    with pytest.raises(ValueError, match="`users` must be a vector of rows"):
        baseline.score(np.array(users))


def test_a_time_for_each_user_is_required():
    baseline = Popularity().fit(random_log(1))
    with pytest.raises(ValueError, match="one time for each"):
        baseline.score(np.array([1, 2]), np.array([1]))
