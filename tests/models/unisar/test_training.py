import numpy as np
import pytest

from tfrs_models.models.unisar.training import MacroMean


def test_groups_count_alike_and_those_without_rows_not_at_all():
    metric = MacroMean(3)
    assert metric.result() == 0
    metric.update_state([1.0, 0.0], 0)
    np.testing.assert_allclose(metric.result(), 0.5)
    for values in ([1.0], [], [0.0, 1.0, 1.0]):
        metric.update_state(np.array(values, "float32"), 2)
    np.testing.assert_allclose(metric.result(), (0.5 + 0.75) / 2)
    metric.reset_state()
    assert metric.result() == 0


def test_a_group_whose_values_are_all_zero_counts():
    metric = MacroMean(3)
    metric.update_state([0.0, 0.0], 0)
    metric.update_state([1.0], 1)
    np.testing.assert_allclose(metric.result(), 0.5)


def test_a_wrong_size_is_named():
    with pytest.raises(ValueError, match="`num_groups` must be at least 1. Got 0"):
        MacroMean(0)
