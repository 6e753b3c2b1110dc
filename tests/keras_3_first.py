"""A program that imports Keras 3 before this package, trains on it and retrieves.

It writes what came out of each part as one line of JSON.
"""

import json
import sys
from importlib.util import find_spec

import keras
import numpy as np
import tensorflow as tf

import tfrs_models as tm

NUM_ROWS, DIM = 12, 8


class TwoTower(keras.Model):
    """A model of Keras 3: user `n` likes item `n`, and no other."""

    def __init__(self, loss):
        super().__init__()
        self.users = keras.Sequential(
            [keras.layers.Embedding(NUM_ROWS, DIM), keras.layers.UnitNormalization()]
        )
        self.items = keras.Sequential(
            [keras.layers.Embedding(NUM_ROWS, DIM), keras.layers.UnitNormalization()]
        )
        self.sum_of_batch = loss

    def call(self, features):
        return self.users(features["user_id"]), self.items(features["item_id"])

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        del y, sample_weight
        return self.sum_of_batch(*y_pred, x["item_id"], training) / NUM_ROWS


def softmax(queries, items, item_ids, training):
    return tm.losses.sampled_softmax(
        5 * queries, items, candidate_ids=item_ids, training=training
    ).loss


def trained(loss):
    keras.utils.set_random_seed(1)
    model = TwoTower(loss)
    model.compile(keras.optimizers.Adam(0.1))
    rows = np.arange(NUM_ROWS)
    batches = tf.data.Dataset.from_tensors({"user_id": rows, "item_id": rows})
    batches = batches.repeat(40)
    losses = model.fit(batches, shuffle=False, verbose=0).history
    return model, losses["loss"][-1]


def main():
    rows = np.arange(NUM_ROWS)
    model, loss = trained(softmax)
    task = tm.tasks.Retrieval(temperature=0.2, remove_accidental_hits=True)

    def of_task(queries, items, item_ids, training):
        return task(queries, items, candidate_ids=item_ids, compute_metrics=training)

    _, loss_of_task = trained(of_task)
    items = model.items(rows)
    queries = np.random.default_rng(2).normal(size=(5, DIM)).astype("float32")
    index = tm.layers.BruteForce(k=4).index(items, rows)
    metric = tm.metrics.FactorizedTopK(
        tf.data.Dataset.from_tensors((rows, items)), ks=[1]
    )
    metric.update_state(model.users(rows), items, rows)
    found = {
        "keras": keras.__version__,
        "tf.keras": tf.keras.layers.Layer.__module__,
        "loss": float(loss),
        "loss of the task": float(loss_of_task),
        "best items": tm.layers.BruteForce(model.users, k=1)
        .index(items, rows)(rows)[1]
        .numpy()[:, 0]
        .tolist(),
        "metrics": {m.name: float(m.result()) for m in metric.metrics},
        "items": index(queries)[1].numpy().tolist(),
        "items of keras-rs": None,
    }
    if find_spec("keras_rs"):
        import keras_rs

        theirs = keras_rs.layers.BruteForceRetrieval(items, rows, k=4)
        found["items of keras-rs"] = np.asarray(theirs(queries)[1]).tolist()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
