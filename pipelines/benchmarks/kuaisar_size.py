"""A model, rows and texts of random ids, in the sizes of KuaiSAR."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfrs_models.models import UniSAR

_CATEGORIES = {"first_level_category_id": 38, "second_level_category_id": 297}
_USERS = {
    "onehot_feat1": 8,
    "onehot_feat2": 3,
    "search_active_level": 7,
    "rec_active_level": 4,
}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of tables and rows."""

    users: int = 22_700
    """Number of rows of the table of users."""
    items: int = 673_415
    """Number of items; the table has one row more."""
    words: int = 394_911
    """Number of words; the table has one row more."""
    length: int = 30
    """Number of events of each history; none is padding."""
    text: int = 50
    """Largest number of words of a caption or query."""
    clicks: int = 5
    """Largest number of clicks of a search."""


def make_model(sizes: Sizes) -> UniSAR:
    """Builds a model of these sizes with random captions and categories."""
    tf.keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    items = {"caption": make_words(sizes, rng, sizes.items + 1).astype("int32")}
    for name, size in _CATEGORIES.items():
        items[name] = rng.integers(size, size=sizes.items + 1)
        items[name][-1] = size - 1
    users = {}
    for name, size in _USERS.items():
        users[name] = np.arange(sizes.users) % size
    return UniSAR.from_attributes(
        items=items,
        users=users,
        num_users=sizes.users,
        num_items=sizes.items,
        num_words=sizes.words,
        seq_len=sizes.length,
        num_sessions=sizes.length,
    )


def make_example(
    sizes: Sizes,
    rng: np.random.Generator,
    rows: int,
    candidates: int,
    *,
    is_search: bool = False,
) -> dict[str, np.ndarray]:
    """Makes rows of a service with full histories and random candidates."""
    slots = (rows, sizes.length)
    time = np.sort(rng.integers(1, 10**12, size=slots), axis=1)

    def items(*shape: int) -> np.ndarray:
        return rng.integers(1, sizes.items + 1, size=shape)

    count = rng.integers(sizes.clicks + 1, size=(*slots, 1))
    if sizes.text < 0:
        count[:] = sizes.clicks
    features = {
        "user_id": rng.integers(sizes.users, size=rows),
        "item_history": items(*slots),
        "item_history_time": time,
        "session_query": make_words(sizes, rng, *slots, most=10),
        "session_items": items(*slots, sizes.clicks)
        * (np.arange(sizes.clicks) < count),
        "session_time": time + 1,
        "item_id": items(rows, candidates),
    }
    if is_search:
        features["query"] = make_words(sizes, rng, rows, most=10)
    return features


def make_words(
    sizes: Sizes, rng: np.random.Generator, *shape: int, most: int | None = None
) -> np.ndarray:
    """Makes texts of random lengths; `sizes.text` below 0 makes all of them full."""
    width = abs(sizes.text)
    words = rng.integers(1, sizes.words + 1, size=(*shape, width), dtype="int32")
    count = rng.integers(1, min(most or width, width) + 1, size=(*shape, 1))
    is_word = (np.arange(width) < count) | (sizes.text < 0)
    return (words * is_word).astype("int64")
