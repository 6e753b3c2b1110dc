"""Thousands of changes under readers, beside a sequential model of the index."""

import numpy as np
import pytest

from pipelines.benchmarks import live_stress
from pipelines.benchmarks.live_stress import SUBJECTS, Answer, Catalogue, Change


@pytest.mark.parametrize("subject", ["BruteForce, eager", "IVF of all blocks, eager"])
def test_each_answer_is_that_of_a_state_between_request_and_return(subject):
    changes = live_stress.schedule(1, 40, anew=30)
    answers, wrong = live_stress.stress(subject, changes, readers=2)
    assert not wrong
    assert len(answers) > 10
    assert any(answer.last > answer.first for answer in answers)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_long_schedule_under_four_readers(subject):
    changes = live_stress.schedule(2, 1_200, anew=150)
    answers, wrong = live_stress.stress(subject, changes, readers=4)
    assert not wrong
    assert len(answers) > 500


def test_the_sequential_model_knows_an_answer_of_two_states():
    """The check itself: a mixture of the states before and after is wrong."""
    rows = np.eye(4, dtype="float32")[:2]
    ids, kinds = np.array([1, 2]), np.array(["a", "a"])
    first = Change("index", ids, rows, kinds)
    second = Change("upsert", ids, rows[::-1], kinds)
    asked = {"queries": np.float32([[3, 1, 0, 0]]), "k": 2}
    answers = {
        "first": ([[3.0, 1.0]], [[1, 2]]),
        "second": ([[3.0, 1.0]], [[2, 1]]),
        "torn": ([[3.0, 3.0]], [[1, 2]]),
        "twice": ([[3.0, 1.0]], [[1, 1]]),
        "excluded": ([[3.0, -np.inf]], [[1, -1]]),
    }
    for name, found in answers.items():
        found = tuple(map(np.array, found))
        for last in (1, 2):
            answer = Answer(1, last, asked, found)
            wrong = live_stress.without_state([answer], [first, second], Catalogue())
            right = name == "first" or (name == "second" and last == 2)
            assert (not wrong) == right, name


def test_a_schedule_is_that_of_its_seed():
    one, same, other = (live_stress.schedule(s, 40, anew=9) for s in (1, 1, 2))
    assert [c.name for c in one] == [c.name for c in same] != [c.name for c in other]
    assert {c.name for c in one} >= {"index", "upsert", "remove", "update_columns"}
    assert any(c.is_refused for c in one)
