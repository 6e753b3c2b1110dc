import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tests import oracles
from tfrs_models.ops import blocked_softmax_cross_entropy
from tfrs_models.ops.softmax.blocked_softmax import block_rows

BATCH, NUM_CANDIDATES, WIDTH = 7, 6, 3


@pytest.fixture
def inputs():
    rng = np.random.default_rng(3)
    return {
        "queries": rng.normal(size=(BATCH, WIDTH)),
        "scales": rng.uniform(0.5, 2, size=BATCH),
        "places": rng.normal(size=(NUM_CANDIDATES, WIDTH)),
        "decay": rng.uniform(0.5, 2, size=()),
        "positives": rng.integers(NUM_CANDIDATES, size=BATCH),
        "weights": rng.uniform(0.1, 2, size=BATCH),
    }


def distance_scores(place, rows, shared):
    """No dot product: near places score high, each query at a scale of its own."""
    del place
    (queries, scales), (places, decay) = rows, shared
    gaps = tf.reduce_sum((queries[:, None] - places[None]) ** 2, axis=2)
    return -decay * scales[:, None] * gaps


def products(place, rows, shared):
    del place
    return tf.matmul(*rows, *shared, transpose_b=True)


def oracle(queries, scales, places, decay, *, positives, weights):
    total = 0.0
    for i, query in enumerate(queries):
        scores = [-decay * scales[i] * ((query - place) ** 2).sum() for place in places]
        top = max(scores)
        mass = top + np.log(sum(np.exp(s - top) for s in scores))
        total += weights[i] * (mass - scores[positives[i]])
    return total


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("block_size", [1, 3, "auto"])
def test_any_differentiable_score_gets_its_loss_and_gradients(
    inputs, block_size, training
):
    names = ["queries", "scales", "places", "decay", "weights"]
    tensors = {name: tf.constant(inputs[name], tf.float32) for name in names}

    @tf.function
    def run(tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss = blocked_softmax_cross_entropy(
                distance_scores,
                NUM_CANDIDATES,
                positives=tf.constant(inputs["positives"], tf.int32),
                rows=[tensors["queries"], tensors["scales"]],
                shared=[tensors["places"], tensors["decay"]],
                sample_weight=tensors["weights"],
                block_size=block_size,
                training=training,
            )
            # A scaled loss has scaled gradients, as mixed precision needs them.
            scaled = 3.0 * loss
        return loss, tape.gradient(scaled, tensors)

    loss, slopes = run(tensors)
    np.testing.assert_allclose(loss, oracle(**inputs), rtol=1e-5)
    for name in names:
        expected = oracles.gradient(
            lambda value, name=name: oracle(**inputs | {name: value}), inputs[name]
        )
        np.testing.assert_allclose(slopes[name], 3 * expected, atol=6e-3, err_msg=name)


def test_a_batch_without_rows_has_no_loss():
    loss = blocked_softmax_cross_entropy(
        products,
        4,
        positives=tf.zeros([0], tf.int32),
        rows=[tf.zeros([0, 3])],
        shared=[tf.zeros([4, 3])],
    )
    assert float(loss) == 0


def test_the_loss_of_a_sure_positive_keeps_its_digits():
    loss = blocked_softmax_cross_entropy(
        products,
        2,
        positives=tf.constant([0]),
        rows=[tf.constant([[30.0]])],
        shared=[tf.constant([[1.0], [0.0]])],
    )
    np.testing.assert_allclose(loss, np.exp(-30.0), rtol=1e-5)


def test_rows_are_asked_for():
    with pytest.raises(ValueError, match="`rows` must hold at least one tensor"):
        blocked_softmax_cross_entropy(None, 3, positives=tf.zeros([0]), rows=[])


@pytest.mark.parametrize("num_candidates", [0, 1, 8192, 32_768, 262_144, 2**30])
def test_a_block_is_never_empty_and_its_scores_stay_below_256_megabytes(num_candidates):
    rows = int(block_rows(num_candidates))
    assert rows >= 1
    assert rows == 1 or rows * num_candidates * 4 <= 256 * 2**20


def test_an_outer_tape_keeps_no_block():
    class Token:
        pass

    tokens = []

    def score(_, rows, shared):
        token = Token()
        tokens.append(weakref.ref(token))

        @tf.custom_gradient
        def noted(logits):
            return tf.identity(logits), lambda slope, _=token: slope

        return noted(tf.matmul(*rows, *shared, transpose_b=True))

    rows, table = tf.ones([6, 4]), tf.ones([3, 4])
    with tf.GradientTape() as tape:
        tape.watch([rows, table])
        loss = blocked_softmax_cross_entropy(
            score,
            3,
            positives=tf.constant([0, 1, 2, 0, 1, 2]),
            rows=[rows],
            shared=[table],
            block_size=2,
        )
    gc.collect()
    assert len(tokens) == 3
    assert not any(token() for token in tokens)
    assert all(
        tf.reduce_all(tf.math.is_finite(g)) for g in tape.gradient(loss, [rows, table])
    )
