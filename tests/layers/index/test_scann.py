import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(400, 8)).astype("float32")
QUERIES = RNG.normal(size=(30, 8)).astype("float32")


def test_most_of_the_best_candidates_are_found():
    index = layers.ScaNN(
        k=10, num_leaves=20, num_leaves_to_search=8, num_reordering_candidates=60
    ).index(CANDIDATES)
    found = index(QUERIES)[1].numpy()
    exact = np.argsort(-QUERIES @ CANDIDATES.T)[:, :10]
    recall = np.mean([len({*a} & {*b}) / 10 for a, b in zip(found, exact, strict=True)])
    assert recall > 0.6  # its training differs from run to run


@pytest.mark.parametrize("with_ids", [True, False])
def test_places_that_the_partitions_cannot_fill_say_so(with_ids):
    ids = np.array([f"i{i}" for i in range(400)]) if with_ids else None
    index = layers.ScaNN(num_leaves=100, num_leaves_to_search=1).index(CANDIDATES, ids)
    scores, names = index(QUERIES, k=40)
    assert scores.shape == names.shape == (30, 40)
    missing = np.isneginf(scores)
    assert missing.any()
    assert not np.isnan(scores).any()
    np.testing.assert_array_equal(names == (b"" if with_ids else -1), missing)
    none = tf.zeros([30, 0], tf.string if with_ids else tf.int32)
    scores, _ = index.query_with_exclusions(QUERIES, none, k=40)
    assert np.isneginf(scores).sum() < missing.sum()  # more partitions were searched


def test_settings_of_the_search_can_be_changed_after_the_build():
    index = layers.ScaNN(
        k=9, num_leaves=20, num_leaves_to_search=1, num_reordering_candidates=9
    ).index(CANDIDATES)
    exact = np.argsort(-QUERIES @ CANDIDATES.T)[:, :9]
    assert (index(QUERIES)[1].numpy() != exact).any()
    index.num_leaves_to_search, index.num_reordering_candidates = 20, 400
    np.testing.assert_array_equal(index(QUERIES)[1], exact)
    assert index.get_config()["num_leaves_to_search"] == 20


def test_reordering_cannot_be_asked_of_an_index_without_exact_embeddings():
    index = layers.ScaNN()
    with pytest.raises(ValueError, match="`num_reordering_candidates` must be given"):
        index.num_reordering_candidates = 5


def names_of_searchers(function):
    """Names of the searchers that a graph and the functions it calls ask for."""
    if hasattr(function, "get_concrete_function"):
        function = function.get_concrete_function(tf.TensorSpec([None, 8]))
    library = function.graph.as_graph_def().library.function
    nodes = [node for called in library for node in called.node_def]
    found = [node for node in nodes if node.op == "Scann>TensorsToScann"]
    return {node.attr["shared_name"].s for node in found}


def test_graphs_share_one_searcher_and_those_of_a_saved_model_have_their_own(tmp_path):
    index = layers.ScaNN(k=4, num_leaves=5).index(CANDIDATES)
    names = set()
    for leaves in (1, 3, 5):
        index.num_leaves_to_search = leaves
        names |= names_of_searchers(tf.function(lambda queries: index(queries)))
    (name,) = names
    other = layers.ScaNN(k=4, num_leaves=5).index(CANDIDATES)
    assert names_of_searchers(tf.function(lambda queries: other(queries))) != {name}
    module = tf.Module()
    module.index = index
    specs = [tf.TensorSpec([None, 8])]
    module.ask = tf.function(lambda queries: index(queries)[1], input_signature=specs)
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    assert name not in names_of_searchers(loaded.signatures["serving_default"])
    np.testing.assert_array_equal(loaded.ask(QUERIES), index(QUERIES)[1])


def test_a_searcher_is_destroyed_when_nothing_can_ask_it():
    index = layers.ScaNN(k=4, num_leaves=5, num_leaves_to_search=5).index(CANDIDATES)
    ask = tf.function(lambda queries: index(queries))
    before = ask(QUERIES)[1].numpy()
    searcher = index._serialized_searcher
    variable = weakref.ref(searcher.dataset)
    handle = searcher.recreate_handle()

    def search():
        from scann.scann_ops.py import scann_ops

        return scann_ops.ScannSearcher(handle).search_batched(QUERIES)

    del searcher
    index.index(2 * CANDIDATES)
    gc.collect()
    search()  # the graph still has it
    np.testing.assert_array_equal(ask(QUERIES)[1], before)
    del ask
    gc.collect()
    assert variable() is None
    with pytest.raises(tf.errors.NotFoundError):
        search()
    handle = index._serialized_searcher.recreate_handle()
    index(QUERIES)
    index = None
    gc.collect()
    with pytest.raises(tf.errors.NotFoundError):
        search()


def test_a_single_query_may_be_a_vector():
    index = layers.ScaNN(k=4, num_leaves=1, num_leaves_to_search=1).index(CANDIDATES)
    np.testing.assert_array_equal(index(QUERIES[0])[1], index(QUERIES[:1])[1][0])


def test_a_trained_index_is_not_made_from_its_config():
    index = layers.ScaNN(num_leaves=5).index(CANDIDATES)
    with pytest.raises(ValueError, match=r"(?s)partitions are.*trained.*SavedModel"):
        layers.ScaNN.from_config(index.get_config())


def test_fewer_candidates_than_leaves_are_refused():
    with pytest.raises(ValueError, match="`num_leaves` must be at most .* 3. Got 100"):
        layers.ScaNN(k=1).index(CANDIDATES[:3])
