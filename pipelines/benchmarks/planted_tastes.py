"""Synthetic clicks of many users, each with a taste that a model must remember."""

import dataclasses

import numpy as np
import tensorflow as tf

import tfrs_models as tm

SLICES = ("head", "torso", "tail", "all")
_SHARED, _OWN = 0.7, 1.4  # sizes of the shared taste and of a user's own
_ACTIVITY = 0.8  # exponent of Zipf


@dataclasses.dataclass(frozen=True)
class Clicks:
    """Training and test rows of users with planted tastes.

    Args:
      train: columns `user_id` (int64 below 2^62), `user_number` (below the number of
        users), `item_features` and `label`, `[num_rows, ...]` each.
      test: the same columns of other rows of the same users.
      test_logits: `[num_rows]` logits from which the test labels were drawn.
      test_slices: `[num_rows]` strings: "head" for the most active users with a third
        of the training rows, "torso" for those of the next third, "tail" for the rest.
      num_users: slice -> number of users with a training row.
    """

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    test_logits: np.ndarray
    test_slices: np.ndarray
    num_users: dict[str, int]

    def judge(self, logits: np.ndarray) -> dict[str, tuple[float, float]]:
        """Returns slice -> AUC and log loss of logits on the test rows."""
        labels, logits = self.test["label"], np.asarray(logits, np.float64)
        losses = np.logaddexp(0, logits) - labels * logits
        parts = {name: self.test_slices == name for name in SLICES[:-1]}
        parts["all"] = np.ones(len(labels), bool)
        found = {}
        for name, rows in parts.items():
            one = np.zeros(rows.sum())
            _, auc = tm.metrics.grouped_auc(labels[rows], logits[rows], one)
            found[name] = float(auc[0]), float(losses[rows].mean())
        return found


def make_clicks(
    users: int, *, rows: int, test_rows: int, taste_dim: int, seed: int
) -> Clicks:
    """Draws users by Zipf, items uniformly, and labels by the user's taste.

    The logit of a click is the dot product of the item's features, which are standard
    normal, with the sum of a taste that all users share and the user's own taste.
    """
    rng = np.random.default_rng(seed)
    ids = rng.integers(2**62, size=users)
    scale = taste_dim**-0.5
    tastes = rng.standard_normal((users, taste_dim), dtype=np.float32) * _OWN * scale
    shared = rng.standard_normal(taste_dim, dtype=np.float32)
    tastes += shared * _SHARED / np.linalg.norm(shared)
    chances = np.arange(1, users + 1) ** -_ACTIVITY
    edges = np.cumsum(chances / chances.sum())

    def draw(count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        user = np.minimum(np.searchsorted(edges, rng.random(count)), users - 1)
        items = rng.standard_normal((count, taste_dim), dtype=np.float32)
        logits = np.einsum("rd,rd->r", tastes[user], items)
        labels = rng.random(count) < 1 / (1 + np.exp(-logits))
        columns = {
            "user_id": ids[user],
            "user_number": user,
            "item_features": items,
            "label": labels.astype(np.float32),
        }
        return columns, logits

    train, _ = draw(rows)
    test, logits = draw(test_rows)
    counts = np.bincount(train["user_number"], minlength=users)
    slices = tm.metrics.popularity_slices(counts / rows)
    part = slices[test["user_number"]]
    known = part != "cold"
    return Clicks(
        train=train,
        test={name: column[known] for name, column in test.items()},
        test_logits=logits[known],
        test_slices=part[known],
        num_users={name: int((slices == name).sum()) for name in SLICES[:-1]}
        | {"all": int((counts > 0).sum())},
    )


class TasteModel(tm.Model):
    """Adds a shared taste to the dot product of user tower and projected item."""

    def __init__(self, user_tower: tf.keras.layers.Layer | None) -> None:
        """Initializes the model; without a tower all users are the same."""
        super().__init__()
        self.user_tower = user_tower
        self.shared = tf.keras.layers.Dense(1)
        if user_tower is not None:
            self.items = tf.keras.layers.Dense(user_tower.embedding_dim, use_bias=False)

    def call(self, features: dict, training: bool = False) -> tf.Tensor:
        """Returns `[batch]` logits."""
        items = features["item_features"]
        logits = self.shared(items)[:, 0]
        if self.user_tower is None:
            return logits
        users = self.user_tower(features, training=training)
        return logits + tf.einsum("bd,bd->b", users, self.items(items))

    def compute_loss(self, features: dict, training: bool = False) -> tf.Tensor:
        """Returns the mean cross-entropy of the batch."""
        logits = self(features, training=training)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(features["label"], logits)
        return tf.reduce_mean(losses)
