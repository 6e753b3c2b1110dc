"""What can stand for a user in the retrieval pipeline, and how it is trained."""

from typing import Literal

import numpy as np
import tensorflow as tf

import tfrs_models as tm

QueryTower = Literal["history", "gru", "sasrec", "id"]
UserTower = Literal["id", "deep-hash", "cohort", "mixture"]
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
DEFAULTS = {"history": _HISTORY, "gru": _HISTORY, "sasrec": _SLOWER, "id": _ID}
_USER = _ID | {"temperature": 0.1, "id_dropout": 0.1}
_FASTER = _USER | {"learning_rate": 0.003}
USER_DEFAULTS = {
    "id": _USER,
    "deep-hash": _FASTER,
    "cohort": _FASTER,
    "mixture": _FASTER,
}
READ_ACTIVITY = ("cohort", "mixture")
NUM_HASHES = 256  # of the deep hash
NUM_COHORTS = 32
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
    user_tower: UserTower | None = None,
) -> tm.models.TwoTower:
    """Both towers, without metrics; `NextItem` where histories stand for users."""
    last = 1 if features == "id" else None
    users, items = (
        tm.towers.FeatureTower(declared[:last], embedding_dim, id_dropout=id_dropout)
        for declared in (data.user_features, data.item_features)
    )
    if query_tower == "id":
        if user_tower is not None:
            users = _user_tower(user_tower, embedding_dim, num_users=data.num_users)
        return tm.models.TwoTower(users, items, temperature=temperature)
    items = tm.towers.FeatureLookup(items, data.items)
    if query_tower == "history":
        query = tm.towers.RecencyPooling(items, embedding_dim)
    elif query_tower == "gru":
        query = tm.towers.GRU4Rec(items, embedding_dim)
    else:
        query = tm.towers.SASRec(items, embedding_dim, max_length=history_length)
    corpus_size = data.num_train_items if negatives == "corpus" else None
    return tm.models.NextItem(query, temperature=temperature, corpus_size=corpus_size)


def _user_tower(
    name: UserTower, embedding_dim: int, *, num_users: int
) -> tf.keras.layers.Layer:
    """A tower over the index of the user, 0 for the unknown, and their activity."""
    if name == "id":
        return tm.towers.UserId(num_users + 1, embedding_dim)
    if name == "deep-hash":
        return tm.towers.DeepHash(embedding_dim, num_hashes=NUM_HASHES)
    cohort = tm.towers.Cohort(NUM_COHORTS, embedding_dim)
    if name == "cohort":
        return cohort
    ids = tm.towers.UserId(num_users + 1, embedding_dim)
    return tm.towers.MixtureOfRepresentations([ids, cohort])


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


def without_some_ids(
    batches: tf.data.Dataset, share: float, *, seed: int
) -> tf.data.Dataset:
    """Rows of which a share is by the unknown user, 0: every user tower learns it."""

    def drop(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        user = batch["user_id"]
        dropped = tf.random.uniform(tf.shape(user), seed=seed) < share
        return batch | {"user_id": tf.where(dropped, tf.zeros_like(user), user)}

    return batches.map(drop)


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
        table = tm.data.history_table(data, split, history_length)
        return data.users | {"history": table}
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
