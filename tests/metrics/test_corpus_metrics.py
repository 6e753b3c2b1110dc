import pytest

from tfrs_models.metrics.corpus_metrics import Coverage


def test_coverage_is_the_share_of_candidates_that_anybody_saw():
    coverage = Coverage()
    assert float(coverage.result()) == 0
    coverage.update_state([[0, 3], [3, 0]], 8)
    assert float(coverage.result()) == pytest.approx(2 / 8)
    coverage.update_state([[3, 7]], 8)
    assert float(coverage.result()) == pytest.approx(3 / 8)
    coverage.reset_state()
    assert float(coverage.result()) == 0
    coverage.update_state([1], 2)  # another corpus
    assert float(coverage.result()) == pytest.approx(1 / 2)
