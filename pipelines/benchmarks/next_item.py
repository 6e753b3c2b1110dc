"""Models over histories for the benchmarks of sequences and new items."""

import dataclasses
from typing import Literal

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from pipelines.benchmarks.baselines.plain_sasrec import PlainSASRec
from pipelines.parts import query_towers
from tfrs_models.data import Interactions


@dataclasses.dataclass(frozen=True)
class Setting(query_towers.QueryTowerConfig):
    """Towers of one model and their training."""

    trends: Literal["auto", "yes", "no"] = "no"
    """Whether trends of items enter the score; the benchmarks rank without."""
    times: bool = True
    """Whether recency pooling reads the times of the history."""
    query_time: bool | None = False
    """Whether it reads the time of the request, which `embeddings` of users lack."""


def train(data: Interactions, setting: Setting, *, seed: int) -> tm.models.NextItem:
    """Trains on the windows of the train rows with the softmax over the batch."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    resolved = query_towers.resolved(setting)
    model = query_towers.build_model(resolved, data, times=setting.times)
    return fitted(model, data, setting, seed=seed)


def train_plain(
    data: Interactions, setting: Setting, *, seed: int
) -> tm.models.NextItem:
    """Trains a SASRec with one negative for each position."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    items = tm.towers.FeatureTower(data.item_features[:1], setting.embedding_dim)
    model = PlainSASRec(items, seq_len=setting.history_length)
    return fitted(model, data, setting, seed=seed)


def embeddings(
    model: tm.models.NextItem, data: Interactions, split: str, setting: Setting
) -> tuple[np.ndarray, np.ndarray]:
    """Embeds all users before a split, and all items.

    Returns:
      `[num_users + 1, embedding_dim]` and `[num_items, embedding_dim]`.
    """
    features = query_towers.user_features(query_towers.resolved(setting), data, split)
    users = tf.data.Dataset.from_tensor_slices(features).batch(512)
    corpus = model.embed_candidates(data.candidate_batches())
    return (
        np.concatenate([model.query_tower(batch).numpy() for batch in users]),
        np.concatenate([part.numpy() for _, part in corpus]),
    )


def fitted(
    model: tm.models.NextItem, data: Interactions, setting: Setting, *, seed: int
) -> tm.models.NextItem:
    """Trains a model on the windows of the train rows."""
    setting = query_towers.resolved(setting)
    batches = query_towers.training_batches(setting, data, seed=seed)
    rate = query_towers.learning_rate(setting, num_steps=len(batches) * setting.epochs)
    model.compile(tf.keras.optimizers.Adam(rate))
    model.fit(batches, epochs=setting.epochs, verbose=0)
    return model
