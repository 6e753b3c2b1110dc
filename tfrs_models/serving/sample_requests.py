"""Sample requests to a recommender, for its contract and the warm-up of a server."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

_PAST = 1_500_000_000  # seconds since 1970


def sample_requests(
    signatures: Mapping[str, tf.types.experimental.PolymorphicFunction],
    users: Sequence[str],
    items: Sequence[str],
) -> dict[str, list[dict[str, np.ndarray]]]:
    """Makes requests of one row and of several, the last of an unknown user.

    Args:
      signatures: signatures of a recommender.
      users: ids of some users.
      items: ids of some items, one at least, as many as an answer has.

    Returns:
      Signature -> requests.
    """
    requests = {}
    for name, function in signatures.items():
        specs = tf.nest.flatten(function.input_signature)
        requests[name] = []
        for size in (1, len(users) + 1):
            values = _values(size, users, items)
            requests[name].append(
                {spec.name: values.get(spec.name, _blank(spec, size)) for spec in specs}
            )
    return requests


def _values(
    size: int, users: Sequence[str], items: Sequence[str]
) -> dict[str, np.ndarray]:
    numbers, number = np.arange(size), len(items)
    items = np.array(items[:4], object)
    history = items[(numbers[:, None] + np.arange(3)) % len(items)]
    history[1::2, 0] = "unknown"
    history[::2, -1] = ""
    is_item = history != ""
    return {
        "user_id": np.array([*users, "unknown"], object)[:size],
        "k": np.full(size, number, np.int32),
        "exclude_seen": numbers % 2 == 0,
        "exclusions": items[numbers % len(items)][:, None],
        "allowed": np.tile(items, [size, 1]),
        "item_id": history,
        "history": history,
        "history_time": np.where(is_item, _PAST + np.cumsum(is_item, axis=1), 0),
        "time": np.where(numbers % 2, 0, _PAST + 100),
        "append": numbers % 3 == 1,
    }


def _blank(spec: tf.TensorSpec, size: int) -> np.ndarray:
    shape = [size] + [1] * (spec.shape.rank - 1)
    if spec.dtype == tf.string:
        return np.full(shape, "", object)
    if spec.dtype.is_floating:
        return np.full([size, *spec.shape[1:]], np.nan, spec.dtype.as_numpy_dtype)
    return np.full(shape, -1, spec.dtype.as_numpy_dtype)
