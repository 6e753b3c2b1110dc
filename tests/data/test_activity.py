import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfrs_models import data as tm_data

SPLITS = ("train", "validation", "test")
YEARS = {"z": 2001, "x": 1994, "w": 1999, "v": None, "u": 1987, "t": 1990}
YEARS |= {"s": 2010, "r": 1994, "q": 1955, "p": 2003}


def make(split="per_user_time", *, rated=True, rows=70, **options):
    """Users in no order, tied times, one user with one row, items without genres, an
    item that nobody had, and repeats."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "user_id": [*rng.choice(["ann", "bob", "cy", "dee"], rows - 1), "one"],
            "item_id": rng.choice(list("pqrstuvwx"), rows),
            "rating": rng.choice([0.5, 2, 3, 4.5], rows, p=[0.1, 0.2, 0.3, 0.4]),
            "timestamp": rng.integers(1000, 1012, rows),
        }
    )
    items = pd.DataFrame(
        {
            "item_id": list(YEARS),
            "genres": ["B|A", "A|B", "A", None, "B|C", "", "C|A|B", "B", "A", "C"],
            "tone": ["dark", None, *["dark", "light", "dark", "dry"] * 2],
            "year": list(YEARS.values()),
        }
    )
    return tm_data.from_frame(
        frame if rated else frame.drop(columns="rating"),
        item_frame=items,
        bag_columns=("genres",),
        item_category_columns=("tone",),
        item_number_columns=("year",),
        split=split,
        **options,
    )


def strangers():
    """Data whose validation and test rows are partly those of unknown users."""
    data = make("global_time", validation_fraction=0.2, test_fraction=0.3)
    for name in ("validation", "test"):
        user = data.splits[name]["user_id"]
        user[::2] = 0  # as if not one of these had been in train
    return data


def in_time(data):
    """All rows as dicts, by time; equal times in their drawn order."""
    rows = []
    for split in SPLITS:
        names = data.splits[split].keys() & {"user_id", "item_id", "rating"}
        for row, time in enumerate(data.splits[split]["timestamp"]):
            values = {name: data.splits[split][name][row].item() for name in names}
            order = data.splits[split].get("tie_order")
            place = len(rows) if order is None else order[row]
            rows.append((time, place, {"split": split, "row": row, **values}))
    return [row for *_, row in sorted(rows, key=lambda row: row[:2])]


def categories_of(data, item):
    """Names of the categories of an item, from its indices."""
    found = set()
    for name in ("genres", "tone"):
        for index in np.ravel(data.items[name][item]):
            if index:
                found.add(f"{name}={data.vocabularies[name][index - 1]}")
    return found


def standards(data):
    """Mean and deviation of log activity and of ratings, over the train rows."""
    logs = [
        math.log(1 + sum(r["user_id"] == row["user_id"] for r in in_time(data)[:i]))
        for i, row in enumerate(in_time(data))
        if row["split"] == "train"
    ]
    ratings = data.splits["train"].get("rating", np.zeros(1)).astype("float64")
    return np.mean(logs), np.std(logs), ratings.mean(), ratings.std()


def state_of(data, earlier, standard):
    """Named features of a user who had these rows, by loops over them."""
    log_mean, log_scale, rating_mean, rating_scale = standard
    rated = "rating" in data.splits["train"]
    state = {"activity": (math.log(1 + len(earlier)) - log_mean) / log_scale}

    def mean(rows):
        total = sum((row["rating"] - rating_mean) / rating_scale for row in rows)
        return total / (len(rows) + 5)

    if rated:
        state["rating"] = mean(earlier)
    for name in ("genres", "tone"):
        for value in data.vocabularies[name]:
            key = f"{name}={value}"
            having = [r for r in earlier if key in categories_of(data, r["item_id"])]
            state[f"share {key}"] = len(having) / len(earlier) if earlier else 0
            if rated:
                state[f"liking {key}"] = mean(having)
    return state


def named(features, columns):
    assert features.shape[-1] == len(columns) == len(set(columns))
    return dict(zip(columns, features.tolist(), strict=True))


@pytest.mark.parametrize("rated", [True, False])
@pytest.mark.parametrize("kind", ["per_user_time", "leave_last_out", "random"])
def test_features_are_what_the_user_did_before(kind, rated):
    data = make(kind, rated=rated)
    active = tm_data.with_activity(data)
    columns = tm_data.activity_layout(data).user_columns
    rows, standard = in_time(data), standards(data)
    for place, row in enumerate(rows):
        earlier = [r for r in rows[:place] if r["user_id"] == row["user_id"]]
        found = active.splits[row["split"]]
        assert found["activity"][row["row"]] == len(earlier)
        features = named(found["user_features"][row["row"]], columns)
        expected = state_of(data, earlier, standard)
        assert features == pytest.approx(expected, abs=1e-5)
    for split in SPLITS:
        assert active.splits[split]["user_features"].dtype == np.float32
        assert active.splits[split]["activity"].dtype == np.int64


@pytest.mark.parametrize("split", [*SPLITS, "serving"])
@pytest.mark.parametrize("rated", [True, False])
def test_the_table_is_what_each_user_did_before_a_split(split, rated):
    data = make(rated=rated)
    features, activity = tm_data.activity_table(data, split)
    columns = tm_data.activity_layout(data).user_columns
    before = SPLITS if split == "serving" else SPLITS[: SPLITS.index(split)]
    standard = standards(data)
    assert len(features) == len(activity) == data.num_users + 1
    for user in range(data.num_users + 1):
        earlier = [
            r for r in in_time(data) if r["user_id"] == user and r["split"] in before
        ]
        assert activity[user] == len(earlier)
        expected = state_of(data, earlier, standard)
        assert named(features[user], columns) == pytest.approx(expected, abs=1e-5)


def test_the_table_before_test_is_the_state_of_each_users_first_test_row():
    data = tm_data.with_activity(make("leave_last_out"))
    features, activity = tm_data.activity_table(data, "test")
    test = data.splits["test"]
    assert len(test["user_id"]) > 2
    np.testing.assert_array_equal(activity[test["user_id"]], test["activity"])
    np.testing.assert_array_equal(features[test["user_id"]], test["user_features"])


def test_nobody_inherits_the_past_of_other_unknown_users():
    data = tm_data.with_activity(strangers())
    new = tm_data.activity_table(data, "train")[0][0]  # nobody had anything yet
    for split in ("validation", "test"):
        rows = data.splits[split]
        assert (rows["user_id"] == 0).sum() > 1
        assert not rows["activity"][rows["user_id"] == 0].any()
        assert (rows["user_features"][rows["user_id"] == 0] == new).all()
        assert rows["activity"][rows["user_id"] > 0].any()
    features, activity = tm_data.activity_table(data, "serving")
    assert activity[0] == 0
    assert (features[0] == new).all()


@pytest.mark.parametrize("kind", ["per_user_time", "random"])
def test_no_change_of_a_later_row_changes_an_earlier_state(kind):
    """Later train rows swap their items and their ratings, and so keep the means."""
    data = make(kind)
    before = tm_data.with_activity(data)
    rng = np.random.default_rng(0)
    for now in range(1000, 1013):
        splits = {}
        for name, columns in data.splits.items():
            later = np.flatnonzero(columns["timestamp"] >= now)
            altered = {key: column.copy() for key, column in columns.items()}
            for key in ("item_id", "rating"):
                altered[key][later] = altered[key][rng.permutation(later)]
            if name != "train":
                altered["item_id"][later] = 1
                altered["rating"][later] = 0.5
            splits[name] = altered
        after = tm_data.with_activity(dataclasses.replace(data, splits=splits))
        for name, columns in data.splits.items():
            earlier = columns["timestamp"] < now
            np.testing.assert_allclose(
                after.splits[name]["user_features"][earlier],
                before.splits[name]["user_features"][earlier],
                atol=1e-6,  # the same ratings in another order have almost one mean
            )


def test_rows_after_train_change_nothing_in_train():
    data = make()
    before = tm_data.with_activity(data).splits["train"]
    table = tm_data.activity_table(data, "validation")
    emptied = {
        name: {key: column[:0] for key, column in data.splits[name].items()}
        for name in ("validation", "test")
    }
    data = dataclasses.replace(data, splits=data.splits | emptied)
    after = tm_data.with_activity(data).splits["train"]
    np.testing.assert_array_equal(after["user_features"], before["user_features"])
    np.testing.assert_array_equal(after["activity"], before["activity"])
    again = tm_data.activity_table(data, "validation")
    for one, other in zip(again, table, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_item_says_what_it_is_cold_or_not():
    data = make()
    layout = tm_data.activity_layout(data)
    features = tm_data.with_activity(data).items["item_features"]
    assert features.dtype == np.float32
    names = ["unknown", *data.vocabularies["item_id"]]
    train = [YEARS[names[item]] for item in data.splits["train"]["item_id"]]
    train = [year for year in train if year is not None]
    for item, name in enumerate(names):
        found = named(features[item], layout.item_columns)
        year = 0.0  # missing
        if YEARS.get(name) is not None:
            year = (YEARS[name] - np.mean(train)) / np.std(train)
        assert found.pop("year") == pytest.approx(year, abs=1e-4)
        has = categories_of(data, item)
        assert found == {key: float(key in has) for key in layout.categories}
    cold = names.index("z")
    assert cold > data.num_train_items
    assert features[cold, layout.item_columns.index("genres=A")] == 1


@pytest.mark.parametrize("rated", [True, False])
def test_cross_features_are_what_the_user_had_of_what_the_item_is(rated):
    data = tm_data.with_activity(make(rated=rated))
    layout = tm_data.activity_layout(data)
    cross = tf.function(layout.cross_features)
    batch = next(iter(data.batches("test", 100)))
    found = cross(batch["user_features"], batch["item_features"]).numpy()
    assert found.dtype == np.float32
    overlaps = []
    for row, item in enumerate(batch["item_id"].numpy()):
        user = named(batch["user_features"][row].numpy(), layout.user_columns)
        has = categories_of(data, item)
        expected = {
            f"share {key}": user[f"share {key}"] * (key in has)
            for key in layout.categories
        }
        expected["overlap"] = sum(user[f"share {key}"] for key in has)
        overlaps.append(expected["overlap"])
        if rated:
            likings = {key: user[f"liking {key}"] for key in has}
            for key in layout.categories:
                expected[f"liking {key}"] = likings.get(key, 0.0)
            mean = sum(likings.values()) / len(has) if has else 0.0
            expected["mean liking"] = mean
        columns = named(found[row], layout.cross_columns)
        assert columns == pytest.approx(expected, abs=1e-5)
    assert np.std(overlaps) > 0.1


def test_one_user_meets_many_items():
    data = tm_data.with_activity(make())
    cross = tm_data.activity_layout(data).cross_features
    user = tm_data.activity_table(data, "serving")[0]
    item = data.items["item_features"]
    grid = cross(user[:, None, :], item[None, :, :]).numpy()
    for row in (1, 3):
        rows = cross(np.repeat(user[row : row + 1], len(item), axis=0), item)
        np.testing.assert_allclose(grid[row], rows, atol=1e-6)


def test_words_of_titles_are_no_categories(latest_small):
    layout = tm_data.activity_layout(latest_small)
    names = {name.split("=")[0] for name in layout.categories}
    assert names == {"genres", "decade"}
    assert layout.numbers == ("year",)


def test_items_without_attributes_leave_activity_and_rating():
    frame = pd.DataFrame(
        {"user_id": [1, 1, 1, 2, 2] * 3, "item_id": np.arange(15), "timestamp": 7}
    )
    data = tm_data.with_activity(tm_data.from_frame(frame))
    layout = tm_data.activity_layout(data)
    assert layout.user_columns == ("activity",)
    batch = next(iter(data.batches("test", 100)))
    cross = layout.cross_features(batch["user_features"], batch["item_features"])
    assert cross.shape == (len(batch["user_id"]), 1)
    assert batch["item_features"].shape[1] == 0


def test_features_are_of_order_one(latest_small):
    data = tm_data.with_activity(latest_small)
    layout = tm_data.activity_layout(data)
    train = data.splits["train"]
    item = data.items["item_features"][train["item_id"]]
    cross = layout.cross_features(train["user_features"], item).numpy()
    for features in (train["user_features"], item, cross):
        assert np.isfinite(features).all()
        assert np.abs(features).max() < 10
        assert features.std(axis=0).max() < 1.5
    column = train["user_features"][:, layout.user_columns.index("activity")]
    assert column.mean() == pytest.approx(0, abs=1e-3)
    assert column.std() == pytest.approx(1, abs=1e-3)


def test_data_without_times_has_no_activity():
    frame = pd.DataFrame({"user_id": [1, 1, 2, 2] * 5, "item_id": np.arange(20)})
    data = tm_data.from_frame(frame, split="random")
    with pytest.raises(ValueError, match="`data` must have timestamps"):
        tm_data.with_activity(data)
    with pytest.raises(ValueError, match="`data` must have timestamps"):
        tm_data.activity_table(data, "serving")


def test_wrong_arguments_are_named():
    data = make()
    with pytest.raises(ValueError, match=r"`split` must be one of.*Got 'dev'"):
        tm_data.activity_table(data, "dev")
    layout = tm_data.activity_layout(data)
    user, item = np.zeros((2, len(layout.user_columns))), np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"`item_features` must have the 7.*Got 3"):
        layout.cross_features(tf.constant(user), tf.constant(item))
    with pytest.raises(ValueError, match=r"`user_features` must have the 14.*Got 3"):
        layout.cross_features(tf.constant(item), tf.constant(item))


@pytest.mark.parametrize(("num_values", "num_categories"), [(64, 64), (65, 0)])
def test_up_to_64_values_are_categories(num_values, num_categories):
    """More are words or ids, of which a user has too few to count."""
    rows = 2 * num_values
    frame = pd.DataFrame(
        {
            "user_id": np.arange(rows) % 2,
            "item_id": np.arange(rows) % num_values,
            "timestamp": np.arange(rows),
        }
    )
    frame["kind"] = frame["item_id"]
    data = tm_data.from_frame(
        frame, item_category_columns=["kind"], split="leave_last_out"
    )
    assert data.item_features[1].num_values == num_values
    assert len(tm_data.activity_layout(data).categories) == num_categories


def test_activity_added_again_is_the_same():
    once = tm_data.with_activity(make())
    twice = tm_data.with_activity(once)
    for split in SPLITS:
        for name in ("user_features", "activity"):
            np.testing.assert_array_equal(
                once.splits[split][name], twice.splits[split][name]
            )
    assert twice.items.keys() == once.items.keys()
