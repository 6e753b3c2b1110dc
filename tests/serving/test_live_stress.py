"""A recommender that is asked by threads while it is updated."""

import pytest

from pipelines.benchmarks import live_stress_recommender


@pytest.mark.parametrize(
    ("updates", "anew", "readers"),
    [(30, 22, 2), pytest.param(800, 100, 4, marks=pytest.mark.slow)],
)
def test_each_answer_is_that_of_a_state_between_request_and_return(
    updates, anew, readers
):
    schedule = live_stress_recommender.schedule(1, updates, anew=anew)
    assert {update.name for update in schedule} >= {"index", "update_trends"}
    answers, wrong = live_stress_recommender.stress("", schedule, readers=readers)
    assert not wrong
    assert len(answers) > 20
