"""Lists of what a user rated, against loops over the rows."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tfrs_models.data import from_frame, list_batches, with_activity


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    pairs = rng.permutation(9 * 20)[:110]
    frame = pd.DataFrame(
        {
            "user_id": [f"u{pair // 20}" for pair in pairs],
            "item_id": [f"i{pair % 20}" for pair in pairs],
            "rating": rng.integers(1, 11, size=110) / 2,
            # One user comes late: to a global split they are new.
            "timestamp": rng.integers(60, size=110) + 100 * (pairs // 20 == 8),
            "kind": [list("abc")[pair % 3] for pair in pairs],
        }
    )
    loaded = from_frame(
        frame, item_category_columns=("kind",), split="global_time", seed=0
    )
    return with_activity(loaded)


def expected_lists(data, split, size):
    """User and rows of every list: in the order of time, the unknown user's alone."""
    columns = data.splits[split]
    found = []
    for user in sorted(set(columns["user_id"])):
        rows = [r for r, u in enumerate(columns["user_id"]) if u == user]
        rows.sort(key=lambda row: columns["timestamp"][row])  # stable, as the table
        step = 1 if user == 0 else size
        found += [(user, rows[i : i + step]) for i in range(0, len(rows), step)]
    return found


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("size", [1, 3, 50])
def test_lists_are_pieces_of_a_users_time(data, split, size):
    batches = list(list_batches(data, split, 4, list_size=size, click_rating=3.5))
    whole = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
    expected = expected_lists(data, split, size)
    columns = data.splits[split]
    known = data.users["user_id"]  # 0 for users without a train row
    assert whole["user_id"].tolist() == [known[user] for user, _ in expected]
    for place, (_, rows) in enumerate(expected):
        end = len(rows)
        np.testing.assert_array_equal(
            whole["item_id"][place, :end], columns["item_id"][rows]
        )
        np.testing.assert_array_equal(
            whole["labels"][place, :end], columns["rating"][rows]
        )
        clicks = [float(rating >= 3.5) for rating in columns["rating"][rows]]
        assert whole["clicks"][place, :end].tolist() == clicks
        assert not whole["item_id"][place, end:].any()
        for name in ("labels", "clicks"):
            assert (whole[name][place, end:] == -1).all()
        # The state before the first row: nothing of the list itself.
        np.testing.assert_array_equal(
            whole["user_features"][place], columns["user_features"][rows[0]]
        )
        np.testing.assert_array_equal(
            whole["item_features"][place],
            data.items["item_features"][whole["item_id"][place]],
        )
    assert whole["cross_features"].shape[:2] == (len(expected), size)


def users_and_groups(data):
    batches = list(list_batches(data, "test", 100, list_size=2))
    return (
        np.concatenate([batch[name] for batch in batches])
        for name in ("user_id", "group_id")
    )


def test_a_new_users_lists_are_one_group_and_unknown_to_towers(data):
    user, group = users_and_groups(data)
    assert (user == 0).sum() > 1
    assert set(group[user == 0]) == {data.num_users}
    assert data.num_users == data.num_train_users + 1
    np.testing.assert_array_equal(group[user > 0], user[user > 0])


def test_the_unknown_users_lists_are_groups_of_their_own(data):
    test = data.splits["test"]
    test = test | {"user_id": np.where(np.arange(len(test["user_id"])) % 2, 1, 0)}
    splits = data.splits | {"test": test}
    user, group = users_and_groups(dataclasses.replace(data, splits=splits))
    assert (user == 0).sum() > 1
    assert len(set(group[user == 0])) == (user == 0).sum()
    np.testing.assert_array_equal(group[user > 0], user[user > 0])


def test_epochs_differ_if_shuffled_and_the_lists_stay(data):
    batches = list_batches(data, "train", 3, list_size=2, shuffle=True, seed=1)
    epochs = [
        [tuple(row) for b in batches for row in b["item_id"].numpy()] for _ in "ab"
    ]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert len(batches) == len(list(batches))


def test_a_seed_repeats_its_order_of_lists_and_another_has_another(data):
    orders = [
        [
            tuple(row)
            for batch in list_batches(
                data, "train", 3, list_size=2, shuffle=True, seed=seed
            )
            for row in batch["item_id"].numpy()
        ]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_a_rating_at_the_bound_is_a_click(data):
    bound = float(np.median(data.splits["train"]["rating"]))
    for batch in list_batches(data, "train", 9, click_rating=bound):
        labels, clicks = batch["labels"].numpy(), batch["clicks"].numpy()
        np.testing.assert_array_equal(clicks == 1, labels >= bound)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "all"}, "`split` must be one of .*'all'"),
        ({"list_size": 0}, "`list_size` must be at least 1. Got 0"),
    ],
)
def test_wrong_arguments_are_named(data, options, message):
    options = {"split": "train", "list_size": 2} | options
    with pytest.raises(ValueError, match=message):
        list_batches(data, options["split"], 4, list_size=options["list_size"])


def test_ratings_and_activity_are_asked_for(data):
    for name in ("rating", "user_features"):
        bare = {k: v for k, v in data.splits["train"].items() if k != name}
        broken = dataclasses.replace(data, splits=data.splits | {"train": bare})
        with pytest.raises(ValueError, match=rf"Missing: \['{name}'\]"):
            list_batches(broken, "train", 4)
