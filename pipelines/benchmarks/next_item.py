"""Models over histories as cases of the sequence benchmark."""

import dataclasses
from typing import Literal

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from pipelines.benchmarks.baselines.plain_sasrec import PlainSASRec
from pipelines.parts import query_towers
from pipelines.parts.flags import Rate, Temperature
from tfrs_models.data import Interactions


@dataclasses.dataclass(frozen=True)
class Setting:
    """How one model is trained."""

    query_tower: query_towers.QueryTower = "history"
    """What reads the history."""
    features: Literal["id", "all"] = "all"
    """What is read of items."""
    embedding_dim: int = 64
    """Width of both towers."""
    history_length: int = 50
    """Items of a history and of a training window."""
    temperature: Temperature = 0.1
    """Of the softmax."""
    batch_size: int = 16
    """Windows of a batch."""
    learning_rate: Rate = 0.005
    """Of Adam, at its highest."""
    epochs: int = 5
    """Over all windows."""
    times: bool = True
    """Whether recency pooling reads when the user had an item."""


def train(data: Interactions, setting: Setting, *, seed: int) -> tm.models.NextItem:
    """Trains on the train rows with a softmax over the batch."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    model = query_towers.build_model(
        data,
        setting.query_tower,
        features=setting.features,
        embedding_dim=setting.embedding_dim,
        temperature=setting.temperature,
        id_dropout=0.0,
        history_length=setting.history_length,
        times=setting.times,
    )
    return fitted(model, data, setting, seed=seed)


def train_plain(
    data: Interactions, setting: Setting, *, seed: int
) -> tm.models.NextItem:
    """Trains a SASRec with one negative a position."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    items = tm.towers.FeatureTower(data.item_features[:1], setting.embedding_dim)
    model = PlainSASRec(items, max_length=setting.history_length)
    return fitted(model, data, setting, seed=seed)


def embeddings(
    model: tm.models.NextItem, data: Interactions, split: str, *, history_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of all users before a split and of all items.

    Returns:
      `[num_users + 1, embedding_dim]` and `[num_items, embedding_dim]`.
    """
    features = query_towers.user_features(
        data, "history", split, history_length=history_length
    )
    users = tf.data.Dataset.from_tensor_slices(features).batch(512)
    corpus = model.embed_candidates(data.candidate_batches())
    return (
        np.concatenate([model.query_model(batch).numpy() for batch in users]),
        np.concatenate([part.numpy() for _, part in corpus]),
    )


def fitted(
    model: tm.models.NextItem, data: Interactions, setting: Setting, *, seed: int
) -> tm.models.NextItem:
    """Trains a model on the windows of the train rows."""
    batches = query_towers.training_batches(
        data,
        setting.query_tower,
        batch_size=setting.batch_size,
        history_length=setting.history_length,
        seed=seed,
    )
    rate = query_towers.learning_rate(
        setting.query_tower,
        setting.learning_rate,
        num_steps=len(batches) * setting.epochs,
    )
    model.compile(tf.keras.optimizers.Adam(rate))
    model.fit(batches, epochs=setting.epochs, verbose=0)
    return model
