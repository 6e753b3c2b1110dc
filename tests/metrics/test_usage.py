import math

import numpy as np
import pytest

from tfrs_models.layers import MultiGateExperts
from tfrs_models.metrics import GateEntropy
from tfrs_models.metrics.usage import CohortEntropy, DeadCohorts


def value(metric, *batches):
    for batch in batches:
        metric.update_state(np.array(batch, "float32"))
    return float(metric.result())


def test_entropy_is_that_of_the_shares_over_all_batches():
    found = value(CohortEntropy(3), [[1, 0, 0], [0.5, 0.5, 0]], [[1, 0, 0]])
    expected = -(2.5 / 3 * math.log(2.5 / 3) + 0.5 / 3 * math.log(0.5 / 3))
    assert found == pytest.approx(expected / math.log(3), rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(np.eye(4), 1), (np.full([3, 4], 0.25), 1), (np.eye(4)[[2, 2]], 0)],
)
def test_entropy_is_one_for_equal_use_and_zero_for_a_single_cohort(rows, expected):
    assert value(CohortEntropy(4), rows) == pytest.approx(expected, abs=1e-6)
    assert value(CohortEntropy(1), np.ones([2, 1])) == 1


def test_dead_cohorts_are_those_without_a_member():
    assert value(DeadCohorts(4), np.eye(4)[[2, 2]], np.eye(4)[[0]]) == 0.5
    # Soft members belong where they belong more than on average.
    assert value(DeadCohorts(4), [[0.4, 0.3, 0.2, 0.1], [0.7, 0.1, 0.1, 0.1]]) == 0.5
    assert value(DeadCohorts(1), np.ones([2, 1])) == 0


@pytest.mark.parametrize("metric", [CohortEntropy(3), DeadCohorts(3)])
def test_a_reset_forgets_everybody(metric):
    before = float(metric.result())
    value(metric, np.eye(3)[[1]])
    metric.reset_state()
    assert float(metric.result()) == before


@pytest.mark.parametrize("cls", [CohortEntropy, DeadCohorts])
def test_no_cohorts_are_refused(cls):
    with pytest.raises(ValueError, match="`num_cohorts` must be at least 1. Got 0"):
        cls(0)


def test_gate_entropy_is_the_mean_over_all_rows_of_their_entropy():
    metric = GateEntropy()
    metric.update_state([[0.5, 0.25, 0.25], [1, 0, 0]])
    metric.update_state([[0.2, 0.2, 0.6]], sample_weight=[2.0])
    rows = [(1, [0.5, 0.25, 0.25]), (1, [1]), (2, [0.2, 0.2, 0.6])]
    total = sum(-w * sum(p * math.log(p) for p in row) for w, row in rows)
    expected = total / 4 / math.log(3)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_equal_weights_of_a_gate_have_all_of_it_and_a_choice_none():
    for rows, expected in ((np.full([2, 4], 0.25), 1), (np.eye(4), 0)):
        metric = GateEntropy()
        metric.update_state(rows)
        assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_gate_entropy_takes_a_tasks_gate():
    layer = MultiGateExperts(2, num_experts=3, units=[4])
    metric = GateEntropy()
    for weights in layer.gates(np.ones([5, 2], "float32")):
        metric.update_state(weights)
    assert 0 < float(metric.result()) <= 1


def test_a_single_expert_is_no_choice():
    with pytest.raises(ValueError, match="`weights` must be of two experts or more"):
        GateEntropy().update_state(np.ones([3, 1]))
