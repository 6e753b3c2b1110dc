"""Data sets, splits and cases of the quality benchmarks."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from tfrs_models.data import Interactions, from_frame, load
from tfrs_models.metrics import RankTable, rank_table

ONE_ROW = 1e-9  # a fraction of a user's rows that rounds up to one row

Embeddings = tuple[np.ndarray, np.ndarray]


class Protocol(NamedTuple):
    """A data set split twice: to choose settings, and to measure them.

    Attributes:
      name: name of the data and the split.
      choose: interactions with a validation part, cut from the training rows of
        `measure`.
      measure: interactions with the same test rows, and all others for training.
    """

    name: str
    choose: Interactions
    measure: Interactions


class Case(NamedTuple):
    """A model or a peer of a benchmark.

    Attributes:
      make: function of data, the split to predict and a seed that returns embeddings of
        users and items.
      is_random: whether the seed changes the embeddings.
    """

    make: Callable[[Interactions, str, int], Embeddings]
    is_random: bool = False

    def turns(self, data: Interactions, *, seeds: int) -> Iterator[Embeddings]:
        """Yields the embeddings before the test rows, for every seed that matters."""
        for seed in range(seeds if self.is_random else 1):
            yield self.make(data, "test", seed)


def movielens_100k(*, seed: int) -> Protocol:
    """Random 80/20 split of the tutorials, with an eighth of train to choose on."""
    options = {"split": "random", "test_fraction": 0.2, "seed": seed}
    return Protocol(
        "MovieLens-100K, random 80/20",
        load("recbole:ml-100k", validation_fraction=0.1, **options),
        load("recbole:ml-100k", validation_fraction=0, **options),
    )


def latest_small() -> Protocol:
    """Last row of each user, with the row before it to choose on."""
    return _last_rows("MovieLens latest-small", "movielens-latest-small")


def movielens_100k_last() -> Protocol:
    """Last row of each user, with the row before it to choose on."""
    return _last_rows("MovieLens-100K", "recbole:ml-100k")


def _last_rows(title: str, name: str) -> Protocol:
    return Protocol(
        f"{title}, leave-last-out",
        load(name, split="leave_last_out"),
        load(name, split="per_user_time", validation_fraction=0, test_fraction=ONE_ROW),
    )


def invented() -> Protocol:
    """Random rows, for tests of a benchmark."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": rng.integers(20, size=600)})
    frame["item_id"] = rng.integers(200, size=600)
    data = from_frame(frame, split="random")
    return Protocol("invented", data, data)


def invented_ratings() -> Protocol:
    """Random rows with ratings, for tests of a benchmark."""
    rng = np.random.default_rng(0)
    columns = {"user_id": 20, "item_id": 50, "rating": 5}
    frame = pd.DataFrame({k: rng.integers(n, size=600) for k, n in columns.items()})
    data = from_frame(frame.assign(rating=frame["rating"] + 1), split="random", seed=0)
    return Protocol("invented", data, data)


def invented_times(*, split: str = "leave_last_out", seed: int = 0) -> Protocol:
    """Random rows with times and groups of items, for tests of a benchmark."""
    rng = np.random.default_rng(0)
    columns = {"user_id": 20, "item_id": 50, "timestamp": 100_000}
    frame = pd.DataFrame({k: rng.integers(n, size=600) for k, n in columns.items()})
    frame["group"] = frame["item_id"] % 5
    data = from_frame(frame, split=split, seed=seed, item_category_columns=["group"])
    return Protocol("invented", data, data)


def histories(data: Interactions) -> np.ndarray:
    """Returns `[num_users + 1, num_items]` float32, 1 for training rows."""
    matrix = np.zeros((data.num_users + 1, data.num_items), "float32")
    train = data.splits["train"]
    matrix[train["user_id"], train["item_id"] - 1] = 1
    return matrix


def rank_embeddings(
    users: np.ndarray,
    items: np.ndarray,
    data: Interactions,
    *,
    split: str = "test",
    exclude: bool = True,
) -> RankTable:
    """Ranks the positives of a split by dot products of embeddings.

    Args:
      users: `[num_users + 1, embedding_dim]` embeddings.
      items: `[num_items, embedding_dim]` embeddings.
      data: interactions.
      split: "validation" or "test".
      exclude: whether to leave out items that the user had before the split.
    """
    users, items = tf.constant(users, tf.float32), tf.constant(items, tf.float32)
    ids = tf.range(1, data.num_items + 1, dtype=tf.int64)
    return rank_table(
        lambda features: tf.gather(users, features["user_id"]),
        tf.data.Dataset.from_tensors((ids, items)),
        data.batches(split, 4096),
        exclude="known_items" if exclude else None,
    )
