import math

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.data import Feature
from tfrs_models.towers import FeatureTower

FEATURES = [
    Feature("item_id", "id", 6),
    Feature("genres", "bag", 4),
    Feature("year", "number", mean=1990.0, scale=12.5),
    Feature("decade", "id", 3),
    Feature("text", "vector", dim=2),
]


@pytest.fixture
def batch():
    return {
        # 0 is unknown; 7, 99 and -1 are beyond what the tower knows
        "item_id": np.array([1, 6, 0, 7, 99, -1]),
        "genres": np.array(
            [[1, 2, 3], [0, 0, 0], [4, 4, 0], [5, 1, 0], [2, 0, 2], [-1, 9, 3]]
        ),
        "year": np.array([1990.0, 2002.5, 1950, 2020, 1999, 1980], "float32"),
        "decade": np.array([3, 2, 1, 0, 4, 1]),
        # the second is missing
        "text": np.array([[3, -4], [0, 0], [0, 7], [-1, 1], [2e30, -1e30], [1e-30, 0]]),
        "ignored": np.array(["x"] * 6),
    }


def weights(tower):
    return {w.name.split("/")[-1].split(":")[0]: w.numpy() for w in tower.weights}


def loops(batch, tables):
    """The sum of the features' vectors, row by row."""
    rows = []
    for row in range(len(batch["item_id"])):
        total = np.zeros(tables["item_id"].shape[1])
        for name, known in (("item_id", 6), ("decade", 3)):
            value = batch[name][row]
            total += tables[name][value if 0 < value <= known else 0]
        bag = [v for v in batch["genres"][row] if 0 < v <= 4]
        for value in bag:
            total += tables["genres"][value] / math.sqrt(len(bag))
        total += (float(batch["year"][row]) - 1990.0) / 12.5 * tables["year"][0]
        length = math.hypot(*batch["text"][row])
        if length:
            total += np.matmul(batch["text"][row] / length, tables["text"][1:])
        else:
            total += tables["text"][0]
        rows.append(total)
    return np.array(rows)


def with_all_weights(tower):
    """Gives the missing vector a value; it is 0 at first."""
    table = next(w for w in tower.weights if "text" in w.name)
    table.assign(table + np.array([[0.7], [0], [0]]))
    return tower


def test_the_output_is_the_sum_of_the_features_vectors(batch):
    tower = with_all_weights(FeatureTower(FEATURES, 5))
    np.testing.assert_allclose(
        tower(batch), loops(batch, weights(tower)), rtol=1e-5, atol=1e-6
    )


def test_hidden_units_follow_the_sum(batch):
    tower = with_all_weights(FeatureTower(FEATURES, 5, hidden_units=[7, 3]))
    output = tower(batch)
    tables = weights(tower)
    values = loops(batch, tables)
    kernels = [w.numpy() for w in tower.weights if w.shape.rank == 2][len(FEATURES) :]
    biases = [w.numpy() for w in tower.weights if w.shape.rank == 1]
    assert [k.shape for k in kernels] == [(5, 7), (7, 3), (3, 5)]
    for last, kernel, bias in zip((0, 0, 1), kernels, biases, strict=True):
        values = values @ kernel + bias
        values = values if last else np.maximum(values, 0)
    np.testing.assert_allclose(output, values, rtol=1e-4, atol=1e-6)


def test_ids_are_dropped_in_training_only_and_only_the_own():
    tf.keras.utils.set_random_seed(0)
    tower = FeatureTower(FEATURES[:1] + FEATURES[3:4], 5, id_dropout=0.3)
    many = {"item_id": np.full(4000, 2), "decade": np.full(4000, 3)}
    tables = weights(tower) if tower.weights else (tower(many), weights(tower))[1]
    kept, dropped = tables["item_id"][2], tables["item_id"][0]
    decade = tables["decade"][3]
    np.testing.assert_allclose(
        tower(many), np.tile(kept + decade, [4000, 1]), rtol=1e-5, atol=1e-6
    )
    output = tower(many, training=True).numpy()
    is_dropped = np.isclose(output, dropped + decade, atol=1e-6).all(axis=1)
    is_kept = np.isclose(output, kept + decade, atol=1e-6).all(axis=1)
    assert (is_dropped ^ is_kept).all()
    assert is_dropped.mean() == pytest.approx(0.3, abs=0.03)


