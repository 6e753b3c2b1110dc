"""Our two towers as a case of the quality benchmark."""

import dataclasses

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from pipelines.parts.flags import Rate, ShareBelowOne, Temperature
from tfrs_models.data import Interactions

VALIDATION = {
    "hit_rate_at_100": "val_factorized_top_k/top_100_categorical_accuracy",
    "ndcg_at_10": "val_factorized_top_k/ndcg_at_10",
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """Values that a search chooses."""

    embedding_dim: int = 64
    """Number of dimensions of both towers."""
    temperature: Temperature = 0.2
    """Temperature of the softmax."""
    learning_rate: Rate = 0.005
    """Learning rate of Adam."""
    batch_size: int = 1024
    """Rows per batch."""
    id_dropout: ShareBelowOne = 0.0
    """Id dropout of both towers."""
    mask_known: bool = False
    """Whether a user's other training items are no negatives."""
    features: bool = False
    """Whether towers read more than ids."""
    epochs: int = 10
    """Number of epochs; a search ignores it and reports its best epoch."""


def build(
    data: Interactions,
    setting: Setting,
    *,
    task: tm.tasks.Retrieval | None = None,
) -> tm.models.TwoTower:
    """Builds and compiles the model with its corpus metrics.

    Args:
      data: interactions whose features the towers read.
      setting: setting; its temperature is that of the default task only.
      task: task instead of the default one.
    """
    last = None if setting.features else 1
    query, candidate = (
        tm.towers.FeatureTower(
            features[:last], setting.embedding_dim, id_dropout=setting.id_dropout
        )
        for features in (data.user_features, data.item_features)
    )
    model = tm.models.TwoTower(
        query, candidate, task=task, temperature=setting.temperature
    )
    model.task.factorized_metrics = tm.metrics.FactorizedTopK(
        model.embed_candidates(data.candidate_batches()),
        ks=(100,),
        metrics=("ndcg_at_10",),
    )
    model.compile(optimizer=tf.keras.optimizers.Adam(setting.learning_rate))
    return model


def training_batches(
    data: Interactions, setting: Setting, *, seed: int
) -> tf.data.Dataset:
    """Returns shuffled batches, with known items if the setting masks them."""
    return data.batches(
        "train",
        setting.batch_size,
        shuffle=True,
        seed=seed,
        known_items=setting.mask_known,
    )


def validation_curve(
    data: Interactions,
    setting: Setting,
    *,
    metric: str,
    seed: int,
    max_epochs: int = 30,
    patience: int = 4,
) -> list[float]:
    """Trains until a metric stops rising, and returns its value after every epoch.

    Args:
      data: interactions with a validation part.
      setting: setting, whose `epochs` are ignored.
      metric: key of `VALIDATION`.
      seed: seed of weights and batches.
      max_epochs: largest number of epochs.
      patience: epochs without a better value after which training stops.
    """
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    stop = tm.training.StopOnMetric(
        VALIDATION[metric], patience=patience, restore_best_weights=False
    )
    history = build(data, setting).fit(
        training_batches(data, setting, seed=seed),
        validation_data=data.batches("validation", 4096),
        epochs=max_epochs,
        callbacks=[stop],
        verbose=0,
    )
    return history.history[VALIDATION[metric]]


def train_embeddings(
    data: Interactions, setting: Setting, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Trains, then embeds all users and items.

    Returns:
      `[num_users + 1, embedding_dim]` and `[num_items, embedding_dim]`.
    """
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    model = build(data, setting)
    rows = training_batches(data, setting, seed=seed)
    model.fit(rows, epochs=setting.epochs, verbose=0)
    return embeddings(model, data)


def embeddings(
    model: tm.models.TwoTower, data: Interactions
) -> tuple[np.ndarray, np.ndarray]:
    """Embeds all users and items.

    Returns:
      `[num_users + 1, embedding_dim]` and `[num_items, embedding_dim]`.
    """
    users = {name: tf.constant(column) for name, column in data.users.items()}
    corpus = model.embed_candidates(data.candidate_batches())
    items = np.concatenate([part.numpy() for _, part in corpus])
    return model.query_tower(users).numpy(), items
