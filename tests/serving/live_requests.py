"""Calls of the signature `history` with a single request."""

import tensorflow as tf


def request(user="", history=(), times=None, **changes):
    """Arguments of the signature `history` for one row."""
    times = [0] * len(history) if times is None else times
    live = {
        "history": tf.reshape(tf.constant([*history], tf.string), [1, -1]),
        "history_time": tf.reshape(tf.constant([*times], tf.int64), [1, -1]),
        "time": tf.constant([changes.pop("time", 0)], tf.int64),
        "append": tf.constant([changes.pop("append", False)]),
    }
    values = {"k": 6, "exclude_seen": False, "exclusions": [""], "kind": [""]}
    values |= changes
    return {
        "user_id": tf.constant([user]),
        "k": tf.constant([values["k"]]),
        "exclude_seen": tf.constant([values["exclude_seen"]]),
        "exclusions": tf.constant([values["exclusions"]]),
        "filters": {"kind": tf.constant([values["kind"]])},
        "live": live,
    }


def ask(module, *args, **kwargs):
    answer = module.recommend_history(**request(*args, **kwargs))
    return {name: value.numpy()[0] for name, value in answer.items()}
