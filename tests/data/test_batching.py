import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.data.batching import row_batches


def epoch(dataset):
    return [batch.tolist() for batch in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize(("num_rows", "batch_size"), [(0, 3), (1, 4), (9, 3), (10, 3)])
def test_rows_come_in_order_in_batches(num_rows, batch_size, drop):
    dataset = row_batches(num_rows, batch_size, drop_remainder=drop)
    expected = [
        list(range(start, min(start + batch_size, num_rows)))
        for start in range(0, num_rows, batch_size)
    ]
    if drop:
        expected = [batch for batch in expected if len(batch) == batch_size]
    assert epoch(dataset) == expected
    assert len(dataset) == len(expected)


def test_a_shuffled_epoch_has_every_row_once_in_batches_of_the_size():
    batches = epoch(row_batches(103, 10, shuffle=True, seed=1))
    assert [len(batch) for batch in batches] == [10] * 10 + [3]
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(103))
    assert rows != sorted(rows)


def test_every_epoch_is_another_order_and_the_seed_repeats_them_all():
    one, two = (row_batches(50, 7, shuffle=True, seed=3) for _ in range(2))
    epochs = [epoch(one) for _ in range(3)]
    assert epochs == [epoch(two) for _ in range(3)]
    assert epochs[0] != epochs[1]
    assert epochs[1] != epochs[2]
    assert epochs[0] != epoch(row_batches(50, 7, shuffle=True, seed=4))


def test_without_a_seed_the_order_follows_the_global_one():
    orders = []
    for seed in (5, 5, 6):
        tf.random.set_seed(seed)
        orders.append(epoch(row_batches(50, 50, shuffle=True)))
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_repeat_reshuffles():
    batches = epoch(row_batches(20, 20, shuffle=True, seed=1).repeat(2))
    assert batches[0] != batches[1]
    np.testing.assert_array_equal(np.sort(batches), [np.arange(20)] * 2)


def test_full_batches_have_a_static_size():
    dataset = row_batches(10, 4, shuffle=True, drop_remainder=True)
    assert dataset.element_spec.shape == [4]
    assert len(dataset) == 2


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match=r"`batch_size` must be at least 1\. Got 0"):
        row_batches(10, 0)


@pytest.mark.parametrize("shuffle", [False, True])
def test_no_thread_tunes_what_is_made_of_the_rows(shuffle):
    rows = row_batches(9, 2, shuffle=shuffle)
    batches = tf.data.Dataset.zip(rows, rows.map(tf.negative).prefetch(2)).repeat()
    assert batches.options().autotune.enabled is False
