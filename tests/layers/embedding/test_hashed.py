import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.layers import HashedEmbedding


def test_integers_go_to_the_row_of_their_remainder_whatever_the_shape():
    layer = HashedEmbedding(7, 3)
    ids = np.array([[0, 6], [-1, 2**40 + 5]])
    table = layer.table.numpy()
    expected = [[table[int(i) % 7] for i in row] for row in ids]
    np.testing.assert_array_equal(layer(ids), expected)


def test_strings_have_a_row_each_where_there_is_room():
    names = tf.constant([f"item {i}" for i in range(50)])
    rows = HashedEmbedding(100_000, 2)(names).numpy()
    assert len(np.unique(rows, axis=0)) == 50


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
def test_wrong_sizes_are_named(sizes):
    with pytest.raises(ValueError, match="`num_buckets` and `embedding_dim` must be"):
        HashedEmbedding(*sizes)