def test_unknown_values_share_a_vector_that_learns():
    tower = FeatureTower(FEATURES[:1], 4)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tower({"item_id": tf.constant([0, 7, 12345, 3])}))
    gradient = tf.convert_to_tensor(tape.gradient(loss, tower.weights[0]))
    np.testing.assert_array_equal(gradient[:, 0], [3, 0, 0, 1, 0, 0, 0])


def test_a_missing_vector_is_zero_until_training_shows_one():
    tower = FeatureTower([Feature("text", "vector", dim=3)], 4)
    text = np.array([[0.0, 0, 0], [3, 0, -4]])
    assert not tower({"text": text})[0].numpy().any()
    assert (tower({"text": text})[1].numpy() != 0).all()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tower({"text": text}))
    gradient = tape.gradient(loss, tower.weights[0])
    np.testing.assert_allclose(gradient[:, 0], [1, 0.6, 0, -0.8], rtol=1e-6)


def test_only_the_direction_of_a_vector_counts():
    tower = FeatureTower([Feature("text", "vector", dim=3)], 4)
    text = np.array([[0.2, -0.1, 0.5], [-3.0, 8, 1]], "float32")
    outputs = [tower({"text": text * scale}) for scale in (1, 0.003, 1e20)]
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], rtol=1e-5)
    assert not np.allclose(tower({"text": -text}), outputs[0])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_indices_of_any_integer_dtype_are_looked_up(dtype):
    tower = FeatureTower(
        [Feature("user_id", "id", 300), Feature("tags", "bag", 300)], 4
    )
    wide = {
        "user_id": np.array([1, 2, 100]),
        "tags": np.array([[1, 0], [2, 3], [0, 9]]),
    }
    narrow = {name: value.astype(dtype) for name, value in wide.items()}
    np.testing.assert_array_equal(tower(narrow), tower(wide))


@pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)
def test_numbers_are_standardised_before_they_lose_precision(mixed_policy):
    time = Feature("time", "number", mean=8.9e8, scale=1e6)
    tower = FeatureTower([time], 4)
    output = tower({"time": tf.constant([8.91e8, 8.88e8])})
    assert output.dtype == mixed_policy.removeprefix("mixed_")
    vector = tower.weights[0].numpy()[0]
    np.testing.assert_allclose(
        tf.cast(output, tf.float32), [vector, -2 * vector], rtol=0.02, atol=1e-3
    )


def test_a_number_may_be_an_integer():
    tower = FeatureTower([Feature("year", "number", mean=1990.0, scale=10.0)], 3)
    np.testing.assert_array_equal(
        tower({"year": tf.constant([2000, 1985])}),
        tower({"year": tf.constant([2000.0, 1985.0])}),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"genres": None}, r"Feature `genres` is missing"),
        (
            {"item_id": np.array([[1], [2]])},
            r"`item_id`, a id, must have rank 1.*\(2, 1\)",
        ),
        ({"genres": np.array([1, 2])}, r"`genres`, a bag, must have rank 2.*\(2,\)"),
        ({"year": np.ones([2, 1], "float32")}, r"`year`, a number, must have rank 1"),
        ({"decade": np.array([1.0, 2])}, r"`decade`, a id, must hold integer.*float"),
        ({"text": np.array([1.0, 2])}, r"`text`, a vector, must have rank 2.*\(2,\)"),
        ({"text": np.ones([2, 3])}, r"`text`, a vector, must have 2 comp.*\(2, 3\)"),
        ({"text": np.array([["a", "b"]] * 2)}, r"`text` must hold numbers. Got string"),
        ({"item_id": np.array(["a", "b"])}, r"`item_id`, a id, must hold int.*string"),
    ],
)
def test_a_wrong_feature_is_named(batch, change, message):
    features = {name: value[:2] for name, value in batch.items()} | change
    features = {name: value for name, value in features.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        FeatureTower(FEATURES, 3)(features)


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        ([], {}, "`features` must hold at least one"),
        (FEATURES, {"embedding_dim": 0}, "`embedding_dim` must be at least 1. Got 0"),
        (FEATURES, {"id_dropout": 1.0}, r"`id_dropout` must be in \[0, 1\). Got 1.0"),
        (FEATURES[1:], {"id_dropout": 0.1}, "first feature.*must be an id.*`genres`"),
        (FEATURES + FEATURES[:1], {}, "`features` must not repeat.*item_id"),
    ],
)
def test_wrong_arguments_are_named(features, options, message):
    with pytest.raises(ValueError, match=message):
        FeatureTower(features, **({"embedding_dim": 3} | options))
