import numpy as np
import pytest

from tests.click_searches import (
    ITEMS,
    OBJECTS,
    VECTORS,
    assert_features,
    extractor_of,
    golden_extractor,
    golden_search,
    item_set,
    pairs_of,
    random_search,
)
from tests.golden_cases import assert_close, cases
from tfrs_models.data.clickstream import (
    FineTuningInput,
    ItemSet,
    calculate_ranks,
    click_batches,
    extract_batch_features,
    extract_features,
    fill_ranks,
)
from tfrs_models.metrics import distance_shift
from tfrs_models.ops.clickstream.packing import pack_pairs


@cases("extract_features")
def test_golden_features_of_one_search(case):
    inputs = case["inputs"]
    found = extract_features(
        golden_search(inputs),
        item_set(inputs),
        golden_extractor(inputs),
        selected_not_events=inputs["selected_not_events"],
    )
    assert_features(found, case["expected"])


@cases("extract_batch_features")
def test_golden_features_of_a_batch(case):
    inputs = case["inputs"]
    extractor = golden_extractor(inputs)
    found = extract_batch_features(pairs_of(inputs), item_set(inputs), extractor)
    assert_features(found, case["expected"])


@cases("calculate_ranks")
def test_golden_ranks(case):
    inputs = case["inputs"]
    found = calculate_ranks(
        golden_search(inputs), item_set(inputs), golden_extractor(inputs)
    )
    assert found.keys() == case["expected"].keys()
    for name, rank in case["expected"].items():
        assert_close(found[name], rank)


def test_ranks_that_are_missing_are_asked_for_by_name_and_filled():
    rng = np.random.default_rng(1)
    found = random_search(rng)
    ranks = dict.fromkeys(found.results)
    missing = FineTuningInput(
        found.query, found.events, found.results, ranks, part_to_object=OBJECTS
    )
    items = ItemSet(ITEMS, VECTORS)
    extractor = extractor_of([np.eye(3), np.eye(3)], confidence_calculator="windowed")
    with pytest.raises(
        ValueError, match="The rank of result .* is not known.*fill_ranks"
    ):
        extractor.forward([(missing, None)], items)
    with pytest.raises(ValueError, match="is not known"):
        click_batches([(missing, None)], items, 1)
    kept, filled = fill_ranks([found, missing], items, extractor, batch_size=1)
    assert kept is found
    assert filled.ranks == pytest.approx(calculate_ranks(found, items, extractor))
    shift = distance_shift(pack_pairs([(filled, None)], items), extractor, VECTORS)
    assert float(shift["not_irrelevant_dist_shift"]) == pytest.approx(0, abs=1e-6)
