"""What holds of the tower of auto-correlation alone."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import towers
from tfrs_models.data import Feature

LENGTH = 8


@pytest.fixture
def tower():
    """Weights drawn at random, so that nothing cancels; two lags, nothing dropped."""
    tf.keras.utils.set_random_seed(0)
    items = towers.FeatureTower([Feature("item_id", "id", 30)], 4)
    tower = towers.AutoCorrelationTower(
        items, 4, seq_len=LENGTH, factor=1.0, dropout=0.0
    )
    tower({"history": tf.ones([1, 3], tf.int64)})
    rng = np.random.default_rng(1)
    tower.set_weights([rng.normal(size=w.shape) for w in tower.get_weights()])
    return tower


def test_lags_count_back_from_the_newest_item(tower):
    """Projections of 0 make all lags tie, and the shortest two count: 0 and 1."""
    correlate = tower._blocks[0]._correlate
    for dense in (correlate._query, correlate._key):
        dense.set_weights([np.zeros_like(w) for w in dense.get_weights()])
    history = np.array([[5, 3, 8, 1, 9, 2, 7, 4]])
    expected = tower({"history": history})
    for step in range(LENGTH):
        other = history.copy()
        other[0, step] = 11
        counts = not np.allclose(tower({"history": other}), expected, atol=1e-4)
        assert counts == (step >= LENGTH - 2), step


def test_each_window_has_its_own_lags_in_training_too(tower):
    history = np.random.default_rng(2).integers(1, 30, size=(5, LENGTH))
    for options in ({}, {"return_sequences": True}):
        calm = tower({"history": history}, **options)
        trained = tower({"history": history}, training=True, **options)
        np.testing.assert_allclose(trained, calm, rtol=1e-4, atol=1e-5)
