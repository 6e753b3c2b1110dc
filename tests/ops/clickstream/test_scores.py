import numpy as np
import pytest
import tensorflow as tf

from tests.golden_cases import assert_close, cases
from tfrs_models.data import clickstream
from tfrs_models.ops.clickstream.scores import euclidean_rank


@cases("aggregate_ranks")
def test_golden_aggregates(case):
    assert_close(
        clickstream.aggregate_ranks(**case["inputs"]), case["expected"]["value"]
    )


def test_an_unknown_aggregator_is_named():
    with pytest.raises(ValueError, match="`mode` must be one of .*Got 'sum'"):
        clickstream.aggregate_ranks([1.0], "sum")
    with pytest.raises(ValueError, match="`mode` must be 'max' or 'min'"):
        clickstream.differentiable_extreme([1.0], 3.0, "mean")


@cases("aggregate_clicks")
def test_golden_clicks(case):
    found = clickstream.aggregate_clicks(**case["inputs"])
    assert found == case["expected"]["clicks"]


@cases("differentiable_extreme")
def test_golden_soft_extremes(case):
    found = clickstream.differentiable_extreme(**case["inputs"])
    assert_close(found, case["expected"]["value"])


@cases("soft_indicator")
def test_golden_soft_indicators(case):
    found = clickstream.soft_indicator(**case["inputs"])
    assert_close(found, case["expected"]["weights"])


@cases("differentiable_mean_small_values")
def test_golden_means_of_small_values(case):
    found = clickstream.differentiable_mean_small_values(**case["inputs"])
    assert_close(found, case["expected"]["value"])


@cases("cosine_rank")
def test_golden_cosines(case):
    assert_close(clickstream.cosine_rank(**case["inputs"]), case["expected"]["ranks"])


@pytest.mark.parametrize("rank", [clickstream.cosine_rank, euclidean_rank])
def test_vectors_of_zeros_have_a_gradient_that_is_finite(rank):
    query, items = tf.zeros([1, 3]), tf.zeros([2, 3])
    with tf.GradientTape() as tape:
        tape.watch([query, items])
        value = rank(query, items)
    for slope in tape.gradient(value, [query, items]):
        assert np.isfinite(slope).all()
