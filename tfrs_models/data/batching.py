"""Batches of row numbers, made without a visit to each row."""

import tensorflow as tf


def row_batches(
    num_rows: int,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int | None = None,
    drop_remainder: bool = False,
    endless: bool = False,
) -> tf.data.Dataset:
    """Makes batches of the numbers `0 .. num_rows - 1`, for a `map` that gathers rows.

    A shuffled epoch is one permutation of all rows, drawn by one op; each epoch has
    another permutation. With a seed the sequence of epochs is always the same; without
    a seed it follows `tf.random.set_seed`.

    Args:
      num_rows: number of rows in the table.
      batch_size: number of rows in a batch; the last batch may be shorter.
      shuffle: whether the rows are permuted.
      seed: seed of the permutations.
      drop_remainder: whether a shorter last batch is dropped.
      endless: whether permuted rows follow one another without an end. How many of them
        an epoch reads does not change the next epoch, as it would with `repeat()`.

    Returns:
      A dataset of `[batch]` int64 row numbers with known cardinality.

    Raises:
      ValueError: the batch size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Got {batch_size}.")
    stop = num_rows - num_rows % batch_size if drop_remainder else num_rows
    starts = tf.data.Dataset.range(0, stop, batch_size)

    def cut(order: tf.Tensor) -> tf.data.Dataset:
        def batch(start: tf.Tensor) -> tf.Tensor:
            rows = order[start : start + batch_size]
            return tf.ensure_shape(rows, [batch_size if drop_remainder else None])

        return starts.map(batch)

    def permuted(epoch_seed: tf.Tensor) -> tf.data.Dataset:
        def permute(number: tf.Tensor) -> tf.Tensor:
            rows = tf.range(num_rows, dtype=tf.int64)
            return tf.random.experimental.stateless_shuffle(rows, [epoch_seed, number])

        numbers = tf.data.Dataset.counter() if endless else tf.data.Dataset.range(1)
        return numbers.map(permute).flat_map(cut)

    if not shuffle:
        return without_autotuning(cut(tf.range(num_rows, dtype=tf.int64)))
    epoch = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1)
    number = tf.data.INFINITE_CARDINALITY if endless else len(starts)
    batches = epoch.flat_map(permuted)
    batches = batches.apply(tf.data.experimental.assert_cardinality(number))
    return without_autotuning(batches)


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switches off the tuning of parallelism, for what is derived from a dataset, too.

    An iterator that is dropped waits for the thread that tunes. This thread can miss
    that it was cancelled, and then sleeps on for up to 60 s: an epoch would end, now
    and then, with a minute in which nothing happens.

    Args:
      dataset: dataset of batches or rows.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
