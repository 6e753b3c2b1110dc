"""A model, rows and texts in the sizes of KuaiSAR, of random ids."""

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
    """Of tables and rows."""

    users: int = 22_700
    """Rows of the table of users."""
    items: int = 673_415
    """Items; the table has one row more."""
    words: int = 394_911
    """Words; the table has one row more."""
    length: int = 30
    """Events of each history; none is padding."""
    text: int = 50
    """Words of a caption or query, at most."""
    clicks: int = 5
    """Clicks of a search, at most."""


def make_model(sizes: Sizes) -> UniSAR:
    """A model of these sizes; captions and categories are random."""
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
        history_length=sizes.length,
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
    """An example of a service: full histories, random candidates."""
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
    """Texts of random lengths; all full where `sizes.text` is below 0."""
    width = abs(sizes.text)
    words = rng.integers(1, sizes.words + 1, size=(*shape, width), dtype="int32")
    count = rng.integers(1, min(most or width, width) + 1, size=(*shape, 1))
    is_word = (np.arange(width) < count) | (sizes.text < 0)
    return (words * is_word).astype("int64")
