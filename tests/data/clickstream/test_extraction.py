import numpy as np
import pytest
import tensorflow as tf

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
from tfrs_models.layers import FeaturesExtractor
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


def test_towers_get_the_queries_that_a_function_makes_of_ids():
    rng = np.random.default_rng(1)
    vectors = {f"u{n}": rng.normal(size=3).astype("float32") for n in range(5)}
    shown = dict.fromkeys(ITEMS[:4])
    by_name, by_vector = (
        [FineTuningInput(query, [], list(shown), shown) for query in queries]
        for queries in (vectors, vectors.values())
    )
    items, extractor = ItemSet(ITEMS, VECTORS), extractor_of([np.eye(3), np.eye(3)])
    sizes = []

    def query_features(names):
        sizes.append(len(names))
        return np.stack([vectors[name] for name in names])

    filled = fill_ranks(
        by_name, items, extractor, query_features=query_features, batch_size=2
    )
    assert sizes == [2, 2, 1]
    for search, expected in zip(
        filled, fill_ranks(by_vector, items, extractor), strict=True
    ):
        assert search.ranks == pytest.approx(expected.ranks)
        found = calculate_ranks(search, items, extractor, query_features=query_features)
        assert found == pytest.approx(expected.ranks)


def test_an_item_of_several_rows_has_the_score_of_its_first():
    items = ItemSet(["a", "b", "a"], np.array([[1, 0], [1, 1], [0, 1]], "float32"))
    shown = {"b": None, "a": None}
    search = FineTuningInput(np.array([1.0, 0.0]), [], list(shown), shown)
    found = calculate_ranks(search, items, extractor_of([np.eye(2), np.eye(2)]))
    assert found == pytest.approx({"b": 0.5**0.5, "a": 1.0})
    assert list(found) == ["b", "a"]


def test_scores_are_those_of_evaluation_whatever_a_tower_does_in_training():
    items = ItemSet(ITEMS, VECTORS)
    search = random_search(np.random.default_rng(2))
    noisy, plain = (
        FeaturesExtractor(tf.keras.layers.Dropout(rate)) for rate in (0.5, 0.0)
    )
    assert calculate_ranks(search, items, noisy) == calculate_ranks(
        search, items, plain
    )


def test_a_batch_is_extracted_as_evaluation():
    items, rng = ItemSet(ITEMS, VECTORS), np.random.default_rng(2)
    pairs = [(random_search(rng), None) for _ in range(4)]
    extractor = extractor_of([np.eye(3), np.eye(3)], max_abs_difference_threshold=9.0)
    found = extract_batch_features(pairs, items, extractor)
    one_by_one = [extract_features(s, items, extractor).target for s, _ in pairs]
    assert len(found.target) == sum(map(len, one_by_one))
