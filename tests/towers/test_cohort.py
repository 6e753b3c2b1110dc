import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.metrics.usage import CohortEntropy
from tfrs_models.towers import Cohort

RNG = np.random.default_rng(0)
FEATURES = {"user_features": RNG.normal(size=(40, 5)).astype("float32")}


def logits_of(tower, features=FEATURES):
    kernel, bias = (w.numpy() for w in tower.addressing.weights)
    return features["user_features"] @ kernel + bias


def test_affinities_are_the_softmax_of_the_addressing_layer():
    tower = Cohort(7, 3)
    affinity = tower.affinity(FEATURES).numpy()
    for row, logits in zip(affinity, logits_of(tower), strict=True):
        mass = [np.exp(x) for x in logits.astype("float64")]
        np.testing.assert_allclose(row, [m / sum(mass) for m in mass], rtol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_k_best_cohorts_count_alike_and_exactly(k):
    tower = Cohort(7, 3, top_k=k)
    affinity = tower.affinity(FEATURES).numpy()
    expected = np.zeros_like(affinity)
    for row, logits in zip(expected, logits_of(tower), strict=True):
        for place in sorted(range(7), key=lambda i: -logits[i])[:k]:
            row[place] = np.float32(1) / np.float32(k)
    np.testing.assert_array_equal(affinity, expected)


def test_ties_go_to_the_lowest_index():
    tower = Cohort(4, 3, top_k=2)
    tower.affinity(FEATURES)
    tower.addressing.set_weights([np.zeros([5, 4]), np.array([0.0, 1.0, 1.0, 1.0])])
    np.testing.assert_array_equal(tower.affinity(FEATURES)[0], [0, 0.5, 0.5, 0])


def test_the_gradient_of_hard_cohorts_is_that_of_the_soft_ones():
    tower, direction = Cohort(6, 3, top_k=1), RNG.normal(size=6).astype("float32")
    tower.affinity(FEATURES)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tower.affinity(FEATURES) * direction)
    gradient = tape.gradient(loss, tower.addressing.bias).numpy()
    soft = np.exp(logits_of(tower).astype("float64"))
    soft /= soft.sum(axis=1, keepdims=True)
    expected = np.zeros(6)
    for row, i, j in itertools.product(range(40), range(6), range(6)):
        expected[j] += direction[i] * soft[row, i] * ((i == j) - soft[row, j])
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_the_output_is_the_stack_over_the_mix_of_cohorts():
    tower = Cohort(7, 3)
    mix = tower.affinity(FEATURES).numpy() @ tower.cohorts.numpy()
    np.testing.assert_allclose(tower(FEATURES), tower.stack(mix), rtol=1e-4, atol=1e-6)
    assert tower.stack.units == (3, 3, 3, 3)
    assert np.std(Cohort(1000, 8).cohorts) == pytest.approx(1, abs=0.05)


def test_users_move_between_hard_cohorts_in_training():
    tf.keras.utils.set_random_seed(2)
    tower = Cohort(8, 16, top_k=1)
    users = {"user_features": RNG.normal(size=(200, 5)).astype("float32")}
    signs = np.sign(users["user_features"][:, :2])  # four kinds of users
    wanted = np.tile(signs, [1, 8]).astype("float32")
    before = tower.affinity(users).numpy().argmax(axis=1)
    entropy = CohortEntropy(8)
    entropy.update_state(tower.affinity(users))
    usage = [float(entropy.result())]
    optimizer = tf.keras.optimizers.Adam(0.02)
    optimizer.build(tower.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tower(users, training=True) - wanted) ** 2)
        gradients = tape.gradient(loss, tower.trainable_variables)
        optimizer.apply_gradients(
            zip(gradients, tower.trainable_variables, strict=True)
        )
        return loss, tf.reduce_max(tf.abs(gradients[0]))

    losses, largest = zip(*[map(float, step()) for _ in range(150)], strict=True)
    assert largest[0] > 0  # a gradient of the addressing layer
    after = tower.affinity(users).numpy().argmax(axis=1)
    entropy.reset_state()
    entropy.update_state(tower.affinity(users))
    usage.append(float(entropy.result()))
    assert losses[-1] < 0.5 * losses[0]
    assert np.mean(before != after) > 0.1
    assert abs(usage[1] - usage[0]) > 0.01


def test_dropout_drops_logits_in_training_only():
    tower = Cohort(400, 3, dropout=0.5, top_k=None)
    still = tower.affinity(FEATURES).numpy()
    np.testing.assert_array_equal(tower.affinity(FEATURES), still)
    tower.addressing.set_weights([np.zeros([5, 400]), np.ones(400)])
    dropped = tower.affinity(FEATURES, training=True).numpy()
    ratio = dropped / dropped.min(axis=1, keepdims=True)
    kept = ratio > 1.5
    np.testing.assert_allclose(ratio[kept], np.exp(2), rtol=1e-4)  # 1 / (1 - 0.5)
    np.testing.assert_allclose(ratio[~kept], 1, rtol=1e-4)
    assert kept.mean() == pytest.approx(0.5, abs=0.03)


def test_another_width_than_before_is_named():
    tower = Cohort(4, 3)
    tower(FEATURES)
    with pytest.raises(ValueError, match="`user_features` must have width 5.* Got 6"):
        tower({"user_features": np.ones([2, 6])})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_cohorts": 0}, "`num_cohorts` and `embedding_dim` must be at least 1"),
        ({"embedding_dim": 0}, "`num_cohorts` and `embedding_dim` must be at least 1"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Got 1.0"),
        ({"top_k": 0}, "`top_k` must be None or in .* Got 0 of 4"),
        ({"top_k": 5}, "`top_k` must be None or in .* Got 5 of 4"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Cohort(**{"num_cohorts": 4, "embedding_dim": 3} | arguments)
