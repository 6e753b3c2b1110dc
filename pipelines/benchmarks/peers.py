"""Peers of our models, as embeddings of users and items.

Each peer takes interactions and returns `[num_users + 1, num_dims]` and `[num_items,
num_dims]` embeddings, whose dot products are its scores.
"""

import functools

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from pipelines.benchmarks.baselines.als import als_embeddings
from pipelines.benchmarks.baselines.ease import ease_weights
from pipelines.benchmarks.baselines.item_knn import item_knn_weights
from pipelines.benchmarks.baselines.recency import recency_weighted
from pipelines.benchmarks.baselines.tutorial_model import string_tower, tutorial_model
from pipelines.benchmarks.protocols import Embeddings, histories
from tfrs_models.data import Interactions, history_table


def popularity(data: Interactions) -> Embeddings:
    """Scores items by their counts in the training rows."""
    counts = histories(data).sum(axis=0)
    return np.ones((data.num_users + 1, 1)), counts[:, None]


def als(data: Interactions, weighting: str, *, seed: int) -> Embeddings:
    """Trains ALS; the unknown user, row 0, has no history and an embedding of zeros."""
    return als_embeddings(histories(data), weighting=weighting, seed=seed)


@functools.lru_cache(maxsize=1)
def ease(data: Interactions, regularization: float) -> Embeddings:
    """Trains EASE; the embedding of a user is the history itself."""
    history = histories(data)
    weights = ease_weights(history.astype("float64"), regularization=regularization)
    return history, weights.T


def recent_ease(
    data: Interactions,
    split: str,
    *,
    regularization: float,
    half_life: float,
    floor: float,
) -> Embeddings:
    """Trains EASE and weighs the newest items before a split more."""
    _, weights = ease(data, regularization)
    longest = max(1, int(data.known_items(split).row_lengths().numpy().max()))
    recent = recency_weighted(
        history_table(data, split, longest),
        num_items=data.num_items,
        half_life=half_life,
        floor=floor,
    )
    return recent, weights


def item_knn(
    data: Interactions, *, num_neighbours: int, shrinkage: float
) -> Embeddings:
    """Finds the neighbours of all items of a history, which count alike."""
    history = histories(data)
    weights = item_knn_weights(
        history, num_neighbours=num_neighbours, shrinkage=shrinkage
    )
    return history, weights.T


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
