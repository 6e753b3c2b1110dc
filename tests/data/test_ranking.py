import dataclasses

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfrs_models import data as tm_data
from tfrs_models.data.ranking import unseen_sampler

NUM_ITEMS = 14


def make(split="per_user_time", *, rated=True, rows=90, **options):
    """Ratings with repeats; items 1 and 2 are popular, two are in nobody's train."""
    rng = np.random.default_rng(11)
    popularity = 1 / (1 + np.arange(NUM_ITEMS))
    frame = pd.DataFrame(
        {
            "user_id": rng.choice(["ann", "bob", "cy", "dee", "eve"], rows),
            "item_id": rng.choice(NUM_ITEMS, rows, p=popularity / popularity.sum()),
            "rating": rng.choice([2, 3.5, 4, 4.5, 5], rows),
            "timestamp": rng.permutation(rows),
        }
    )
    items = pd.DataFrame(
        {"item_id": range(NUM_ITEMS + 2), "genres": ["A|B", "B", "C", "A"] * 4}
    )
    data = tm_data.from_frame(
        frame if rated else frame.drop(columns="rating"),
        item_frame=items,
        bag_columns=("genres",),
        split=split,
        **options,
    )
    return tm_data.with_activity(data)


def rows_of(batches):
    """All examples of a dataset, as NumPy columns."""
    batches = list(batches)
    return {
        name: np.concatenate([batch[name].numpy() for batch in batches])
        for name in batches[0]
    }


def had_of(data, split, user):
    """Items that are no negatives of a user of this split."""
    splits = ["train"] if split == "train" else ["train", "validation", "test"]
    rows = [data.splits[name] for name in splits]
    return {i for r in rows for i in r["item_id"][r["user_id"] == user].tolist()}


@pytest.mark.parametrize("num_unseen", [0, 1, 3])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_each_row_is_followed_by_items_that_its_user_never_had(split, num_unseen):
    data = make()
    layout = tm_data.activity_layout(data)
    batches = tm_data.ranking_batches(data, split, 4, num_unseen=num_unseen)
    found, rows = rows_of(batches), data.splits[split]
    width = 1 + num_unseen
    assert len(found["item_id"]) == len(rows["item_id"]) * width
    for place, item in enumerate(found["item_id"]):
        row, draw = divmod(place, width)
        for name in ("user_id", "activity", "user_features"):
            np.testing.assert_array_equal(found[name][place], rows[name][row])
        np.testing.assert_array_equal(
            found["item_features"][place], data.items["item_features"][item]
        )
        labels = found["labels"][place].tolist()
        if draw == 0:
            assert item == rows["item_id"][row]
            rating = rows["rating"][row]
            assert labels == [1, float(rating >= 4), float(rating >= 5)]
        elif item:
            assert item not in had_of(data, split, rows["user_id"][row])
            assert item <= data.num_train_items
            assert labels == [0, -1, -1]
        else:
            assert labels == [-1, -1, -1]
    np.testing.assert_allclose(
        found["cross_features"],
        layout.cross_features(found["user_features"], found["item_features"]),
        atol=1e-6,
    )
    assert found["labels"].dtype == np.float32
    assert found["group_id"].dtype == np.int64


