import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.data.unseen import unseen_sampler

COUNTS = np.array([0, 9, 7, 7, 4, 2, 1, 0])  # the last item is cold
HAD = {0: [2, 4], 3: [1], 4: [1, 2, 3, 4, 5], 7: [1, 2, 3, 4, 5, 6], 9: [7, 6, 3]}


def sample(groups, uniform):
    pairs = [(group, item) for group, items in HAD.items() for item in items]
    pairs += pairs[:3]  # a user may have an item twice
    group, item = np.array(pairs).T
    draw = unseen_sampler(COUNTS, group, item)
    return draw(tf.constant(groups, tf.int64), tf.constant(uniform, tf.float64)).numpy()


@pytest.mark.parametrize("group", [*HAD, 5, 12])
def test_each_count_of_each_unseen_item_is_one_draw(group):
    """A draw for each unit of the counts that are left, and no other, in order."""
    had = HAD.get(group, [])
    left = [item for item in range(8) if item not in had for _ in range(COUNTS[item])]
    uniform = (np.arange(len(left)) + 0.5)[None, :] / max(len(left), 1)
    assert sample([group], uniform)[0].tolist() == left


def test_the_ends_of_the_interval_are_unseen_items_too():
    ends = np.array([[0.0, 1 - 2.0**-53]])
    groups = [0, 3, 4, 5, 9]
    found = sample(groups, np.repeat(ends, len(groups), axis=0))
    assert found.tolist() == [[1, 6], [2, 6], [6, 6], [1, 6], [1, 5]]


def test_who_had_everything_that_training_shows_gets_no_item():
    found = sample([7, 4, 7], [[0.0, 0.3, 0.999]] * 3)
    assert found.tolist() == [[0, 0, 0], [6, 6, 6], [0, 0, 0]]


def test_groups_of_a_batch_do_not_mix():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 13, 200)
    uniform = rng.uniform(size=(200, 5))
    together = sample(groups, uniform)
    for row in range(200):
        assert (together[row] == sample(groups[row : row + 1], uniform[[row]])).all()
        assert not set(together[row]) & set(HAD.get(groups[row], []))
