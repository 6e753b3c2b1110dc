"""Every user tower in every model that takes one."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import models, towers
from tfrs_models.data import Feature

ROWS, ITEMS = 60, 9
RNG = np.random.default_rng(0)
USERS = RNG.integers(1, 13, size=ROWS)
PROFILES = RNG.normal(size=(13, 4)).astype("float32")
DATA = {
    "user_id": USERS,
    "user_features": PROFILES[USERS],
    "item_id": (USERS + RNG.integers(2, size=ROWS)) % ITEMS + 1,
    "item_features": RNG.normal(size=(ROWS, 2)).astype("float32"),
    "cross_features": RNG.normal(size=(ROWS, 3)).astype("float32"),
    "labels": RNG.integers(-1, 2, size=(ROWS, 2)),
}
TOWERS = {
    "id": lambda: towers.UserId(14, 8, id_dropout=0.1),
    "deep hash": lambda: towers.DeepHash(8, num_hashes=32),
    "cohort": lambda: towers.Cohort(6, 8, dropout=0.1),
    "hard cohort": lambda: towers.Cohort(6, 8, top_k=2),
    "mixture": lambda: towers.MixtureOfRepresentations(
        [towers.UserId(14, 8), towers.Cohort(6, 8), towers.DeepHash(8, num_hashes=16)]
    ),
    "features": lambda: towers.FeatureTower([Feature("user_id", "id", 12)], 8),
}


def two_tower(tower):
    return models.TwoTower(tower, towers.FeatureTower([Feature("item_id", "id", 9)], 8))


def ranker(tower):
    return models.MultiTaskRanker(
        tower,
        num_tasks=2,
        item_id_hash_size=10,
        item_id_embedding_dim=4,
        user_value_weights=[1.0, 2.0],
        hidden_units=[16],
    )


MODELS = {"two towers": two_tower, "ranker": ranker}
every = pytest.mark.parametrize("tower", TOWERS)
both = pytest.mark.parametrize("kind", MODELS)


def fit(model, *, batch_size=20, epochs=4):
    """Eagerly: what fit traces is the subject of the models' own tests."""
    model.compile(tf.keras.optimizers.Adam(0.05), run_eagerly=True)
    dataset = tf.data.Dataset.from_tensor_slices(DATA).batch(batch_size).take(9)
    return model.fit(dataset, epochs=epochs, verbose=0).history["loss_per_example"]


@both
@every
def test_the_model_learns_with_it_and_reads_its_own_weights(kind, tower, tmp_path):
    tf.keras.utils.set_random_seed(1)
    model, other = (MODELS[kind](TOWERS[tower]()) for _ in range(2))
    losses = fit(model)
    assert losses[-1] < losses[0]
    expected = tf.nest.flatten(model(DATA))
    other(DATA)
    model.save_weights(tmp_path / "weights.h5")
    other.load_weights(tmp_path / "weights.h5")
    for ours, theirs in zip(tf.nest.flatten(other(DATA)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@both
@pytest.mark.parametrize("batch_size", [1, 17])  # 17 leaves a short last batch
def test_batches_may_have_any_size(kind, batch_size):
    assert np.isfinite(
        fit(MODELS[kind](TOWERS["mixture"]()), batch_size=batch_size, epochs=1)
    )


@both
def test_the_same_seed_trains_the_same_model(kind):
    losses = []
    for _ in range(2):
        tf.keras.utils.set_random_seed(7)
        losses.append(fit(MODELS[kind](TOWERS["mixture"]()), epochs=2))
    assert losses[0] == losses[1]


@both
@pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)
@pytest.mark.usefixtures("mixed_policy")
def test_it_learns_in_mixed_precision(kind):
    tf.keras.utils.set_random_seed(1)
    losses = fit(MODELS[kind](TOWERS["mixture"]()))
    assert losses[-1] < losses[0]
