"""Small made-up batches and models of UniSAR."""

import numpy as np
import tensorflow as tf

from tfrs_models.models import UniSAR

USERS, ITEMS, WORDS = 7, 23, 19
LENGTH, SESSIONS, CLICKS, QUERY = 5, 4, 3, 6
SIZES = {
    "num_users": USERS,
    "num_items": ITEMS,
    "num_words": WORDS,
    "seq_len": LENGTH,
    "num_sessions": SESSIONS,
    "embedding_dim": 4,
    "width": 8,
    "num_shared": 1,
    "num_specific": 2,
    "expert_units": [16],
    "tower_units": [16],
    "head_units": [16],
    "dropout": 0.0,
    "pair_weight": 0.3,
    "transition_weight": 0.2,
}


def words(rng, *shape):
    """Words, padded on the right, of random lengths from 0 on."""
    count = rng.integers(QUERY + 1, size=[*shape, 1])
    found = rng.integers(1, WORDS + 1, size=[*shape, QUERY])
    return np.where(np.arange(QUERY) < count, found, 0)


def example(rows=6, candidates=4, *, search=False, seed=0):
    """An example of a service; histories have random lengths from 1 on."""
    rng = np.random.default_rng(seed)

    def times(length):
        count = rng.integers(1, length + 1, size=[rows, 1])
        found = np.sort(rng.choice(1000, size=[rows, length], replace=False) + 1)
        return np.where(np.arange(length) < count, found, 0)

    item_time, session_time = times(LENGTH), times(SESSIONS)
    clicks = rng.integers(ITEMS + 1, size=(rows, SESSIONS, CLICKS))
    clicks *= rng.integers(2, size=clicks.shape)
    features = {
        "user_id": rng.integers(USERS, size=rows),
        "item_history": rng.integers(1, ITEMS + 1, size=(rows, LENGTH))
        * (item_time > 0),
        "item_history_time": item_time,
        "session_query": words(rng, rows, SESSIONS) * (session_time > 0)[..., None],
        "session_items": clicks * (session_time > 0)[..., None],
        "session_time": session_time,
        "item_id": rng.integers(1, ITEMS + 1, size=(rows, candidates)),
    }
    return features | ({"query": words(rng, rows)} if search else {})


def batch(rows=6, searches=3, seed=0):
    """The nested dict of a training step."""
    rng = np.random.default_rng(seed + 100)
    return {
        "recommendation": example(rows, seed=seed),
        "search": example(searches, search=True, seed=seed + 1),
        "random": {
            "item_id": rng.integers(1, ITEMS + 1, size=7),
            "query": words(rng, 5),
        },
    }


def make(seed=0, **options):
    """A small model with attributes of items and users."""
    tf.keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    items = {
        "caption": words(rng, ITEMS + 1),
        "genre": rng.integers(4, size=ITEMS + 1),
    }
    items = {name: np.concatenate([v[:1] * 0, v[1:]]) for name, v in items.items()}
    users = {"age": np.arange(USERS) % 3}
    return UniSAR.from_attributes(items=items, users=users, **SIZES | options)


def change(features, name, value):
    """A copy with another feature."""
    return {**features, name: value}


def scores(model, features, task="search"):
    """`[batch, num_candidates]` logits of one service."""
    return model({task: features})[task].numpy()


def gradients(model, features):
    """Gradients of the loss by the name of the variable."""
    return loss_and_gradients(model, features)[1]


def loss_and_gradients(model, features):
    """The loss of training, and its gradients by the name of the variable."""
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        loss = model.compute_loss(features, training=True)
    found = tape.gradient(loss, variables)
    names = [variable.name for variable in variables]
    assert len(set(names)) == len(names)
    return loss, {
        name: None if gradient is None else tf.convert_to_tensor(gradient)
        for name, gradient in zip(names, found, strict=True)
    }
