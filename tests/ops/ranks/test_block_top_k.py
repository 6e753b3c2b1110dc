import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.ops.ranks.block_top_k import block_top_k


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("width", [64, 640, 1280, 1281])
@pytest.mark.parametrize("k", [1, 3, 50])
@pytest.mark.parametrize("share", [1.0, 0.93, 0.5])
def test_it_is_top_k_of_the_columns_that_count(dynamic, width, k, share):
    rng = np.random.default_rng(width + k)
    scores = rng.integers(-40, 40, size=(5, width)).astype("float32")  # many ties
    scores[2] = -np.inf
    num_valid = max(int(share * width), k)
    order = np.argsort(-scores[:, :num_valid], axis=1, kind="stable")[:, :k]

    def search(scores, num_valid):
        return block_top_k(scores, k, num_valid=num_valid)

    if dynamic:
        spec = [tf.TensorSpec([None, None]), tf.TensorSpec([], tf.int32)]
        search = tf.function(search, input_signature=spec)
    values, columns = search(tf.constant(scores), tf.constant(num_valid))
    np.testing.assert_array_equal(columns, order)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, order, axis=1))


def test_k_may_be_a_tensor():
    scores = np.random.default_rng(0).normal(size=(3, 640)).astype("float32")
    for k in (2, 500):
        values, _ = block_top_k(tf.constant(scores), tf.constant(k))
        np.testing.assert_array_equal(values, np.sort(scores)[:, ::-1][:, :k])
