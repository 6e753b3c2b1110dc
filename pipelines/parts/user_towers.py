"""User towers of the retrieval and ranking pipelines."""

from typing import Literal

import tensorflow as tf

import tfrs_models as tm

UserTower = Literal["id", "deep-hash", "cohort", "mixture"]
NAMES: tuple[UserTower, ...] = ("id", "deep-hash", "cohort", "mixture")
READ_ACTIVITY = ("cohort", "mixture")


def build_user_tower(
    name: UserTower,
    embedding_dim: int,
    num_users: int,
    *,
    num_hashes: int = 256,
    num_cohorts: int = 32,
    top_k: int | None = None,
    mixture_dropout: float = 0.8,
) -> tf.keras.layers.Layer:
    """Builds a tower over the index of the user, 0 for the unknown, and the activity.

    Args:
      name: kind of the tower.
      embedding_dim: number of dimensions of its embeddings.
      num_users: number of known users.
      num_hashes: number of hashes of the deep hash.
      num_cohorts: number of cohorts.
      top_k: number of cohorts of a user, None for a softmax over all of them.
      mixture_dropout: dropout of the mixture's gate.
    """
    if name == "deep-hash":
        return tm.towers.DeepHash(embedding_dim, num_hashes=num_hashes)
    ids = tm.towers.UserId(num_users + 1, embedding_dim)
    if name == "id":
        return ids
    cohorts = tm.towers.Cohort(num_cohorts, embedding_dim, top_k=top_k)
    if name == "cohort":
        return cohorts
    return tm.towers.MixtureOfRepresentations([ids, cohorts], dropout=mixture_dropout)


def without_some_ids(
    batches: tf.data.Dataset, share: float, *, seed: int
) -> tf.data.Dataset:
    """Replaces the user of a share of the rows by the unknown user, 0.

    Args:
      batches: dataset of dicts with `user_id`.
      share: share of the rows.
      seed: seed of the draws, which are others in each batch and epoch.
    """

    def drop(batch: dict[str, tf.Tensor], draw: tf.Tensor) -> dict[str, tf.Tensor]:
        user = batch["user_id"]
        dropped = tf.random.stateless_uniform(tf.shape(user), [draw, 2]) < share
        return batch | {"user_id": tf.where(dropped, tf.zeros_like(user), user)}

    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    return tf.data.Dataset.zip(batches, draws).map(drop)
