import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from tfrs_models.towers import ScoreTower

RNG = np.random.default_rng(4)


def sparse(*shape, density=0.4):
    values = RNG.normal(size=shape) * (RNG.random(shape) < density)
    return scipy.sparse.csr_array(values.astype("float32"))


@pytest.fixture
def terms():
    columns = np.array([6, 0, 3])
    return [
        (sparse(5, 4), RNG.normal(size=(4, 7)).astype("float32"), np.arange(7)),
        (sparse(5, 3), sparse(3, 7), np.arange(7)),
        (sparse(5, 2), RNG.normal(size=(2, 3)).astype("float32"), columns),
        (sparse(5, 6, density=0), sparse(6, 3), columns),
    ]


def test_scores_are_the_base_and_the_products_of_all_terms(terms):
    base = RNG.normal(size=7)
    expected = np.tile(base, (5, 1))
    for features, weights, columns in terms:
        dense = weights.toarray() if scipy.sparse.issparse(weights) else weights
        for row in range(5):
            for position, column in enumerate(columns):
                for feature in range(features.shape[1]):
                    product = features[row, feature] * dense[feature, position]
                    expected[row, column] += product
    rows = np.array([3, 0, 4, 3])
    tower = ScoreTower.of(base, terms)
    call = tf.function(tower)
    for function in (tower, call):
        scores = function({"user_row": tf.constant(rows)})
        np.testing.assert_allclose(scores, expected[rows], atol=1e-5)
    assert call({"user_row": tf.zeros([0], tf.int32)}).shape == (0, 7)


def test_a_base_alone_is_the_same_for_all_rows():
    tower = ScoreTower.of([0.5, 2], [], num_rows=3)
    assert tower({"user_row": tf.constant([2, 0])}).numpy().tolist() == [[0.5, 2]] * 2


def test_values_of_another_shape_are_refused(terms):
    with pytest.raises(ValueError, match="`terms` must be 4 terms. Got 1"):
        ScoreTower.of(np.zeros(7), terms).set_values(np.zeros(7), terms[:1])
    with pytest.raises(ValueError, match="no more columns than the 3 items"):
        ScoreTower.of(np.zeros(3), terms)
