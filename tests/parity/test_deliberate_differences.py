"""Where we differ from TensorFlow Recommenders on purpose.

Every test asserts upstream's behaviour and ours: when upstream mends its own, the test
fails and the difference goes from the list.
"""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

import tfrs_models
from tfrs_models import layers, metrics, tasks

upstream = tfrs.layers.factorized_top_k


def dataset(embeddings, ids=None):
    values = embeddings if ids is None else (ids, embeddings)
    return tf.data.Dataset.from_tensor_slices(values).batch(32)


def top(metric):
    return [float(value) for value in metric.result()]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_a_constant_model_scores_at_chance():
    corpus, queries = np.ones([50, 4], "float32"), np.ones([8, 4], "float32")
    theirs, ours = (
        cls(dataset(corpus), ks=[1, 10])
        for cls in (tfrs.metrics.FactorizedTopK, metrics.FactorizedTopK)
    )
    theirs.update_state(queries, corpus[:8])
    ours.update_state(queries, corpus[:8])
    assert top(theirs) == [1.0, 1.0]
    assert top(ours) == pytest.approx([1 / 50, 10 / 50])


def test_a_positive_is_not_beaten_by_its_own_copy_through_rounding():
    corpus = normal(512, 64)
    corpus /= np.linalg.norm(corpus, axis=1, keepdims=True)
    theirs, ours = (
        cls(dataset(corpus), ks=[1])
        for cls in (tfrs.metrics.FactorizedTopK, metrics.FactorizedTopK)
    )
    theirs.update_state(corpus, corpus)  # everybody is their own nearest neighbour
    ours.update_state(corpus, corpus)
    assert top(theirs)[0] < 0.95
    assert top(ours) == [1.0]


def test_evaluate_reports_the_mean_of_the_epoch():
    def model(base):
        class Sum(base):
            def compute_loss(self, features, training=False):
                del training
                return tf.reduce_sum(features)

        made = Sum()
        made.compile()
        return made

    batches = tf.data.Dataset.from_tensor_slices([1.0, 2.0, 4.0, 8.0, 16.0]).batch(2)
    losses = [
        model(base).evaluate(batches, verbose=0, return_dict=True)["loss"]
        for base in (tfrs.Model, tfrs_models.Model)
    ]
    assert losses == pytest.approx([16.0, (3 + 12 + 16) / 3])


def test_setting_one_metric_keeps_it():
    for task, metric, kept in (
        (tfrs.tasks.Retrieval(), tfrs.metrics.FactorizedTopK(dataset(normal(5, 2))), 0),
        (tasks.Retrieval(), metrics.FactorizedTopK(dataset(normal(5, 2))), 1),
    ):
        task.factorized_metrics = metric
        assert len(task.factorized_metrics) == kept


def indexes(corpus, ids=None, **options):
    pairs = ((upstream.BruteForce, layers.BruteForce),
             (upstream.Streaming, layers.Streaming))  # fmt: skip
    for theirs, ours in pairs:
        yield tuple(
            cls(**options).index_from_dataset(dataset(corpus, ids))
            for cls in (theirs, ours)
        )


def test_an_excluded_candidate_stays_out_however_large_its_score():
    corpus, query = np.float32([[1e6], [2.0], [1.0]]), np.float32([[1.0]])
    for theirs, ours in indexes(corpus, k=1):
        exclusions = tf.constant([[0]])
        assert theirs.query_with_exclusions(query, exclusions)[1].numpy() == [[0]]
        assert ours.query_with_exclusions(query, exclusions)[1].numpy() == [[1]]


def test_exclusions_may_be_ragged():
    corpus = normal(9, 3)
    exclusions = tf.ragged.constant([[1, 2], []], dtype=tf.int32)
    for theirs, ours in indexes(corpus, k=2):
        with pytest.raises((TypeError, ValueError)):
            theirs.query_with_exclusions(normal(2, 3), exclusions)
        assert ours.query_with_exclusions(normal(2, 3), exclusions)[1].shape == (2, 2)


def test_more_exclusions_than_candidates_are_left_still_give_an_answer():
    corpus = normal(4, 3)
    theirs, ours = next(indexes(corpus, k=2))
    exclusions = tf.constant([[0, 1, 2]])
    with pytest.raises(ValueError, match="last dimension >= k = 5 but is 4"):
        theirs.query_with_exclusions(corpus[:1], exclusions)
    scores, ids = ours.query_with_exclusions(corpus[:1], exclusions)
    np.testing.assert_array_equal(ids, [[3, -1]])
    assert np.isneginf(scores[0, 1])


def test_a_repeated_id_cannot_slip_through_the_exclusions():
    corpus, ids = (
        np.float32([[3.0], [2.5], [2.0], [1.0]]),
        np.array([7, 7, 7, 8], "int32"),
    )
    theirs = upstream.BruteForce(k=1).index(corpus, ids)
    answer = theirs.query_with_exclusions(
        np.ones([1, 1], "float32"), tf.constant([[7]])
    )
    assert answer[1].numpy() == [[7]]
    with pytest.warns(UserWarning, match=r"1 of 2 ids repeat, 7 is one.*unique\(\)"):
        ours = layers.BruteForce(k=1).index(corpus, ids)
    answer = ours.query_with_exclusions(np.ones([1, 1], "float32"), tf.constant([[7]]))
    assert answer[1].numpy() == [[8]]


