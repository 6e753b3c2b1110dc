import numpy as np
import pytest
import tensorflow as tf

from tests.click_searches import golden_extractor, item_set, pairs_of
from tests.golden_cases import assert_close, cases
from tfrs_models.data.clickstream import FineTuningInput, ItemSet
from tfrs_models.layers import FeaturesExtractor
from tfrs_models.metrics import DistanceShift, distance_shift
from tfrs_models.models import FineTuningModel
from tfrs_models.ops.clickstream.packing import pack_pairs


@cases("distance_shift")
def test_golden_shifts(case):
    inputs = case["inputs"]
    items = item_set(inputs)
    batch = pack_pairs(pairs_of(inputs), items)
    found = distance_shift(batch, golden_extractor(inputs), items.features)
    for name, value in case["expected"].items():
        assert_close(found[name], value)


@pytest.mark.parametrize("is_similarity", [True, False])
@pytest.mark.parametrize("irrelevant", [True, False])
def test_a_shift_is_a_mean_of_means_and_above_zero_where_it_is_better(
    is_similarity, irrelevant
):
    old, new = [[0.1, 0.5], [], [0.2]], [[0.3, 0.4], [], [0.8]]
    metric = DistanceShift(irrelevant=irrelevant, is_similarity=is_similarity)
    for start in (0, 1):
        rows = slice(start, start + 1 if start == 0 else None)
        metric.update_state(
            *(
                tf.ragged.constant(v[rows], ragged_rank=1, dtype=tf.float32)
                for v in (old, new)
            )
        )
    sign = (1 if is_similarity else -1) * (-1 if irrelevant else 1)
    assert float(metric.result()) == pytest.approx(sign * (0.05 + 0.6) / 2)


def test_a_shift_starts_anew_after_a_reset():
    metric = DistanceShift()
    assert float(metric.result()) == 0
    metric.update_state([[0.0]], [[0.5]])
    metric.reset_state()
    assert float(metric.result()) == 0
    metric.update_state([[0.1, 0.3]], [[0.4, 0.4]])
    assert float(metric.result()) == pytest.approx(0.2)


def test_a_distance_that_falls_is_a_shift_above_zero():
    search = FineTuningInput([1.0, 0.0], ["a"], ["a", "b"], {"a": 2.0, "b": 2.0})
    other = FineTuningInput([1.0, 0.0], [], ["b"], {"b": 1.5})
    vectors = np.array([[1.0, 1.0], [1.0, 3.0]], "float32")  # 1 and 3 away
    batch = pack_pairs([(search, other)], ItemSet(["a", "b"], vectors))
    extractor = FeaturesExtractor(
        tf.keras.layers.Activation("linear"), ranker="euclidean", is_similarity=False
    )
    for model in (extractor, FineTuningModel(extractor)):
        found = distance_shift(batch, model, vectors)
        assert float(found["not_irrelevant_dist_shift"]) == pytest.approx(1.0)
        assert float(found["irrelevant_dist_shift"]) == pytest.approx(1.5)
