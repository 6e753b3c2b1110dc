"""What can stand for a user by themselves, in the retrieval and ranking pipelines."""

from typing import Literal

import tensorflow as tf

import tfrs_models as tm

UserTower = Literal["id", "deep-hash", "cohort", "mixture"]
NAMES: tuple[UserTower, ...] = ("id", "deep-hash", "cohort", "mixture")


def build_user_tower(
    name: UserTower,
    *,
    num_users: int,
    embedding_dim: int,
    id_dropout: float,
    num_hashes: int,
    num_cohorts: int,
    top_k: int | None,
    mixture_dropout: float,
) -> tf.keras.layers.Layer:
    """A tower over `user_id`, where -1 is unknown, and `user_features`."""
    if name == "deep-hash":
        return tm.towers.DeepHash(embedding_dim, num_hashes=num_hashes)
    ids = tm.towers.UserId(num_users + 1, embedding_dim, id_dropout=id_dropout)
    if name == "id":
        return ids
    cohorts = tm.towers.Cohort(num_cohorts, embedding_dim, top_k=top_k)
    if name == "cohort":
        return cohorts
    return tm.towers.MixtureOfRepresentations([ids, cohorts], dropout=mixture_dropout)
