import numpy as np
import tensorflow as tf

from tfrs_models.data import Feature
from tfrs_models.towers import FeatureTower, GRU4Rec


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_it_is_the_recurrence_of_a_gated_unit():
    items = FeatureTower([Feature("item_id", "id", 9)], 4)
    tower = GRU4Rec(items, 4, hidden_units=3)
    row = [3, 1, 4, 1, 5]
    tower({"history": tf.constant([row])})
    rng = np.random.default_rng(2)
    tower.set_weights([rng.normal(size=w.shape) for w in tower.get_weights()])
    named = {w.shape.as_list().__str__(): w.numpy() for w in tower.weights}
    table, kernel, recurrent, bias, project = (
        named[shape] for shape in ("[10, 4]", "[4, 9]", "[3, 9]", "[2, 9]", "[3, 4]")
    )
    state = np.zeros(3)
    for item in row:
        x = np.split(table[item] @ kernel + bias[0], 3)
        h = np.split(state @ recurrent + bias[1], 3)
        update, reset = sigmoid(x[0] + h[0]), sigmoid(x[1] + h[1])
        proposal = np.tanh(x[2] + reset * h[2])
        state = update * state + (1 - update) * proposal
    output = tower({"history": tf.constant([row])})
    np.testing.assert_allclose(output[0], state @ project, rtol=1e-4, atol=1e-5)
