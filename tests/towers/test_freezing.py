import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.data import Feature
from tfrs_models.towers import FeatureTower, freeze_first_layers


def test_several_tables_keep_their_positions_in_a_file():
    fields = [
        Feature("user_id", "id", 5),  # tables of equal shapes: a swap would load
        Feature("city", "id", 5),
        Feature("age", "number"),
    ]

    def make():
        tower = FeatureTower(fields, 3, hidden_units=[4])
        tower({name: np.array([1, 5]) for name in ("user_id", "city", "age")})
        return tower

    tower, frozen = make(), make()
    tables = {weight.name: weight for weight in frozen.trainable_weights[:3]}
    last = [weight.name for weight in frozen.trainable_weights[-2:]]
    freeze_first_layers(frozen, 1)
    assert [weight.name for weight in frozen.trainable_weights] == last
    file = {}
    tower.save_own_variables(file)
    frozen.load_own_variables(file)
    for weight in tower.trainable_weights[:3]:
        np.testing.assert_array_equal(tables[weight.name], weight)


def test_a_negative_number_of_layers_is_refused():
    with pytest.raises(ValueError, match="`k` must not be negative. Got -1"):
        freeze_first_layers(tf.keras.layers.Dense(3), -1)
