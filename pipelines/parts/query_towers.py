"""What can stand for a user in the retrieval pipeline, and how it is trained."""

from typing import Literal

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from pipelines.parts.user_towers import READ_ACTIVITY, UserTower, build_user_tower

QueryTower = Literal["history", "gru", "sasrec", "autocorrelation", "id"]
Negatives = Literal["batch", "corpus"]
_HISTORY = {
    "temperature": 0.1,
    "id_dropout": 0.0,
    "batch_size": 16,
    "learning_rate": 0.005,
    "epochs": 5,
}
_ID = {
    "temperature": 0.2,
    "id_dropout": 0.0,
    "batch_size": 1024,
    "learning_rate": 0.001,
    "epochs": 30,
}
_SLOWER = _HISTORY | {"learning_rate": 0.002, "epochs": 10}
DEFAULTS = {
    "history": _HISTORY,
    "gru": _HISTORY,
    "sasrec": _SLOWER,
    "autocorrelation": _SLOWER,
    "id": _ID,
}
_USER = _ID | {"temperature": 0.1, "id_dropout": 0.1}
_FASTER = _USER | {"learning_rate": 0.003}
USER_DEFAULTS = {
    "id": _USER,
    "deep-hash": _FASTER,
    "cohort": _FASTER,
    "mixture": _FASTER,
}
WARMUP = 50  # steps
# Whose 0 is the unknown id; in windows an item of 0 is padding.
ID_FEATURES = dict.fromkeys(DEFAULTS, ("user_id",)) | {"id": ("user_id", "item_id")}


def with_user_features(
    data: tm.data.Interactions,
    query_tower: QueryTower,
    *,
    user_tower: UserTower | None,
    history_length: int,
) -> tm.data.Interactions:
    """The data whose batches carry what the query tower reads."""
    if query_tower != "id":
        return tm.data.with_histories(data, history_length)
    return tm.data.with_activity(data) if user_tower in READ_ACTIVITY else data


def build_model(
    data: tm.data.Interactions,
    query_tower: QueryTower,
    *,
    features: Literal["id", "all"],
    embedding_dim: int,
    temperature: float,
    id_dropout: float,
    history_length: int,
    negatives: Negatives = "batch",
    times: bool = True,
    user_tower: UserTower | None = None,
) -> tm.models.TwoTower:
    """Both towers, without metrics; `NextItem` where histories stand for users.

    With `times` recency pooling reads when the user had an item too.
    """
    last = 1 if features == "id" else None
    users, items = (
        tm.towers.FeatureTower(declared[:last], embedding_dim, id_dropout=id_dropout)
        for declared in (data.user_features, data.item_features)
    )
    if query_tower == "id":
        if user_tower is not None:
            users = build_user_tower(user_tower, embedding_dim, data.num_users)
        return tm.models.TwoTower(users, items, temperature=temperature)
    items = tm.towers.FeatureLookup(items, data.items)
    if query_tower == "history":
        timestamp = "history_timestamp" if times else None
        query = tm.towers.RecencyPooling(items, embedding_dim, timestamp=timestamp)
    elif query_tower == "gru":
        query = tm.towers.GRU4Rec(items, embedding_dim)
    elif query_tower == "autocorrelation":
        query = tm.towers.AutoCorrelationTower(
            items, embedding_dim, max_length=history_length
        )
    else:
        query = tm.towers.SASRec(items, embedding_dim, max_length=history_length)
    corpus_size = data.num_train_items if negatives == "corpus" else None
    return tm.models.NextItem(query, temperature=temperature, corpus_size=corpus_size)


def training_batches(
    data: tm.data.Interactions,
    query_tower: QueryTower,
    *,
    batch_size: int,
    history_length: int,
    seed: int,
) -> tf.data.Dataset:
    """Rows where ids stand for users, else windows of their sequences."""
    if query_tower == "id":
        return data.batches(
            "train", batch_size, shuffle=True, seed=seed, known_items=True
        )
    return tm.data.window_batches(
        data,
        batch_size,
        length=history_length,
        stride=max(1, history_length // 2),
        seed=seed,
    )


def user_features(
    data: tm.data.Interactions,
    query_tower: QueryTower,
    split: str,
    *,
    history_length: int,
    user_tower: UserTower | None = None,
) -> dict[str, np.ndarray]:
    """What the query tower reads of every user before a split."""
    if query_tower != "id":
        columns = {"history": "item_id", "history_timestamp": "timestamp"}
        return data.users | {
            name: tm.data.history_table(data, split, history_length, column=column)
            for name, column in columns.items()
        }
    if user_tower in READ_ACTIVITY:
        table, _ = tm.data.activity_table(data, split)
        return data.users | {"user_features": table}
    return data.users


def learning_rate(
    query_tower: QueryTower, highest: float, *, num_steps: int
) -> float | tf.keras.optimizers.schedules.LearningRateSchedule:
    """Constant where ids stand for users, else warmed up, then along a cosine to 0."""
    if query_tower == "id":
        return highest
    warmup = min(WARMUP, num_steps // 2)
    return tf.keras.optimizers.schedules.CosineDecay(
        0.0, max(1, num_steps - warmup), warmup_target=highest, warmup_steps=warmup
    )