def test_the_number_of_batches_is_known():
    data = make()
    for shuffle in (False, True):
        batches = tm_data.ranking_batches(data, "train", 7, shuffle=shuffle, seed=0)
        assert (
            len(batches)
            == len(list(batches))
            == -(-len(data.splits["train"]["user_id"]) // 7)
        )


def test_unseen_items_are_drawn_in_proportion_to_their_train_rows():
    data = make()
    train = data.splits["train"]
    found = rows_of(tm_data.ranking_batches(data, "train", 99, num_unseen=400, seed=3))
    drawn = found["labels"][:, 0] == 0
    counts = np.bincount(train["item_id"], minlength=data.num_items + 1)
    for user in range(1, data.num_users + 1):
        items = found["item_id"][drawn & (found["user_id"] == user)]
        chance = counts.copy()
        chance[list(had_of(data, "train", user))] = 0
        assert chance.any()
        expected = len(items) * chance / chance.sum()
        seen = np.bincount(items, minlength=len(chance))
        assert not seen[expected == 0].any()
        kept = expected > 0
        chi_square = ((seen - expected)[kept] ** 2 / expected[kept]).sum()
        assert chi_square < kept.sum() + 5 * np.sqrt(2 * kept.sum())


def test_a_user_who_had_everything_has_no_negative_in_any_task():
    frame = pd.DataFrame(
        {
            "user_id": ["all"] * 6 + ["one"] * 3,
            "item_id": [*"abcdef", *"abc"],
            "rating": 4.0,
            "timestamp": np.arange(9),
        }
    )
    data = tm_data.with_activity(tm_data.from_frame(frame, split="leave_last_out"))
    found = rows_of(tm_data.ranking_batches(data, "test", 9, num_unseen=5))
    everything = found["user_id"] == 1 + data.vocabularies["user_id"].tolist().index(
        "all"
    )
    assert (found["labels"][everything][1:] == -1).all()
    assert not found["item_id"][everything][1:].any()
    assert (found["labels"][~everything][1:, 0] == 0).all()
    assert set(found["item_id"][~everything][1:]) <= set(
        data.splits["train"]["item_id"].tolist()
    )


def epochs(count, **options):
    batches = tm_data.ranking_batches(make(), "train", 8, num_unseen=2, **options)
    return [rows_of(batches) for _ in range(count)]


def test_a_shuffled_epoch_has_every_row_and_other_unseen_items():
    train = make().splits["train"]
    first, second = epochs(2, shuffle=True, seed=4)
    draws = []
    for epoch in (first, second):
        own = epoch["item_id"].reshape(-1, 3)[:, 0]
        pairs = sorted(zip(epoch["user_id"][::3], own, strict=True))
        assert pairs == sorted(zip(train["user_id"], train["item_id"], strict=True))
        order = np.lexsort((epoch["activity"][::3], epoch["user_id"][::3]))
        draws.append(epoch["item_id"].reshape(-1, 3)[order])
    assert (first["item_id"][::3] != second["item_id"][::3]).any()
    np.testing.assert_array_equal(draws[0][:, 0], draws[1][:, 0])
    assert (draws[0][:, 1:] != draws[1][:, 1:]).mean() > 0.3


def test_a_single_row_meets_other_unseen_items_in_each_shuffled_epoch():
    data = make()
    row = {name: column[:1] for name, column in data.splits["train"].items()}
    data = dataclasses.replace(data, splits=data.splits | {"test": row})
    batches = tm_data.ranking_batches(
        data, "test", 4, num_unseen=30, shuffle=True, seed=0
    )
    first, second = (rows_of(batches)["item_id"] for _ in range(2))
    assert first[0] == second[0]
    assert (first != second).any()


def test_a_seed_repeats_the_same_epochs():
    first, again, other = (epochs(2, shuffle=True, seed=seed) for seed in (1, 1, 2))
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["item_id"], same["item_id"])
    assert (first[0]["item_id"] != other[0]["item_id"]).any()


def test_without_a_seed_the_global_one_decides():
    found = []
    for seed in (7, 7, 8):
        tf.random.set_seed(seed)
        found.append(epochs(1, shuffle=True)[0]["item_id"])
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_evaluation_never_changes():
    """Not from epoch to epoch, not with the batch size, not with the global seed."""
    data = make()
    found = []
    for batch_size, global_seed in ((3, 1), (50, 2)):
        tf.random.set_seed(global_seed)
        batches = tm_data.ranking_batches(data, "test", batch_size, num_unseen=3)
        found += [rows_of(batches)["item_id"] for _ in range(2)]
    for items in found[1:]:
        np.testing.assert_array_equal(items, found[0])
    other = tm_data.ranking_batches(data, "test", 50, num_unseen=3, seed=5)
    assert (rows_of(other)["item_id"] != found[0]).any()


