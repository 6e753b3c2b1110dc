"""What scripts written for upstream's metric do with it."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models import layers, metrics

upstream = tfrs.layers.factorized_top_k
RNG = np.random.default_rng(0)
CORPUS = RNG.normal(size=(30, 3)).astype("float32")
QUERIES = RNG.normal(size=(8, 3)).astype("float32")
IDS = np.array([f"m{i}" for i in [*range(24), 4, 7, 4, 9, 7, 4]])  # three repeat
POSITIVES = np.array(["m4", "m7", "m9", "m0", "m4", "m23", "none", "m7"])
KS = (1, 2, 5, 12)


def dataset(values, ids=None):
    values = values if ids is None else (ids, values)
    return tf.data.Dataset.from_tensor_slices(values).batch(7)


def accuracies(metric):
    return [float(m.result()) for m in metric.metrics]


def among_the_first(k, excluded=()):
    """Share of queries one of whose positive's copies is among the first `k`."""
    hits = 0
    for query, positive in zip(QUERIES, POSITIVES, strict=True):
        order = IDS[np.argsort(-CORPUS @ query)]
        order = [i for i in order if i not in excluded]  # the positive's copies too
        hits += positive in order[:k]
    return hits / len(QUERIES)


SOURCES = {
    "dataset": lambda: dataset(CORPUS, IDS),
    "BruteForce": lambda: layers.BruteForce().index(CORPUS, IDS),
    "upstream's BruteForce": lambda: upstream.BruteForce().index(
        tf.constant(CORPUS), tf.constant(IDS)
    ),
    "Streaming": lambda: layers.Streaming().index_from_dataset(dataset(CORPUS, IDS)),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("excluded", [(), ("m4", "m2", "m9")])
def test_repeated_ids_are_counted_once_and_rank_by_their_best_copy(source, excluded):
    with pytest.warns(UserWarning, match=r"3 of 24 ids repeat, 'm4'.*unique") as told:
        metric = metrics.FactorizedTopK(SOURCES[source](), ks=KS)
    assert len(told) == 1
    exclude = tf.ragged.constant([excluded] * 8) if excluded else None
    for rows in (slice(5), slice(5, 8)):
        metric.update_state(
            QUERIES[rows],
            QUERIES[rows],
            tf.constant(POSITIVES[rows]),
            exclude=exclude if exclude is None else exclude[rows],
        )
    expected = [among_the_first(k, excluded) for k in KS]
    np.testing.assert_allclose(accuracies(metric), expected)
    if not excluded:
        theirs = tfrs.metrics.FactorizedTopK(dataset(CORPUS, IDS), ks=KS)
        theirs.update_state(QUERIES, QUERIES, tf.constant(POSITIVES))
        np.testing.assert_allclose(accuracies(theirs), expected)


def test_copies_of_queries_with_several_heads():
    heads = np.stack([QUERIES, -QUERIES], axis=1)
    with pytest.warns(UserWarning, match="ids repeat"):
        metric = metrics.FactorizedTopK(dataset(CORPUS, IDS), ks=[3])
    metric.update_state(heads, QUERIES, tf.constant(POSITIVES))
    hits = 0
    for query, positive in zip(QUERIES, POSITIVES, strict=True):
        hits += positive in IDS[np.argsort(-np.abs(CORPUS @ query))][:3]
    assert accuracies(metric) == [hits / 8]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.filterwarnings("ignore:.*should be unique")
def test_repeated_ids_can_be_refused_before_anything_is_ranked(source):
    with pytest.raises(ValueError, match=r"must be unique.*3 of 24 ids repeat, 'm4'"):
        metrics.FactorizedTopK(SOURCES[source](), duplicates="error")


def test_candidates_without_an_end_are_refused():
    with pytest.raises(ValueError, match=r"`candidates` must end.*repeat"):
        metrics.FactorizedTopK(dataset(CORPUS, IDS).repeat())


def test_candidates_of_a_tower_that_is_not_ready_are_looked_at_later():
    ready = tf.Variable(0.0)
    names = tf.data.Dataset.from_tensor_slices(["m0", "m0"]).batch(2)
    checked = names.map(
        lambda n: (n, tf.debugging.check_numerics(tf.ones([2, 3]) / ready, "not yet"))
    )
    metric = metrics.FactorizedTopK(checked)
    ready.assign(1.0)
    metric.update_state(QUERIES[:2], QUERIES[:2], tf.constant(["m0", "m0"]))
    assert accuracies(metric) == [1.0] * 5


class Squares(upstream.TopK):
    """A class of somebody's own, on upstream's interface."""

    def index(self, candidates, identifiers=None):
        self._rows, self._names = candidates, identifiers
        return self

    def call(self, queries, k=None):
        products = tf.matmul(queries, self._rows, transpose_b=True)
        scores, places = tf.math.top_k(products, k=k or self._k)
        return scores, tf.gather(self._names, places)

    def is_exact(self):
        return True


def distances(base):
    class Distances(base):
        def _compute_score(self, queries, candidates):
            gaps = queries[:, None] - candidates[None]
            return -tf.reduce_sum(tf.square(gaps), axis=2)

    return Distances


@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize("base", [layers.BruteForce, upstream.BruteForce])
def test_an_index_with_scores_of_its_own_is_asked(base, by_id):
    ids = np.arange(30)
    index = distances(base)().index(tf.constant(CORPUS), tf.constant(ids))
    metric = metrics.FactorizedTopK(index, ks=[1, 4])
    gaps = np.square(QUERIES[:, None] - CORPUS[None]).sum(axis=2)
    positives = np.argsort(gaps)[np.arange(8), [0, 9, 2, 3, 0, 5, 4, 1]]
    metric.update_state(
        QUERIES, CORPUS[positives], tf.constant(positives) if by_id else None
    )
    assert accuracies(metric) == [2 / 8, 5 / 8]


@pytest.mark.parametrize("by_id", [True, False])
def test_a_class_on_upstreams_interface_is_asked_as_upstream_asks_it(by_id):
    index = Squares(k=5).index(tf.constant(CORPUS), tf.range(30))
    ours = metrics.FactorizedTopK(index, ks=[1, 4])
    theirs = tfrs.metrics.FactorizedTopK(index, ks=[1, 4])
    ids = tf.argsort(-QUERIES @ CORPUS.T)[:, 2]
    for metric in (ours, theirs):
        metric.update_state(
            QUERIES, tf.gather(CORPUS + 1e-3, ids), ids if by_id else None
        )
    assert accuracies(ours) == accuracies(theirs)
    assert accuracies(ours)[1] > accuracies(ours)[0]


def test_what_needs_ranks_says_which_index_has_none():
    index = distances(layers.BruteForce)().index(CORPUS)
    with pytest.raises(ValueError, match=r"`metrics` need exact ranks.*\(Distances\)"):
        metrics.FactorizedTopK(index, metrics=["mrr"])


def test_a_subclass_may_bring_its_candidates_later_and_ask_them_itself():
    class Later(metrics.FactorizedTopK):
        def update_state(self, query, _, true_candidate_ids=None):
            _, found = self._candidates(query, k=max(self._ks))
            for k, metric in zip(self._ks, self._top_k_metrics, strict=True):
                hit = tf.equal(true_candidate_ids[:, None], found[:, :k])
                metric.update_state(tf.reduce_any(hit, axis=1))

    rank = np.argsort(-QUERIES @ CORPUS.T)
    expected = [0.0, 1.0]
    for candidates in (dataset(CORPUS), layers.BruteForce().index(CORPUS)):
        for base in (Later, metrics.FactorizedTopK):
            metric = base(candidates=None, ks=[1, 3])
            metric._candidates = candidates
            metric.update_state(QUERIES, QUERIES, tf.constant(rank[:, 2]))
            assert accuracies(metric) == expected


def test_without_candidates_the_first_update_says_what_is_missing():
    metric = metrics.FactorizedTopK(candidates=None)
    with pytest.raises(ValueError, match="`candidates` was None"):
        metric.update_state(QUERIES, QUERIES)


def test_metrics_of_old_scripts_are_further_places():
    old = tf.keras.metrics.TopKCategoricalAccuracy(k=3, name="top_3")
    metric = metrics.FactorizedTopK(dataset(CORPUS), ks=[1], metrics=[old, "mrr"])
    rank = np.argsort(-QUERIES @ CORPUS.T)
    metric.update_state(QUERIES, QUERIES, tf.constant(rank[:, 2]))
    values = {m.name: float(m.result()) for m in metric.metrics}
    assert values["top_3"] == 1.0
    assert values["factorized_top_k/mrr"] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match=r"must be names.*AUC.*batch_metrics"):
        metrics.FactorizedTopK(dataset(CORPUS), metrics=[tf.keras.metrics.AUC()])
