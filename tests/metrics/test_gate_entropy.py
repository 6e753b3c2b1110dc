import math

import numpy as np
import pytest

from tfrs_models.layers import MultiGateExperts
from tfrs_models.metrics import GateEntropy


def test_it_is_the_mean_over_all_rows_of_their_entropy():
    metric = GateEntropy()
    metric.update_state([[0.5, 0.25, 0.25], [1, 0, 0]])
    metric.update_state([[0.2, 0.2, 0.6]], sample_weight=[2.0])
    rows = [(1, [0.5, 0.25, 0.25]), (1, [1]), (2, [0.2, 0.2, 0.6])]
    total = sum(-w * sum(p * math.log(p) for p in row) for w, row in rows)
    expected = total / 4 / math.log(3)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_equal_weights_have_all_of_it_and_a_choice_none():
    for rows, expected in ((np.full([2, 4], 0.25), 1), (np.eye(4), 0)):
        metric = GateEntropy()
        metric.update_state(rows)
        assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_it_takes_a_tasks_gate():
    layer = MultiGateExperts(2, num_experts=3, units=[4])
    metric = GateEntropy()
    for weights in layer.gates(np.ones([5, 2], "float32")):
        metric.update_state(weights)
    assert 0 < float(metric.result()) <= 1


def test_a_single_expert_is_no_choice():
    with pytest.raises(ValueError, match="`weights` must be of two experts or more"):
        GateEntropy().update_state(np.ones([3, 1]))