def test_rows_of_unknown_users_are_groups_of_their_own():
    data = make("global_time", validation_fraction=0.2, test_fraction=0.3)
    user = data.splits["test"]["user_id"]
    user[::2] = 0  # as if not one of these had been in train
    groups = tm_data.ranking_groups(data, "test")
    np.testing.assert_array_equal(groups[user > 0], user[user > 0])
    assert (groups[user == 0] > data.num_users).all()
    assert len(set(groups[user == 0])) == (user == 0).sum()
    found = rows_of(tm_data.ranking_batches(data, "test", 4, num_unseen=30))
    np.testing.assert_array_equal(found["group_id"], np.repeat(groups, 31))
    items = found["item_id"].reshape(-1, 31)
    for row in np.flatnonzero(user == 0):  # all but the row's own item are unseen
        assert items[row, 0] not in items[row, 1:]
        assert items[row, 1:].all()
    assert len(set(items[user == 0, 1:].ravel())) > 8


def test_tasks_are_columns_in_the_order_they_are_given():
    data = make()
    tasks = {"seen": None, "fine": 3.5, "kept": None}
    found = rows_of(tm_data.ranking_batches(data, "train", 9, tasks=tasks))
    rating = data.splits["train"]["rating"]
    expected = [np.ones(len(rating)), rating >= 3.5, np.ones(len(rating))]
    np.testing.assert_array_equal(found["labels"][::2], np.stack(expected, axis=1))
    unseen = found["labels"][1::2][found["item_id"][1::2] > 0]
    assert (unseen == [0, -1, 0]).all()
    only = tm_data.ranking_batches(data, "test", 9, tasks={"l": 4.0}, num_unseen=0)
    assert set(rows_of(only)["labels"].ravel()) == {0.0, 1.0}


def test_data_without_ratings_has_tasks_without_ratings():
    data = make(rated=False)
    found = rows_of(tm_data.ranking_batches(data, "test", 9, tasks={"had": None}))
    assert set(found["labels"].ravel()) == {0.0, 1.0}
    with pytest.raises(ValueError, match=r"`tasks` must all be None.*'like' from 4 on"):
        tm_data.ranking_batches(data, "test", 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "serving"}, "`split` must be one of.*Got 'serving'"),
        ({"batch_size": 0}, "`batch_size` must be at least 1. Got 0"),
        ({"num_unseen": -1}, "`num_unseen` must not be negative. Got -1"),
        ({"tasks": {}}, "`tasks` must have at least one task"),
        ({"tasks": {"like": 4.0}}, "`num_unseen` must be 0 where.*Got 1 .*'like'"),
        ({"data": "without activity"}, "`data` must have activity.*with_activity"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    data = make()
    if "data" in arguments:
        splits = {
            name: {k: v for k, v in columns.items() if k != "user_features"}
            for name, columns in data.splits.items()
        }
        arguments = {"data": dataclasses.replace(data, splits=splits)}
    with pytest.raises(ValueError, match=message):
        tm_data.ranking_batches(
            **{"data": data, "split": "test", "batch_size": 4, **arguments}
        )
    with pytest.raises(ValueError, match=r"`split` must be one of.*Got 'dev'"):
        tm_data.ranking_groups(data, "dev")


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


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_no_item_that_a_user_has_is_a_negative_however_many_are_drawn(split):
    data = make(rows=60)
    found = rows_of(tm_data.ranking_batches(data, split, 8, num_unseen=300))
    negative = found["labels"][:, 0] == 0
    pairs = zip(found["user_id"][negative], found["item_id"][negative], strict=True)
    drawn = {(int(user), int(item)) for user, item in pairs}
    users = {user for user, _ in drawn if user}  # user 0 stands for many
    assert len(users) > 2
    for user in users:
        others = {item for owner, item in drawn if owner == user}
        had = had_of(data, split, user)
        assert not others & had
        # All other items that training shows are drawn, later ones of the user too.
        assert others == set(range(1, data.num_train_items + 1)) - had


def test_other_seeds_give_another_order_without_a_single_draw():
    data = make()
    orders = [
        rows_of(
            tm_data.ranking_batches(
                data, "train", 5, num_unseen=0, shuffle=True, seed=seed
            )
        )["item_id"].tolist()
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]
