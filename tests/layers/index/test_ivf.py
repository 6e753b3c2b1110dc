import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(30, 8))
LENGTHS = np.exp(0.3 * RNG.normal(size=(5000, 1)))
CANDIDATES = CENTRES[RNG.integers(30, size=5000)] + 0.5 * RNG.normal(size=(5000, 8))
CANDIDATES = (CANDIDATES * LENGTHS).astype("float32")
QUERIES = (CENTRES[:12] + 0.5 * RNG.normal(size=(12, 8))).astype("float32")


def recall(found, exact):
    return np.mean(
        [len({*a} & {*b}) / len(b) for a, b in zip(found, exact, strict=True)]
    )


def nearest(queries, candidates, k):
    return np.argsort(-queries @ candidates.T)[:, :k]


@pytest.fixture(scope="module")
def index():
    return layers.IVF(k=10, block_size=16).index(CANDIDATES)


@pytest.mark.parametrize("unit", [False, True])
def test_more_probes_find_more_and_all_probes_find_all(unit):
    candidates = CANDIDATES
    if unit:  # ordered by direction where all lengths are one
        candidates = candidates / np.linalg.norm(candidates, axis=1, keepdims=True)
    index = layers.IVF(k=10, block_size=16, num_probes=1).index(candidates)
    exact = nearest(QUERIES, candidates, 10)
    found = []
    for probes in (1, 8, 40, index.num_blocks):
        index.num_probes = probes
        found.append(recall(index(QUERIES)[1].numpy(), exact))
    assert found == sorted(found)
    assert found[1] > 0.6  # a fortieth of the blocks
    assert found[-1] == 1


def test_probes_that_were_set_stay_in_the_config(index):
    index.num_probes = 7
    assert index.get_config()["num_probes"] == 7
    index.num_probes = 32


def test_a_vector_is_a_single_query(index):
    scores, ids = index(QUERIES[0])
    expected = index(QUERIES[:1])
    np.testing.assert_array_equal(ids, expected[1][0])
    np.testing.assert_allclose(scores, expected[0][0], rtol=1e-6)


def test_the_same_seed_makes_the_same_index():
    first, second = (layers.IVF(k=5, num_probes=2).index(CANDIDATES) for _ in range(2))
    np.testing.assert_array_equal(first(QUERIES)[1], second(QUERIES)[1])


def test_cosine_ranks_by_direction():
    cosine = layers.IVF(distance_measure="cosine", num_probes=999).index(CANDIDATES)
    units = CANDIDATES / np.linalg.norm(CANDIDATES, axis=1, keepdims=True)
    products = QUERIES @ units.T / np.linalg.norm(QUERIES, axis=1, keepdims=True)
    scores, ids = cosine(QUERIES * 100)
    np.testing.assert_array_equal(ids, np.argsort(-products)[:, :10])
    np.testing.assert_allclose(scores, -np.sort(-products)[:, :10], rtol=1e-5)


def test_candidates_that_were_added_are_found_with_few_probes():
    index = layers.IVF(k=10, block_size=16, num_probes=32, capacity=6000)
    index.index(CANDIDATES[:4000])
    index.add(CANDIDATES[4000:], np.arange(4000, 5000))
    assert index.staleness == 0.2
    exact = nearest(QUERIES, CANDIDATES, 10)
    fresh = layers.IVF(k=10, block_size=16, num_probes=32).index(CANDIDATES)
    assert recall(index(QUERIES)[1].numpy(), exact) > 0.8
    assert recall(fresh(QUERIES)[1].numpy(), exact) > 0.8


def test_a_filter_that_few_pass_loses_little_recall():
    kinds = np.where(np.arange(5000) % 20 == 0, "rare", "common")
    index = layers.IVF(k=10, block_size=16, num_probes=32)
    index.index(CANDIDATES, attributes={"kind": kinds})
    _, ids = index(QUERIES, filters={"kind": tf.constant([["rare"]] * 12)})
    exact = 20 * nearest(QUERIES, CANDIDATES[::20], 10)
    assert recall(ids.numpy(), exact) > 0.9


def test_queries_are_answered_one_by_one_as_in_a_batch(index):
    together = index(QUERIES)[1]
    for row, query in enumerate(QUERIES):
        np.testing.assert_array_equal(index(query[None])[1][0], together[row])


@pytest.mark.parametrize("k", [10, tf.constant(10)])
def test_a_batch_without_queries_is_answered(index, k):
    ask = tf.function(
        lambda queries: index(queries, k=k), input_signature=[tf.TensorSpec([None, 8])]
    )
    scores, ids = ask(tf.zeros([0, 8]))
    assert scores.shape == ids.shape == (0, 10)


@pytest.mark.parametrize("k", [3, 700])
def test_k_may_be_a_tensor_and_beyond_the_probed_blocks(index, k):
    scores, ids = index(QUERIES, k=tf.constant(k))
    expected = index(QUERIES, k=k)
    assert ids.shape == (12, k)
    assert (np.diff(scores) <= 0).all()
    assert np.isfinite(scores).all()
    if k == 3:
        np.testing.assert_array_equal(ids, expected[1])


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_the_memory_is_told_before_building(kind):
    index = getattr(layers, kind)(capacity=5500)
    told = index.memory_estimate(5000, 8)
    index.index(CANDIDATES, np.arange(5000))
    weights = sum(np.prod(w.shape) * w.dtype.size for w in index.weights)
    assert told.index == pytest.approx(weights, rel=0.1)
    assert told.build > told.index + CANDIDATES.nbytes


@pytest.mark.parametrize("argument", ["num_probes", "block_size", "num_partitions"])
def test_sizes_must_be_positive(argument):
    with pytest.raises(ValueError, match=f"`{argument}` must be at least 1. Got 0"):
        layers.IVF(**{argument: 0})


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="`distance_measure` must be one of.*'l3'"):
        layers.IVF(distance_measure="l3")


def test_probes_must_be_positive_later_too(index):
    with pytest.raises(ValueError, match="`num_probes` must be at least 1. Got 0"):
        index.num_probes = 0


def test_upper_bounds_of_blocks_hold_for_very_long_embeddings():
    rows = np.random.default_rng(0).normal(size=(400, 3)).astype("float32")
    queries = np.random.default_rng(1).normal(size=(6, 3)).astype("float32")
    found = [
        layers.IVF(k=9, num_probes=2, block_size=32).index(scale * rows)(queries)[1]
        for scale in (1, 2.0**60)  # a power of two rounds nothing
    ]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("restriction", ["filters", "exclusions"])
def test_a_restricted_search_finds_as_much_as_a_plain_one(restriction):
    rng = np.random.default_rng(0)
    candidates = rng.normal(size=(2000, 16)).astype("float32")  # without any clusters
    queries = rng.normal(size=(60, 16)).astype("float32")
    rare = np.arange(2000) % 10 == 0
    index = layers.IVF(k=10, block_size=8, num_probes=24)
    index.index(candidates, attributes={"rare": rare})
    if restriction == "filters":
        ids = index(queries, filters={"rare": tf.constant([[True]] * 60)})[1]
    else:
        others = tf.constant([np.flatnonzero(~rare)] * 60)
        ids = index(queries, exclusions=others)[1]
    exact = 10 * nearest(queries, candidates[rare], 10)
    plain = recall(index(queries)[1].numpy(), nearest(queries, candidates, 10))
    assert 0.5 < plain < 1
    assert recall(ids.numpy(), exact) >= plain
