import pytest
import tensorflow as tf

from tests.click_searches import golden_extractor, item_set, pairs_of
from tests.golden_cases import assert_close, cases
from tfrs_models.metrics import DistanceShift, distance_shift
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
