import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.data import Feature
from tfrs_models.towers import FeatureLookup, FeatureTower

FEATURES = [
    Feature("item_id", "id", 4),
    Feature("genres", "bag", 3),
    Feature("year", "number", mean=1990.0, scale=10.0),
]
TABLE = {
    "item_id": np.array([0, 1, 2, 3, 4, 5]),
    "genres": np.array([[0, 0], [1, 2], [3, 0], [2, 2], [1, 3], [2, 0]], "int32"),
    "year": np.array([1990, 1999, 1950, 2004, 1987, 2010], "float32"),
}


@pytest.fixture
def tower():
    tf.keras.utils.set_random_seed(0)
    return FeatureLookup(FeatureTower(FEATURES, 3), TABLE)


def test_ids_get_the_features_of_the_table(tower):
    ids = np.array([5, 1, 1, 0, 3])
    expected = tower.tower({name: column[ids] for name, column in TABLE.items()})
    np.testing.assert_array_equal(tower({"item_id": ids}), expected)


def test_the_tables_features_win_over_those_of_the_batch(tower):
    batch = {"item_id": np.array([2]), "year": np.array([1.0], "float32")}
    np.testing.assert_array_equal(tower(batch), tower({"item_id": np.array([2])}))


@pytest.mark.parametrize("unknown", [-1, 6, 10**6])
def test_ids_without_a_row_are_unknown(tower, unknown):
    ids = np.array([unknown])
    np.testing.assert_array_equal(
        tower({"item_id": ids}), tower({"item_id": np.array([0])})
    )


def test_the_table_is_not_trained_but_saved(tower, tmp_path):
    names = {w.name for w in tower.trainable_weights}
    assert not any("table" in name for name in names)
    layout = {
        name: {"shape": column.shape, "dtype": column.dtype.name}
        for name, column in TABLE.items()
    }
    other = FeatureLookup(FeatureTower(FEATURES, 3), layout)
    path = tf.train.Checkpoint(tower).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(other).restore(path).assert_consumed()
    ids = {"item_id": np.array([5, 3, 9])}
    np.testing.assert_array_equal(other(ids), tower(ids))


@pytest.mark.parametrize("mixed_policy", ["mixed_float16"], indirect=True)
@pytest.mark.usefixtures("mixed_policy")
def test_numbers_of_the_table_keep_their_precision():
    time = Feature("time", "number", mean=8.9e8, scale=1e6)
    table = {"item_id": np.arange(3), "time": np.array([0, 8.91e8, 8.88e8], "float32")}
    tower = FeatureLookup(FeatureTower([time], 4), table)
    output = tf.cast(tower({"item_id": np.array([1, 2])}), tf.float32)
    vector = tower.tower.weights[0].numpy()[0]
    np.testing.assert_allclose(output, [vector, -2 * vector], rtol=0.02, atol=1e-3)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"year": TABLE["year"]}, "`table` must have the feature `item_id`"),
        (TABLE | {"year": np.ones(3)}, "as many rows of all.*'year': 3"),
        (TABLE | {"title": np.array(["a"] * 6)}, "`title` of `table` must be numbers"),
    ],
)
def test_a_wrong_table_is_named(table, message):
    with pytest.raises(ValueError, match=message):
        FeatureLookup(FeatureTower(FEATURES, 3), table)


def test_a_missing_id_is_named(tower):
    with pytest.raises(ValueError, match="Feature `item_id` is missing"):
        tower({"genres": TABLE["genres"]})
