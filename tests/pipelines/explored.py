"""Exports for the tests of the page: a double without graphs, and a small real one."""

import contextlib
import socket
import threading

import numpy as np
import tensorflow as tf
import uvicorn

import tfrs_models as tm
from pipelines.explore_page.facts import Export
from pipelines.explore_page.rest import RestModel
from tfrs_models.serving.contents import Attribute, Contents

NUM_ITEMS, NUM_USERS = 40, 12
SCRIPT = "<script>alert(1)</script>"
START, DAY = 1_500_000_000, 86_400


def titles(number=NUM_ITEMS):
    return [SCRIPT, "Amélie", *(f"Film {n}" for n in range(3, number + 1))]


def spec(shape, dtype, name):
    return tf.TensorSpec(shape, dtype, name)


INPUTS = {
    "user_id": spec([None], tf.string, "user_id"),
    "k": spec([None], tf.int32, "k"),
    "exclude_seen": spec([None], tf.bool, "exclude_seen"),
}
OUTPUTS = {
    "item_id": spec([None, None], tf.string, "item_id"),
    "title": spec([None, None], tf.string, "title"),
    "score": spec([None, None], tf.float32, "score"),
    "known_user": spec([None], tf.bool, "known_user"),
}


class Function:
    """A signature: the items in their order, with a last position that has no item."""

    def __init__(self, answer, inputs, outputs):
        self.structured_input_signature = ((), inputs)
        self.structured_outputs = outputs
        self.answer = answer

    def __call__(self, **tensors):
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return {name: tf.constant(v) for name, v in self.answer(**arrays).items()}


def best(user_id, k, exclude_seen, **_):
    if k.max() > NUM_ITEMS or k.min() < 1:
        raise tf.errors.InvalidArgumentError(
            None, None, "`k` must be from 1 to the number of items.\nmore lines"
        )
    rows = np.arange(k.max())[None].repeat(len(user_id), axis=0)
    missing = exclude_seen[:, None] & (rows == k.max() - 1)
    return {
        "item_id": np.where(missing, "", np.char.add("i", (rows + 1).astype(str))),
        "title": np.where(missing, "", np.array(titles())[rows]),
        "score": np.where(missing, -np.inf, 1 / (rows + 1)).astype(np.float32),
        "known_user": np.char.startswith(user_id.astype(str), "u"),
    }


def doubled(name="films", *, double=lambda x: {"y": 2 * x}, **changes):
    """An export whose signatures are Python."""
    one = {"x": spec([None, 2], tf.int64, "x")}
    signatures = {
        "serving_default": Function(best, INPUTS, OUTPUTS),
        "double": Function(double, one, {"y": one["x"]}),
    }
    kinds = np.arange(NUM_ITEMS)[:, None] % 3
    contents = {
        "item_ids": [f"i{n}" for n in range(1, NUM_ITEMS + 1)],
        "titles": titles(),
        "popularity": np.arange(NUM_ITEMS, 0, -1) / 820,
        "embeddings": np.random.default_rng(0).normal(size=(NUM_ITEMS, 5)),
        "attributes": {"kind": Attribute(["a", "b", "c"], kinds)},
        "user_ids": [f"u{n}" for n in range(NUM_USERS)],
        "histories": np.arange(NUM_USERS)[:, None] + [1, 2, 0],
        "history_times": None,
        "known_splits": np.zeros(0, np.int64),
        "known_values": np.zeros(0, np.int64),
        "exclude_seen": True,
    }
    contents["histories"][:, 2] = 0
    rest = RestModel(name, 3, signatures, num_items=NUM_ITEMS)
    return Export(rest, Contents(**(contents | changes)))


def histories():
    """Items and times of the users; row 0 is the unknown one."""
    rng = np.random.default_rng(2)
    history = rng.integers(1, NUM_ITEMS + 1, size=(NUM_USERS + 1, 6))
    history[0] = 0
    return history, START + np.sort(rng.integers(90 * DAY, size=history.shape), axis=1)


def recommender(shift=0, *, explain=True):
    """A recommender whose query is the mean of the history, with trends."""
    rng = np.random.default_rng(1)
    kinds = np.arange(NUM_ITEMS) % 4
    centres = np.eye(4, 5)[kinds]
    items = (centres + 0.3 * rng.normal(size=(NUM_ITEMS, 5))).astype(np.float32)
    items = np.roll(items, shift, axis=1)
    table = np.concatenate([np.zeros((1, 5), np.float32), items])
    trends = rng.random((NUM_ITEMS, 3)).astype(np.float32)

    def query(features):
        history = features["history"]
        weights = tf.cast(history > 0, tf.float32)[..., None]
        total = tf.reduce_sum(tf.gather(table, history) * weights, axis=1)
        mean = tf.math.divide_no_nan(total, tf.reduce_sum(weights, axis=1))
        return tf.pad(mean, [[0, 0], [0, 3]], constant_values=0.3)

    index = tm.layers.BruteForce().index(
        np.concatenate([items, trends], axis=1),
        np.arange(1, NUM_ITEMS + 1),
        attributes={
            "kind": np.array([*"pqrs"])[kinds],
            "year": 1990 + np.arange(NUM_ITEMS) % 9,
        },
    )
    history, times = histories()
    known = [sorted({*row} - {0}) for row in history.tolist()]
    live = tm.serving.LiveTrends(
        np.zeros((NUM_ITEMS + 1, 1)),
        [0] * (NUM_ITEMS + 1),
        time=START + 91 * DAY,
        half_lives_days=[7.0],
    )
    shares = np.arange(NUM_ITEMS + 1, 0, -1.0)
    shares[0] = 0
    return tm.serving.Recommender(
        tf.keras.layers.Lambda(query),
        index,
        user_ids=[f"u{n}" for n in range(NUM_USERS)],
        user_features={"history": history, "history_timestamp": times},
        item_ids=[f"i{n}" for n in range(1, NUM_ITEMS + 1)],
        titles=["", *titles()],
        known_items=tf.ragged.constant(known, dtype=tf.int64),
        candidate_probabilities=shares / shares.sum(),
        explain=explain,
        trends=live,
        attribute_values={"kind": [*"pqrs"]},
    )


@contextlib.contextmanager
def serving(app):
    """The address of a real server of an app, in a thread."""
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        sock.close()