@pytest.mark.parametrize("hits", [True, False])
def test_float16_does_not_raise(hits):
    sides = [tf.cast(normal(4, 3, seed=seed), tf.float16) for seed in (0, 1)]
    ids = tf.constant([1, 1, 2, 3])
    theirs, ours = (
        cls(remove_accidental_hits=hits)
        for cls in (tfrs.tasks.Retrieval, tasks.Retrieval)
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        theirs(*sides, candidate_ids=ids)
    assert ours(*sides, candidate_ids=ids).dtype == tf.float32


@pytest.mark.usefixtures("mixed_policy")
@pytest.mark.parametrize("mixed_policy", ["mixed_float16"], indirect=True)
def test_a_policy_of_float16_does_not_raise():
    sides = [tf.constant(normal(4, 3, seed=seed)) for seed in (0, 1)]
    with pytest.raises(tf.errors.InvalidArgumentError):
        tfrs.tasks.Retrieval()(*sides)
    assert np.isfinite(tasks.Retrieval()(*sides))


@pytest.mark.usefixtures("mixed_policy")
@pytest.mark.parametrize("mixed_policy", ["mixed_bfloat16"], indirect=True)
def test_a_policy_of_bfloat16_leaves_the_logits_in_float32():
    sides = [tf.constant(normal(64, 8, seed=seed)) for seed in (0, 1)]
    logits = tf.matmul(*sides, transpose_b=True)
    exact = tf.reduce_sum(
        tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(64), logits)
    )
    theirs, ours = tfrs.tasks.Retrieval()(*sides), tasks.Retrieval()(*sides)
    assert abs(float(theirs / exact) - 1) > 1e-5
    assert float(ours) == pytest.approx(float(exact), rel=1e-6)


def test_integer_ids_of_any_width_are_compared():
    corpus = normal(6, 3)
    theirs, ours = (
        cls(dataset(corpus), ks=[6])
        for cls in (tfrs.metrics.FactorizedTopK, metrics.FactorizedTopK)
    )
    ids = tf.constant([4, 2**32 + 4], tf.int64)
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError)):
        theirs.update_state(corpus[:2], corpus[:2], true_candidate_ids=ids)
    ours.update_state(corpus[:2], corpus[:2], true_candidate_ids=ids)
    assert top(ours) == [0.5]


def test_queries_with_several_heads_get_corpus_metrics():
    corpus = normal(6, 3)
    ids, queries = tf.range(6), tf.stack([corpus, -corpus], axis=1)
    theirs = tfrs.metrics.FactorizedTopK(dataset(corpus, np.arange(6)), ks=[6])
    ours = metrics.FactorizedTopK(dataset(corpus, np.arange(6)), ks=[6])
    tfrs.tasks.Retrieval(metrics=theirs)(queries, corpus, candidate_ids=ids)
    tasks.Retrieval(metrics=ours)(queries, corpus, candidate_ids=ids)
    assert float(theirs.metrics[0].count) == 0
    assert float(ours.metrics[0].count) == 6
    assert top(ours) == [1.0]


def test_a_task_comes_back_from_its_config_with_its_loss():
    loss = tf.keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.2
    )
    theirs, ours = (cls(loss=loss) for cls in (tfrs.tasks.Retrieval, tasks.Retrieval))
    with pytest.raises(NotImplementedError):
        theirs.get_config()
    copy = tasks.Retrieval.from_config(ours.get_config())
    sides = normal(4, 3), normal(4, 3, seed=1)
    assert float(copy(*sides)) == float(ours(*sides)) == float(theirs(*sides))


def test_a_probability_outside_its_range_is_an_error_not_a_clip():
    sides = normal(2, 3), normal(2, 3, seed=1)
    probability = tf.constant([-0.1, 0.5])
    assert np.isfinite(
        tfrs.tasks.Retrieval()(*sides, candidate_sampling_probability=probability)
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 0"):
        tasks.Retrieval()(*sides, candidate_sampling_probability=probability)


def test_a_probability_below_a_millionth_counts_as_what_it_is():
    sides = normal(2, 3), normal(2, 3, seed=1)
    rare, rarer = tf.constant([1e-6, 0.5]), tf.constant([1e-9, 0.5])
    theirs, ours = (
        [
            float(cls()(*sides, candidate_sampling_probability=probability))
            for probability in (rare, rarer)
        ]
        for cls in (tfrs.tasks.Retrieval, tasks.Retrieval)
    )
    assert theirs[0] == theirs[1]
    assert ours[0] != pytest.approx(ours[1])
    assert ours[0] == pytest.approx(theirs[0])
