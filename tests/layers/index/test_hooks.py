"""Methods that upstream's indexes call on themselves, overridden by a subclass."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models import layers

upstream = tfrs.layers.factorized_top_k
RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(70, 3)).astype("float32")
QUERIES = RNG.normal(size=(4, 3)).astype("float32")
DISTANCES = np.square(QUERIES[:, None] - CANDIDATES[None]).sum(axis=2)
OURS = [layers.BruteForce, layers.Streaming]


def batches(values=CANDIDATES):
    return tf.data.Dataset.from_tensor_slices(values).batch(9)


def nearest(base):
    class Nearest(base):
        def _compute_score(self, queries, candidates):
            gaps = queries[:, None] - candidates[None]
            return -tf.reduce_sum(tf.square(gaps), axis=2)

    return Nearest


@pytest.mark.parametrize("base", OURS)
def test_an_own_score_ranks(base):
    index = nearest(base)(k=5).index_from_dataset(batches())
    order = np.argsort(DISTANCES)
    scores, ids = index(QUERIES)
    np.testing.assert_array_equal(ids, order[:, :5])
    np.testing.assert_allclose(scores, -np.sort(DISTANCES)[:, :5], rtol=1e-4)
    _, ids = index.query_with_exclusions(QUERIES, order[:, [0, 2]].astype("int32"))
    np.testing.assert_array_equal(ids, np.delete(order, [0, 2], axis=1)[:, :5])


def test_an_own_score_ranks_what_is_allowed_and_what_is_like_an_item():
    index = nearest(layers.BruteForce)().index(CANDIDATES)
    allowed = np.array([[5, 50, 9, 9]] * 4)
    _, ids = index(QUERIES, k=3, allowed=allowed)
    expected = np.array([5, 9, 50])[np.argsort(DISTANCES[:, [5, 9, 50]])]
    np.testing.assert_array_equal(ids, expected)
    gaps = np.square(CANDIDATES - CANDIDATES[8]).sum(axis=1)
    _, ids = index.similar(tf.constant([8]), k=4)
    np.testing.assert_array_equal(ids[0], np.argsort(gaps)[1:5])


def test_an_own_score_sees_no_free_slot():
    class Centred(layers.BruteForce):
        def _compute_score(self, queries, candidates):
            candidates -= tf.reduce_mean(candidates, axis=0)
            return tf.matmul(queries, candidates, transpose_b=True)

    index = Centred(k=2, capacity=100).index(CANDIDATES)
    index.remove([7])
    left = np.delete(CANDIDATES, 7, axis=0)
    expected = np.sort(QUERIES @ (left - left.mean(axis=0)).T)[:, :-3:-1]
    np.testing.assert_allclose(index(QUERIES)[0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("base", "options"), [(layers.IVF, {}), (layers.ScaNN, {"num_leaves": 1})]
)
def test_an_own_score_that_could_not_be_honoured_is_refused(base, options):
    with pytest.raises(ValueError, match=r"`Nearest._compute_score` would never be"):
        nearest(base)(**options)


@pytest.mark.parametrize("base", OURS)
@pytest.mark.parametrize("ragged", [True, False])
def test_a_call_of_upstreams_signature_answers_with_exclusions(base, ragged):
    class Halved(base):
        def call(self, queries, k=None):
            scores, ids = super().call(queries, k=k)
            return scores / 2, ids

    index = Halved(k=4).index_from_dataset(batches())
    products = QUERIES @ CANDIDATES.T
    best = np.argsort(-products)
    exclusions = best[:, [1, 3]].astype("int32")
    if ragged:
        exclusions = tf.RaggedTensor.from_tensor(exclusions)
    scores, ids = index.query_with_exclusions(QUERIES, exclusions)
    expected = np.delete(best, [1, 3], axis=1)[:, :4]
    np.testing.assert_array_equal(ids, expected)
    halves = np.take_along_axis(products, expected, axis=1) / 2
    np.testing.assert_allclose(scores, halves, rtol=1e-5)


def test_more_exclusions_than_candidates_leave_blanks_under_an_own_call():
    class Own(layers.BruteForce):
        def call(self, queries, k=None):
            return super().call(queries, k=k)

    index = Own(k=2).index(CANDIDATES[:3])
    scores, ids = index.query_with_exclusions(QUERIES[:1], tf.constant([[0, 1, 5, 6]]))
    np.testing.assert_array_equal(ids, [[2, -1]])
    assert np.isneginf(scores[0, 1])


@pytest.mark.parametrize("base", [layers.BruteForce, layers.ScaNN, layers.IVF])
def test_candidates_of_a_dataset_pass_through_an_own_index(base):
    class Reversed(base):
        def index(self, candidates, identifiers=None):
            return super().index(-candidates, identifiers)

    options = {"num_leaves": 1, "num_reordering_candidates": 70}
    index = Reversed(k=3, **options if base is layers.ScaNN else {})
    index.index_from_dataset(batches())
    expected = np.argsort(QUERIES @ CANDIDATES.T)[:, 0]
    np.testing.assert_array_equal(index(QUERIES)[1][:, 0], expected)


def test_a_call_of_its_own_finds_candidates_and_ids_where_upstream_has_them():
    def subclass(base):
        class Own(base):
            def call(self, queries, k=None):
                scores = self._compute_score(queries, self._candidates)
                scores, places = tf.math.top_k(scores, k=k or self._k)
                return scores, tf.gather(self._identifiers, places)

        return Own(k=5).index(tf.constant(CANDIDATES), tf.range(70) + 100)

    ours, theirs = subclass(layers.BruteForce), subclass(upstream.BruteForce)
    for one, other in zip(ours(QUERIES), theirs(QUERIES), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_an_index_and_a_call_of_its_own_need_nothing_of_ours():
    class Own(layers.BruteForce):
        def index(self, candidates, identifiers=None):
            self._candidates, self._identifiers = candidates, identifiers
            return self

        def call(self, queries, k=None):
            scores = tf.matmul(queries, self._candidates, transpose_b=True)
            scores, places = tf.math.top_k(scores, k=k or self._k)
            return scores, tf.gather(self._identifiers, places)

    index = Own(k=1).index(tf.constant(CANDIDATES), tf.range(70) + 100)
    expected = 100 + np.argmax(QUERIES @ CANDIDATES.T, axis=1)
    np.testing.assert_array_equal(index(QUERIES)[1][:, 0], expected)


def test_an_own_score_ranks_what_passes_a_filter():
    odd = np.arange(70) % 2 == 1
    index = nearest(layers.BruteForce)(k=4, capacity=100)
    index.index(CANDIDATES, attributes={"odd": odd})
    index.remove([69])
    _, ids = index(QUERIES, filters={"odd": [[True]] * 4})
    distances = np.where(odd & (np.arange(70) != 69), DISTANCES, np.inf)
    np.testing.assert_array_equal(ids, np.argsort(distances)[:, :4])
