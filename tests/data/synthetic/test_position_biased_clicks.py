import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.data import synthetic
from tfrs_models.data.synthetic.position_biased_clicks import examination

ETAS = (0.0, 0.7, 2.0)


@pytest.fixture(scope="module")
def clicks():
    return synthetic.make_position_biased_clicks(
        3, num_users=60, num_items=40, num_requests=9000, list_size=6, etas=ETAS
    )


def promoted(columns):
    return columns["item_features"][:, -1] > 0


def assert_mean(values, chances):
    """The mean of coin tosses is within 4.5 standard errors of the mean chance."""
    error = np.sqrt(np.sum(chances * (1 - chances))) / len(chances)
    assert abs(np.mean(values) - np.mean(chances)) < 4.5 * error + 1e-9


@pytest.mark.parametrize("device", range(len(ETAS)))
@pytest.mark.parametrize("position", range(6))
def test_clicks_of_equal_relevance_fall_as_the_model_of_positions_says(
    clicks, device, position
):
    columns = clicks.columns
    here = columns["position"] == position
    here &= columns["device_features"][:, device] == 1
    for low, high in ((0, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 1)):
        rows = here & (low <= columns["relevance"]) & (columns["relevance"] < high)
        assert rows.sum() > 30
        chance = columns["relevance"][rows] / (1 + position) ** ETAS[device]
        assert_mean(columns["labels"][rows, 0], chance)


def test_a_long_view_is_observed_after_a_click_only_and_follows_relevance(clicks):
    click, long_view = clicks.columns["labels"].T
    assert clicks.task_names == ("click", "long_view")
    assert set(click) == {0, 1}
    assert set(long_view) == {-1, 0, 1}
    np.testing.assert_array_equal(long_view >= 0, click == 1)
    relevance = clicks.columns["relevance"]
    for low, high in ((0, 0.4), (0.4, 0.7), (0.7, 1)):
        rows = (click == 1) & (low <= relevance) & (relevance < high)
        assert rows.sum() > 500
        assert_mean(long_view[rows], relevance[rows] ** 2)


def test_position_does_not_change_long_views_of_equal_relevance(clicks):
    columns = clicks.columns
    click, long_view = columns["labels"].T
    last = (click == 1) & (columns["position"] == 5)
    assert last.sum() > 500
    assert_mean(long_view[last], columns["relevance"][last] ** 2)


def test_promoted_items_stand_higher_than_their_relevance_justifies(clicks):
    columns = clicks.columns
    for low, high in ((0, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 1)):
        rows = (low <= columns["relevance"]) & (columns["relevance"] < high)
        position = columns["position"][rows]
        gap = position[~promoted(columns)[rows]].mean()
        gap -= position[promoted(columns)[rows]].mean()
        assert gap > 0.8
        # and so they are clicked more often than others that are as good
        rates = [
            columns["labels"][some, 0].sum() / columns["relevance"][some].sum()
            for some in (rows & promoted(columns), rows & ~promoted(columns))
        ]
        assert rates[0] > 1.2 * rates[1]


def test_better_items_stand_higher_too(clicks):
    relevance = clicks.columns["relevance"].reshape(-1, 6).mean(axis=0)
    assert (np.diff(relevance) < 0).all()


def test_without_promotion_positions_do_not_favour_it():
    columns = synthetic.make_position_biased_clicks(
        0, num_requests=4000, promotion_weight=0.0, relevance_weight=0.0
    ).columns
    share = promoted(columns).reshape(-1, 10).mean(axis=0)
    assert np.abs(share - share.mean()).max() < 4.5 * np.sqrt(0.25 / 4000)


def test_relevance_belongs_to_user_and_item_alone(clicks):
    columns = clicks.columns
    pair = columns["user_id"] * 1000 + columns["item_id"]
    _, first, of_row = np.unique(pair, return_index=True, return_inverse=True)
    assert len(first) < len(pair) / 10  # each pair is shown often
    for name in ("relevance", "user_features", "item_features", "cross_features"):
        np.testing.assert_array_equal(columns[name][first][of_row], columns[name])


def test_features_tell_of_relevance_but_not_all(clicks):
    columns = clicks.columns
    told = columns["cross_features"].sum(axis=1)
    correlation = np.corrcoef(told, columns["relevance"])[0, 1]
    assert 0.4 < correlation < 0.95
    np.testing.assert_allclose(
        columns["cross_features"],
        columns["user_features"] * columns["item_features"][:, :-1],
        rtol=1e-4,
        atol=1e-5,
    )


