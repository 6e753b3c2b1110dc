"""The pairwise losses where they are compiled: above four million pairs."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.losses import (
    PairwiseLogisticLoss,
    pairwise_hinge_loss,
    pairwise_logistic_loss,
)

CASES = {
    "logistic": pairwise_logistic_loss,
    "hinge": pairwise_hinge_loss,
    "delta": lambda *a, **k: pairwise_logistic_loss(*a, weights="delta_ndcg", **k),
    "sum": lambda *a, **k: pairwise_logistic_loss(*a, pairs="sum", **k),
}
every_case = pytest.mark.parametrize("case", CASES)


def inputs(rows, columns, dtype="float32"):
    rng = np.random.default_rng(rows)
    labels = rng.integers(-1, 4, size=(rows, columns)).astype("float32")
    scores = tf.cast(rng.normal(size=(rows, columns)), dtype)
    return labels, scores, rng.random(labels.shape) < 0.9


def with_gradient(function, labels, scores, mask):
    with tf.GradientTape() as tape:
        tape.watch(scores)
        values = function(labels, scores, mask=mask)
        total = tf.reduce_sum(values * tf.range(1.0, tf.shape(values)[0] + 1))
    return values, tape.gradient(total, scores)


def assert_equal_alone(function, labels, scores, mask, outcome):
    """The same as each of the lists alone, which is too little to compile."""
    values, slope = outcome
    assert slope.dtype == scores.dtype
    assert slope.shape == scores.shape
    for row in (0, 1, len(labels) // 2, len(labels) - 1):
        part = slice(row, row + 1)
        alone, of_alone = with_gradient(
            function, labels[part], scores[part], mask[part]
        )
        np.testing.assert_allclose(values[part], alone, rtol=1e-4)
        of_alone = tf.cast(of_alone, tf.float32).numpy() * (row + 1)
        tolerance = 1e-5 * np.abs(of_alone).max() + 1e-7
        if scores.dtype != tf.float32:
            tolerance *= 1000
        np.testing.assert_allclose(
            tf.cast(slope[part], tf.float32), of_alone, atol=tolerance
        )
    np.testing.assert_array_equal(tf.cast(slope, tf.float32)[~mask], 0)


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_compiled_lists_are_those_that_are_not(case, dtype):
    data = inputs(107, 201, dtype)
    outcome = with_gradient(CASES[case], *data)
    assert_equal_alone(CASES[case], *data, outcome)


@every_case
def test_the_shape_may_be_unknown(case):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None]),
            tf.TensorSpec([None, None]),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )
    def graph(labels, scores, mask):
        return with_gradient(CASES[case], labels, scores, mask)

    for rows, columns in ((103, 203), (5, 9), (102, 205)):
        data = inputs(rows, columns)
        assert_equal_alone(CASES[case], *data, graph(*data))


def test_a_long_list_is_no_exception():
    data = inputs(1, 2100)
    values, slope = with_gradient(pairwise_logistic_loss, *data)
    labels, scores, mask = (np.asarray(x)[0] for x in data)
    labels, scores = labels[mask], scores[mask].astype("float64")
    labels, scores = labels[labels >= 0], scores[labels >= 0]
    above = labels[:, None] > labels[None, :]
    gaps = scores[:, None] - scores[None, :]
    expected = np.logaddexp(0, -gaps)[above].mean()
    pull = np.where(above, -1 / (1 + np.exp(gaps)), 0) / above.sum()
    np.testing.assert_allclose(values, [expected], rtol=1e-5)
    kept = mask & (np.asarray(data[0])[0] >= 0)
    np.testing.assert_allclose(
        slope[0][kept], pull.sum(axis=1) - pull.sum(axis=0), rtol=1e-3, atol=1e-7
    )


def test_each_replica_computes_its_own_lists(strategy):
    labels, scores, mask = inputs(210, 203)
    data = tf.data.Dataset.from_tensor_slices((labels, scores, mask)).batch(210)
    batch = next(iter(strategy.experimental_distribute_dataset(data)))

    @tf.function
    def run(batch):
        return strategy.run(
            lambda *b: with_gradient(pairwise_logistic_loss, *b), args=(batch)
        )

    values = tf.concat(strategy.experimental_local_results(run(batch)[0]), axis=0)
    np.testing.assert_allclose(
        values, pairwise_logistic_loss(labels, scores, mask=mask), rtol=1e-5
    )


def test_a_model_learns_through_the_compiled_loss():
    tf.keras.utils.set_random_seed(0)
    features = np.random.default_rng(0).normal(size=(105, 200, 3)).astype("float32")
    labels = (features @ [1.0, -2.0, 0.5] > 0.3).astype("float32")
    inputs = tf.keras.Input((200, 3))
    outputs = tf.keras.layers.Dense(1)(inputs)
    model = tf.keras.Model(inputs, tf.keras.layers.Reshape([200])(outputs))
    model.compile(tf.keras.optimizers.SGD(1.0), loss=PairwiseLogisticLoss())
    history = model.fit(features, labels, batch_size=105, epochs=30, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
