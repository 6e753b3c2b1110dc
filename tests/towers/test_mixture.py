import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.towers import Cohort, DeepHash, MixtureOfRepresentations, UserId

RNG = np.random.default_rng(0)
FEATURES = {
    "user_id": np.arange(30),
    "user_features": RNG.normal(size=(30, 5)).astype("float32"),
}


def make(**options):
    towers = [UserId(40, 3), Cohort(6, 3), DeepHash(3, num_hashes=8)]
    return MixtureOfRepresentations(towers, **options)


def test_the_output_is_the_weighted_sum_of_any_number_of_towers():
    mixture = make()
    output = mixture(FEATURES).numpy()
    weights = mixture.mixture(FEATURES).numpy()
    kernel, bias = (w.numpy() for w in mixture.gate.weights)
    parts = [tower(FEATURES).numpy() for tower in mixture.towers]
    for row in range(30):
        gate = [max(0, x) for x in FEATURES["user_features"][row] @ kernel + bias]
        mass = [np.exp(x) for x in gate]
        own = [m / sum(mass) for m in mass]
        np.testing.assert_allclose(weights[row], own, rtol=1e-5)
        expected = sum(w * part[row] for w, part in zip(own, parts, strict=True))
        np.testing.assert_allclose(output[row], expected, rtol=1e-4, atol=1e-6)
    assert weights.std() > 0.02


def test_the_gate_drops_in_training_only():
    mixture = make(dropout=0.8)
    still = mixture.mixture(FEATURES)
    np.testing.assert_array_equal(mixture.mixture(FEATURES), still)
    mixture.gate.set_weights([np.zeros([5, 3]), np.array([1.0, 1.0, 1.0])])
    weights = np.concatenate(
        [mixture.mixture(FEATURES, training=True).numpy() for _ in range(40)]
    )
    ratio = weights / weights.min(axis=1, keepdims=True)
    values = np.unique(ratio.round(2))
    np.testing.assert_allclose(values, [1, np.exp(5)], rtol=1e-3)  # 1 / (1 - 0.8)
    all_or_none = np.mean((ratio < 2).all(axis=1))
    assert all_or_none == pytest.approx(0.8**3 + 0.2**3, abs=0.05)


def test_training_reaches_the_towers():
    mixture = MixtureOfRepresentations(
        [UserId(40, 3, id_dropout=0.5), Cohort(6, 3)], dropout=0.0
    )
    rows = {"user_id": np.full(60, 7), "user_features": np.ones([60, 5], "float32")}
    assert len(np.unique(mixture(rows).numpy().round(5), axis=0)) == 1
    assert len(np.unique(mixture(rows, training=True).numpy().round(5), axis=0)) == 2


def test_towers_train_through_the_mixture():
    tf.keras.utils.set_random_seed(0)
    mixture = make(dropout=0.0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(mixture(FEATURES, training=True) ** 3)
    gradients = tape.gradient(loss, mixture.trainable_variables)
    for gradient, variable in zip(gradients, mixture.trainable_variables, strict=True):
        assert gradient is not None, variable.name


def test_towers_of_the_same_kind_have_names_of_their_own_in_a_file(tmp_path):
    def two():
        mixture = MixtureOfRepresentations([UserId(40, 3), UserId(50, 3)])
        model = tf.keras.Sequential([mixture])
        model(FEATURES)
        return model

    one, other = two(), two()
    one.save_weights(tmp_path / "weights.h5")
    other.load_weights(tmp_path / "weights.h5")
    np.testing.assert_array_equal(one(FEATURES), other(FEATURES))


@pytest.mark.parametrize(
    ("towers", "options", "message"),
    [
        ([], {}, "`towers` must hold at least one"),
        ([(3,), (4,)], {}, r"`towers` must have outputs of one width. Got .*\[3, 4\]"),
        ([(3,)], {"dropout": 1.2}, r"`dropout` must be in \[0, 1\). Got 1.2"),
    ],
)
def test_wrong_arguments_are_named(towers, options, message):
    with pytest.raises(ValueError, match=message):
        MixtureOfRepresentations([UserId(5, *width) for width in towers], **options)


def test_features_that_do_not_fit_are_named():
    mixture = make()
    mixture(FEATURES)
    with pytest.raises(ValueError, match="`user_features` must have width 5.* Got 2"):
        mixture(FEATURES | {"user_features": np.ones([30, 2])})
    with pytest.raises(ValueError, match="`user_features` is missing"):
        mixture({"user_id": np.arange(3)})
