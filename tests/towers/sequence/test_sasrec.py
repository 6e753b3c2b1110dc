import numpy as np
import tensorflow as tf

from tfrs_models.data import Feature
from tfrs_models.towers import FeatureTower, SASRec


def test_blocks_read_scaled_items_with_their_positions_and_a_norm_ends_it():
    items = FeatureTower([Feature("item_id", "id", 9)], 4)
    tower = SASRec(items, 4, seq_len=6, num_layers=2)
    row = [3, 1, 4, 1, 5]
    tower({"history": tf.constant([row])})
    rng = np.random.default_rng(2)
    tower.set_weights([rng.normal(size=w.shape) for w in tower.get_weights()])
    table = items({"item_id": np.arange(10)}).numpy()
    positions = next(w.numpy() for w in tower.weights if w.shape == (6, 4))
    hidden = np.stack([2 * table[item] + positions[i] for i, item in enumerate(row)])
    hidden = tf.constant(hidden[None], tf.float32)
    for block in tower._blocks:  # which has an oracle of its own
        hidden = block(hidden, np.tril(np.ones((1, 5, 5), bool)))
    last = hidden.numpy()[0, -1]
    gamma, beta = (w.numpy() for w in tower._norm.weights)
    centred = last - last.mean()
    expected = centred / np.sqrt((centred**2).mean() + 1e-3) * gamma + beta
    output = tower({"history": tf.constant([row])})
    np.testing.assert_allclose(output[0], expected, rtol=1e-4, atol=1e-4)


def test_positions_tell_the_first_item_from_the_second():
    items = FeatureTower([Feature("item_id", "id", 9)], 4)
    tower = SASRec(items, 4)
    output = tower({"history": tf.constant([[3, 3]])}, return_sequences=True)
    assert not np.allclose(output[0, 0], output[0, 1], atol=1e-3)
