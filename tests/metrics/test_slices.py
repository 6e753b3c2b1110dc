import numpy as np

from tfrs_models.metrics import popularity_slices


def test_head_torso_and_tail_hold_a_third_of_the_rows_each():
    rng = np.random.default_rng(0)
    counts = rng.permutation(1000 / np.arange(1, 501))
    share = counts / counts.sum()
    names = popularity_slices(share)
    for name in ("head", "torso", "tail"):
        assert abs(share[names == name].sum() - 1 / 3) < share.max()


def test_no_torso_item_is_more_popular_than_a_head_item():
    share = np.random.default_rng(1).dirichlet(np.ones(200))
    names = popularity_slices(share)
    assert share[names == "head"].min() >= share[names == "torso"].max()
    assert share[names == "torso"].min() >= share[names == "tail"].max()


def test_items_without_a_training_row_are_cold():
    names = popularity_slices(np.array([0.0, 0.5, 0.3, 0.2, 0.0]))
    assert names.tolist() == ["cold", "head", "torso", "tail", "cold"]
