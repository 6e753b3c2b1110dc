"""An epoch depends on the seed and its number, not on how far others were read."""

import numpy as np
import pytest
import tensorflow as tf

from pipelines.parts.user_towers import without_some_ids
from tests.click_searches import random_searches
from tfrs_models.data import mixed_negatives
from tfrs_models.data.batching import row_batches
from tfrs_models.data.clickstream import ItemSet, click_batches, stream_batches

SEARCHES = random_searches(30)
ITEMS = ItemSet([f"i{number}" for number in range(30)])


def rows():
    return row_batches(50, 7, shuffle=True, seed=3)


def users():
    return rows().map(lambda row: {"user_id": row + 1, "item_id": row})


def wrapped_around():
    """Rows beside a shorter stream, which begins again when it runs out."""
    shorter = row_batches(12, 5, shuffle=True, seed=3, endless=True)
    return tf.data.Dataset.zip({"long": rows(), "short": shorter}).prefetch(2)


def clicks():
    pairs = [(search, None) for search in SEARCHES if not search.is_irrelevant]
    return click_batches(pairs, ITEMS, 4, shuffle=True, seed=2)


SHUFFLED = {
    "rows": rows,
    "rows beside a shorter stream": wrapped_around,
    "ids that are dropped": lambda: without_some_ids(users(), 0.5, seed=3),
    "drawn negatives": lambda: mixed_negatives(
        users(), {"item_id": np.arange(9)}, 3, seed=1
    ),
    "searches": clicks,
    "a stream of searches": lambda: stream_batches(
        lambda: iter(SEARCHES), ITEMS, 4, shuffle_buffer=6, seed=2
    ),
    "Keras's own shuffle": lambda: (
        tf.data.Dataset.range(50).cache().shuffle(50, seed=3).batch(7)
    ),
}


def read(dataset):
    def plain(value):
        is_ragged = isinstance(value, tf.RaggedTensor)
        return value.to_list() if is_ragged else value.numpy().tolist()

    return [tf.nest.map_structure(plain, batch) for batch in dataset]


@pytest.mark.parametrize("kind", SHUFFLED)
def test_a_new_process_finds_the_rest_of_an_epoch(kind):
    make = SHUFFLED[kind]
    one = make()
    iter(one)  # `fit` starts an iteration that it does not read
    epochs = [read(one) for _ in range(4)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[3]
    two = make()
    for _ in range(3):  # epochs that were trained before
        next(iter(two), None)
    iter(two)
    assert read(two.skip(2)) == epochs[3][2:]
