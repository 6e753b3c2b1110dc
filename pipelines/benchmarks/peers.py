"""Peers of our models, as embeddings of users and items.

Each peer takes interactions and returns `[num_users + 1, num_dims]` and `[num_items,
num_dims]` embeddings, whose dot products are its scores.
"""

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from pipelines.benchmarks.baselines.tutorial_model import string_tower, tutorial_model
from pipelines.benchmarks.protocols import Embeddings
from tfrs_models.baselines import ALS, EASE, ItemKNN, Popularity
from tfrs_models.baselines.item_weights import ItemWeights
from tfrs_models.data import Interactions

_BEFORE = "validation"  # all peers are fitted on the training rows


def popularity(data: Interactions) -> Embeddings:
    """Scores items by their counts in the training rows."""
    counts = Popularity().fit(data, split=_BEFORE).score(np.array([0]))
    return np.ones((data.num_users + 1, 1)), counts.T


def als(data: Interactions, weighting: str, *, seed: int) -> Embeddings:
    """Trains ALS; the unknown user, row 0, has no history and an embedding of zeros."""
    return ALS(weighting=weighting, seed=seed).fit(data, split=_BEFORE).embeddings


def ease(data: Interactions, regularization: float) -> Embeddings:
    """Trains EASE; the embedding of a user is the history itself."""
    return _embeddings(EASE(regularization=regularization).fit(data, split=_BEFORE))


def recent_ease(
    data: Interactions,
    split: str,
    *,
    regularization: float,
    half_life: float,
    floor: float,
) -> Embeddings:
    """Trains EASE and weighs the newest items before a split more."""
    return _embeddings(
        EASE(regularization=regularization, half_life_items=half_life, floor=floor).fit(
            data, split=split
        )
    )


def item_knn(
    data: Interactions, *, num_neighbours: int, shrinkage: float
) -> Embeddings:
    """Finds the neighbours of all items of a history, which count alike."""
    return _embeddings(
        ItemKNN(num_neighbours=num_neighbours, shrinkage=shrinkage).fit(
            data, split=_BEFORE
        )
    )


def _embeddings(baseline: ItemWeights) -> Embeddings:
    """Histories of users, and the weights of each item."""
    history = baseline.history[:, baseline.weighted_items].toarray()
    items = np.zeros((baseline.num_items, history.shape[1]), "float32")
    weights = baseline.weights
    weights = weights if isinstance(weights, np.ndarray) else weights.toarray()
    items[baseline.weighted_items] = weights.T
    return history, items


def tutorial(data: Interactions, *, seed: int) -> Embeddings:
    """Trains the model of the retrieval tutorial, on ids instead of titles."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    users, items = data.vocabularies["user_id"], data.vocabularies["item_id"]
    user_model, item_model = string_tower(users), string_tower(items)
    model = tutorial_model(
        user_model, item_model, tfrs.tasks.Retrieval(), base=tfrs.Model
    )
    model.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate=0.1))
    train = data.splits["train"]
    rows = {
        "user_id": users[train["user_id"] - 1],
        "movie_title": items[train["item_id"] - 1],
    }
    rows = {name: column.astype(str) for name, column in rows.items()}
    dataset = tf.data.Dataset.from_tensor_slices(rows).shuffle(100_000, seed=seed)
    model.fit(dataset.batch(8192).cache(), epochs=3, verbose=0)
    known = user_model(tf.constant(users.astype(str))).numpy()
    unknown = np.zeros_like(known[:1])
    return np.concatenate([unknown, known]), item_model(
        tf.constant(items.astype(str))
    ).numpy()
