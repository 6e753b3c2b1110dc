import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.layers.embedding.deep_hash_code import DeepHashCode
from tfrs_models.towers import DeepHash


def weights_of(tower):
    return sum(int(np.prod(w.shape)) for w in tower.weights)


def test_the_size_depends_on_the_widths_and_not_on_the_users():
    tower = DeepHash(32, num_hashes=64)
    tower({"user_id": np.arange(10)})
    before = weights_of(tower)
    tower({"user_id": np.arange(10) + 10**8})
    dense = (64 + 1) * 32 + 3 * (32 + 1) * 32
    assert weights_of(tower) == before == dense + 64 * 4
    assert 10**8 * 32 / before > 500_000  # a table of all ids over this


def test_every_user_has_a_vector_of_their_own_and_keeps_it():
    tower = DeepHash(32, num_hashes=32)
    ids = np.random.default_rng(0).permutation(500) + 2**60
    vectors = tower({"user_id": ids}).numpy()
    assert len(np.unique(vectors, axis=0)) == 500
    again = tower({"user_id": ids[::-1].copy()}, training=True).numpy()[::-1]
    np.testing.assert_allclose(again, vectors, rtol=1e-6)


def test_the_vector_is_the_projection_of_the_code():
    tower = DeepHash(8, num_hashes=32, encoding="normal", feature="member")
    ids = tf.constant(["ann", "bob"])
    np.testing.assert_allclose(
        tower({"member": ids}), tower.project(tower.encode(ids)), rtol=1e-6
    )


@pytest.mark.parametrize("encoding", ["uniform", "normal"])
def test_the_code_is_drawn_by_the_options_that_were_given(encoding):
    options = {"num_buckets": 50, "encoding": encoding}
    tower = DeepHash(8, num_hashes=6, seed=3, **options)
    ids = tf.constant([1, 2, 2**40])
    expected = DeepHashCode(6, seed=3, **options)(ids)
    np.testing.assert_array_equal(tower.encode(ids), expected)
    other = DeepHash(8, num_hashes=6, seed=4, **options)
    assert not np.any(other.encode(ids) == expected)


def test_it_learns_a_vector_for_each_user():
    tf.keras.utils.set_random_seed(0)
    tower = DeepHash(16, num_hashes=64)
    ids = np.arange(64)
    wanted = np.random.default_rng(1).normal(size=(64, 16)).astype("float32")
    optimizer = tf.keras.optimizers.Adam(0.01)
    optimizer.build(tower.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tower({"user_id": ids}) - wanted) ** 2)
        gradients = tape.gradient(loss, tower.trainable_variables)
        optimizer.apply_gradients(
            zip(gradients, tower.trainable_variables, strict=True)
        )
        return loss

    losses = [float(step()) for _ in range(150)]
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([1.0]), "`user_id` must be integers or strings.*float"),
        (np.array([[1]]), r"`user_id` must be \[batch\]"),
    ],
)
def test_wrong_ids_are_named(ids, message):
    with pytest.raises(ValueError, match=message):
        DeepHash(4, num_hashes=8)({"user_id": ids})


def test_a_wrong_width_is_named():
    with pytest.raises(ValueError, match="`embedding_dim` must be at least 1. Got 0"):
        DeepHash(0)