def test_every_list_is_one_request_of_one_user_on_one_device(clicks):
    columns = clicks.columns
    assert len(columns["request_id"]) == 9000 * 6
    for name in ("request_id", "user_id", "device_features"):
        lists = columns[name].reshape(9000, 6, -1)
        assert (lists == lists[:, :1]).all()
    items = np.sort(columns["item_id"].reshape(9000, 6), axis=1)
    assert (np.diff(items, axis=1) > 0).all()  # an item stands in a list once
    assert (columns["position"].reshape(9000, 6) == np.arange(6)).all()
    assert columns["item_id"].min() == columns["user_id"].min() == 1
    assert columns["item_id"].max() == 40
    assert columns["user_id"].max() == 60
    assert (columns["device_features"].sum(axis=1) == 1).all()


def test_every_item_is_shown_equally_often(clicks):
    counts = np.bincount(clicks.columns["item_id"])[1:]
    expected = 9000 * 6 / 40
    assert np.sum((counts - expected) ** 2 / expected) < 72.1  # once in a thousand


def test_the_same_seed_makes_the_same_data():
    first, again, other = (
        synthetic.make_position_biased_clicks(seed, num_requests=50).columns
        for seed in (1, 1, 2)
    )
    for name, column in first.items():
        np.testing.assert_array_equal(column, again[name])
    for name in ("item_id", "user_features", "labels", "relevance"):
        assert (first[name] != other[name]).any()


def test_requests_are_split_whole_and_all_of_them(clicks):
    parts = {name: clicks.rows(name) for name in ("train", "validation", "test")}
    requests = [set(part["request_id"].tolist()) for part in parts.values()]
    assert [len(part) for part in requests] == [7200, 900, 900]
    assert set.union(*requests) == set(range(9000))
    assert sum(len(part["request_id"]) for part in parts.values()) == 9000 * 6


def test_batches_are_the_rows_without_the_truth(clicks):
    rows = clicks.rows("test")
    batches = clicks.batches("test", 1000)
    assert len(batches) == len(list(batches)) == 6
    assert "relevance" in rows
    assert batches.element_spec.keys() == rows.keys() - {"relevance"}
    for name in batches.element_spec:
        found = np.concatenate([batch[name].numpy() for batch in batches])
        np.testing.assert_array_equal(found, rows[name])
        assert found.dtype == clicks.columns[name].dtype
    dtypes = {name: column.dtype.name for name, column in rows.items()}
    integers = {name: d for name, d in dtypes.items() if d != "float32"}
    assert integers == {
        "request_id": "int64",
        "user_id": "int64",
        "item_id": "int64",
        "position": "int32",
    }


def test_shuffled_batches_are_another_order_each_epoch(clicks):
    batches = clicks.batches("validation", 700, shuffle=True, seed=5)
    epochs = [
        np.concatenate([1000 * b["request_id"] + b["item_id"] for b in batches])
        for _ in range(2)
    ]
    assert (epochs[0] != epochs[1]).any()
    np.testing.assert_array_equal(np.sort(epochs[0]), np.sort(epochs[1]))
    assert isinstance(batches, tf.data.Dataset)


def test_a_seed_repeats_its_order_and_another_has_another(clicks):
    orders = [
        [
            row
            for batch in clicks.batches("test", 700, shuffle=True, seed=seed)
            for row in batch["request_id"].numpy().tolist()
        ]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_other_seeds_split_other_requests():
    splits = [
        synthetic.make_position_biased_clicks(seed, num_requests=90).split
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(splits[0], splits[1])
    assert (splits[0] != splits[2]).any()


def test_examination_is_the_stated_curve():
    np.testing.assert_allclose(
        examination(np.array([0, 1, 3]), 2.0), [1, 1 / 4, 1 / 16]
    )
    assert examination(7, 0.0) == 1


def test_it_says_that_it_is_synthetic(clicks):
    assert "synthetic" in clicks.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_users": 0}, "`num_users` must be at least 1. Got 0"),
        ({"list_size": 0}, "`list_size` must be at least 1. Got 0"),
        ({"list_size": 9, "num_items": 8}, "`list_size` must be at most .*8.*Got 9"),
        ({"etas": ()}, r"`etas` must have a number for each device.*Got \(\)"),
        ({"etas": (1.0, -1.0)}, "`etas` must .* none negative"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthetic.make_position_biased_clicks(0, **arguments)


def test_an_unknown_split_is_named(clicks):
    with pytest.raises(ValueError, match=r"`split` must be one of.*Got 'dev'"):
        clicks.batches("dev", 4)
