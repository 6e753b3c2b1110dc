import decimal

import numpy as np
import pandas as pd
import pytest

from tfrs_models import data


def strings(interactions, column, split):
    """Ids of a split as the user wrote them; None for the unknown one."""
    names = [None, *interactions.vocabularies[column]]
    return [names[index] for index in interactions.splits[split][column]]


def test_every_row_ends_in_one_split_with_its_own_values(ratings):
    made = data.from_frame(ratings)
    rows = []
    for split, columns in made.splits.items():
        rows += zip(
            strings(made, "user_id", split),
            strings(made, "item_id", split),
            columns["rating"].tolist(),
            columns["timestamp"].tolist(),
            strict=True,
        )
    assert sorted(rows) == sorted(ratings.itertuples(index=False, name=None))


def test_items_are_ordered_by_train_count_then_first_appearance(ratings, catalogue):
    made = data.from_frame(ratings, item_frame=catalogue)
    train = strings(made, "item_id", "train")
    appearance = list(dict.fromkeys([*ratings["item_id"], *catalogue["item_id"]]))
    expected = sorted(appearance, key=lambda item: -train.count(item))
    assert made.vocabularies["item_id"].tolist() == expected
    assert made.num_train_items == len(set(train)) == made.item_features[0].num_values
    assert made.num_items == 10
    assert expected[-1] == "z"
    assert made.candidate_probabilities[-1] == 0


def test_users_are_those_with_a_train_row_in_order_of_appearance(ratings):
    made = data.from_frame(ratings, split="random", seed=3)
    train = set(strings(made, "user_id", "train"))
    expected = [user for user in dict.fromkeys(ratings["user_id"]) if user in train]
    assert made.vocabularies["user_id"].tolist() == expected


def test_ids_of_any_type_become_the_same_strings(ratings):
    number = ratings["item_id"].map(ord)
    expected = data.from_frame(ratings.assign(item_id=number.map(str)))
    for column in (number, number.astype("float64"), number.map(lambda n: b"%d" % n)):
        made = data.from_frame(ratings.assign(item_id=column))
        np.testing.assert_array_equal(
            made.vocabularies["item_id"], expected.vocabularies["item_id"]
        )
        np.testing.assert_array_equal(
            made.splits["test"]["item_id"], expected.splits["test"]["item_id"]
        )


def test_an_id_is_one_whatever_the_type_of_its_cells():
    decimals = [decimal.Decimal("8.00"), decimal.Decimal(7)]
    items = pd.Series([7, "7", b"7", 7.0, "8", 8, *decimals] * 2, dtype=object)
    frame = pd.DataFrame({"user_id": [1] * 16, "item_id": items})
    made = data.from_frame(frame, split="random")
    assert sorted(made.vocabularies["item_id"]) == ["7", "8"]


def test_a_fraction_among_ids_does_not_rename_the_others():
    items = pd.DataFrame({"item_id": [1, 3, 2**53 + 1], "kind": ["x", "y", "z"]})
    made = data.from_frame(
        pd.DataFrame({"user_id": [1.0, 2.0] * 6, "item_id": [1.0, 2.5, 3.0] * 4}),
        item_frame=items,
        item_category_columns=["kind"],
        split="random",
    )
    kinds = [None, *made.vocabularies["kind"]]
    found = {
        name: kinds[made.items["kind"][row]]
        for row, name in enumerate(made.vocabularies["item_id"], 1)
    }
    assert found == {"1": "x", "2.5": None, "3": "y", "9007199254740993": None}


def test_kinds_and_weights_of_events_are_columns_of_the_splits(ratings):
    kinds = np.array(["view", "buy", "cart"])[np.arange(len(ratings)) % 7 % 3]
    frame = ratings.assign(kind=kinds, plays=np.arange(len(ratings)) + 0.25)
    options = {"event_column": "kind", "weight_column": "plays", "min_rating": 2}
    made = data.from_frame(frame, **options)
    row_of = dict(zip(frame.plays, frame.itertuples(), strict=True))
    names = {key: np.array(["", *v]) for key, v in made.vocabularies.items()}
    for columns in made.splits.values():
        assert columns["event"].dtype == np.int64
        assert columns["weight"].dtype == np.float32
        for kind, weight, item in zip(
            columns["event"], columns["weight"], columns["item_id"], strict=True
        ):
            row = row_of[weight]
            assert names["event"][kind] == row.kind
            assert names["item_id"][item] == str(row.item_id)
    counts = np.bincount(made.splits["train"]["event"], minlength=4)[1:]
    assert (np.diff(counts) <= 0).all()


def test_a_kind_of_event_that_training_lacks_is_unknown():
    frame = pd.DataFrame({"user_id": 1, "item_id": np.arange(9), "timestamp": range(9)})
    frame["kind"] = ["view"] * 8 + ["buy"]
    made = data.from_frame(frame, split="leave_last_out", event_column="kind")
    assert made.vocabularies["event"].tolist() == ["view"]
    assert made.splits["test"]["event"].tolist() == [0]


def test_only_ratings_from_the_threshold_are_positives(ratings):
    made = data.from_frame(ratings, min_rating=4)
    kept = np.concatenate([columns["rating"] for columns in made.splits.values()])
    assert kept.min() == 4
    assert len(kept) == (ratings["rating"] >= 4).sum()
    assert made.summary.dropped_rows == (ratings["rating"] < 4).sum()
    assert made.num_items == ratings["item_id"].nunique()


def test_ratings_and_timestamps_are_optional(ratings):
    bare = ratings[["user_id", "item_id"]]
    made = data.from_frame(bare, split="random")
    assert set(made.splits["test"]) == {"user_id", "item_id"}
    assert "no timestamps" in str(made)
    ignored = data.from_frame(
        ratings, rating_column=None, timestamp_column=None, split="random"
    )
    assert set(ignored.splits["test"]) == {"user_id", "item_id"}


@pytest.mark.parametrize(
    "times",
    [
        lambda t: t.astype("float64") + 0.25,
        lambda t: pd.to_datetime(t, unit="s"),
        lambda t: pd.to_datetime(t, unit="s", utc=True).dt.tz_convert("Asia/Tokyo"),
        lambda t: pd.to_datetime(t, unit="s").dt.strftime("%Y-%m-%d %H:%M:%S"),
        lambda t: t.astype(str),
        lambda t: t.astype(object),
    ],
)
def test_times_of_any_type_become_seconds(ratings, times):
    made = data.from_frame(ratings.assign(timestamp=times(ratings["timestamp"])))
    expected = data.from_frame(ratings)
    for split in made.splits:
        np.testing.assert_array_equal(
            made.splits[split]["timestamp"], expected.splits[split]["timestamp"]
        )


def test_rows_that_repeat_a_pair_do_not_make_the_data_denser(ratings):
    often = data.from_frame(pd.concat([ratings] * 30), split="random")
    once = data.from_frame(ratings, split="random")
    assert often.summary.density == once.summary.density <= 1


def test_milliseconds_are_seconds_once_they_are_named(ratings):
    frame = ratings.assign(timestamp=(ratings["timestamp"] + 10**9) * 1000)
    with pytest.raises(ValueError, match='is it "ms"'):
        data.from_frame(frame)
    made = data.from_frame(frame, timestamp_unit="ms")
    assert made.splits["train"]["timestamp"].max() < 2 * 10**9


def test_the_seed_draws_the_random_split(ratings):
    def rows(seed):
        made = data.from_frame(ratings, split="random", seed=seed)
        return sorted(strings(made, "item_id", "test"))

    assert rows(1) == rows(1)
    assert len({tuple(rows(seed)) for seed in range(5)}) > 1


def test_validation_can_be_left_out(ratings):
    made = data.from_frame(ratings, split="random", validation_fraction=0)
    sizes = [len(columns["user_id"]) for columns in made.splits.values()]
    assert sizes == [36, 0, 4]
    assert list(made.validation) == []


def test_the_summary_is_a_dozen_lines_with_the_counts(ratings):
    made = data.from_frame(ratings, name="mine", min_rating=2)
    lines = str(made).splitlines()
    assert 10 <= len(lines) <= 15
    kept = ratings[ratings["rating"] >= 2]
    possible = kept["user_id"].nunique() * kept["item_id"].nunique()
    pairs = len(set(zip(kept["user_id"], kept["item_id"], strict=True)))
    for text in (
        "mine: split per_user_time, ratings from 2 are positives",
        f"density {pairs / possible:.2%}",
        f"train {len(made.splits['train']['user_id'])}",
    ):
        assert text in str(made)


def with_value(frame, column, row, value):
    frame = frame.astype({column: object})
    frame.iloc[row, frame.columns.get_loc(column)] = value
    return frame


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f[:0], {}, "`frame` must have at least one row"),
        (lambda f: f.to_dict("list"), {}, "`frame` must be a DataFrame.*'dict'"),
        (
            lambda f: f.assign(user_id=np.float16(2048)),
            {},
            r"`user_id` must hold ids .* floats from 2\^11 on cannot",
        ),
        (
            lambda f: f.rename(columns={"user_id": "userId"}),
            {},
            r"`user_column` must be a column.*'user_id'; the columns are "
            r"\['userId',.*Did you mean `user_column='userId'`\?",
        ),
        (lambda f: f, {"item_column": "movie"}, "`item_column` must be .*'movie'"),
        (lambda f: f, {"rating_column": "stars"}, "`rating_column` must be .*'stars'"),
        (
            lambda f: f.rename(columns={"timestamp": "timestamps"}),
            {},
            "needs timestamps.*split=\"random\".*`timestamp_column='timestamps'`",
        ),
        (
            lambda f: pd.concat([f, f["user_id"]], axis=1),
            {},
            "`user_column` must name one column. Got 'user_id'.* 2 times",
        ),
        (
            lambda f: with_value(f, "timestamp", [4, 9], None),
            {},
            r"`timestamp` must not be missing \(NaN\). Got 2 of 40 .*row 4",
        ),
        (
            lambda f: with_value(f, "timestamp", 5, -7),
            {},
            "`timestamp` must be finite and not negative. Got 1 of 40 .*row 5.*-7",
        ),
        (
            lambda f: with_value(f, "timestamp", 6, "soon"),
            {},
            "`timestamp` must be a number, or a date.*'soon'",
        ),
        (lambda f: f, {"timestamp_unit": "h"}, "`timestamp_unit` must be one of"),
        (lambda f: with_value(f, "user_id", 3, None), {}, "`user_id` .*missing.*row 3"),
        (lambda f: with_value(f, "item_id", 2, None), {}, "`item_id` .*missing.*row 2"),
        (lambda f: with_value(f, "item_id", 2, " "), {}, "`item_id` .*missing.*row 2"),
        (
            lambda f: with_value(f, "user_id", 3, -1),
            {},
            "must not have the id -1.*row 3",
        ),
        (lambda f: with_value(f, "user_id", 3, -1.0), {}, "not have the id -1.*row 3"),
        (lambda f: with_value(f, "item_id", 3, "-1"), {}, "not have the id -1.*row 3"),
        *(
            (
                lambda f, mark=mark: with_value(f, "item_id", 5, f"a{mark}b"),
                {},
                "`item_id` must not have line breaks or other control .*row 5",
            )
            for mark in [
                "\n",
                "\r",
                "\t",
                "\0",
                "\v",
                "\x1e",
                "\x85",
                "\u2028",
                "\ud800",
            ]
        ),
        (
            lambda f: with_value(f, "item_id", 5, b"\xff"),
            {},
            "Text must be UTF-8",
        ),
        (
            lambda f: f.assign(item_id=[["p"]] * len(f)),
            {},
            "`item_id` must hold one id a row",
        ),
        *(
            (
                lambda f, dtype=dtype, bits=bits: f.assign(
                    item_id=pd.Series(np.arange(len(f)) + 2.0**bits, dtype=dtype)
                ),
                {},
                rf"`item_id` must hold ids that can be told apart: .* 2\^{bits} on",
            )
            for dtype, bits in [("float64", 53), ("float32", 24), (object, 53)]
        ),
        (lambda f: f.assign(user_id=np.inf), {}, "`user_id` must .*told apart.*inf"),
        (
            lambda f: f.assign(plays=[np.nan, *[1.0] * (len(f) - 1)]),
            {"weight_column": "plays"},
            "`plays` must hold weights of 0 or more, none missing.*row 0.*nan",
        ),
        (
            lambda f: f.assign(plays=[1.0, -0.5, *[1.0] * (len(f) - 2)]),
            {"weight_column": "plays"},
            "`plays` must hold weights of 0 or more.*row 1.*-0.5",
        ),
        (lambda f: f, {"weight_column": "play"}, "`weight_column` must be a column"),
        (lambda f: f, {"event_column": "kind"}, "`event_column` must be a column"),
        (
            lambda f: f.assign(kind=[None, *["view"] * (len(f) - 1)]),
            {"event_column": "kind"},
            "`kind` must not have missing ids",
        ),
        (
            lambda f: f.assign(event="view", weight=1.0),
            {"event_column": "event", "item_number_columns": ["weight"]}
            | {"weight_column": "weight"},
            "`weight` cannot name a feature",
        ),
        (
            lambda f: f,
            {"item_column": "user_id"},
            "`user_column` and `item_column` must be two columns. Got 'user_id'",
        ),
        (
            lambda f: f,
            {"timestamp_column": "rating"},
            "`rating_column` and `timestamp_column` must be two columns",
        ),
        (
            lambda f: with_value(f, "rating", 1, None),
            {},
            "`rating` must not be missing.*row 1.*`rating_column=None`",
        ),
        (
            lambda f: with_value(f, "rating", 1, "good"),
            {},
            "`rating` must hold finite numbers.*row 1.*'good'",
        ),
        (
            lambda f: f,
            {"min_rating": 6},
            "`min_rating` must leave rows. Got 6; the largest rating is 5",
        ),
        (
            lambda f: f.drop(columns="rating"),
            {"min_rating": 3},
            "`min_rating` needs ratings. Got 3",
        ),
        (lambda f: f, {"split": "by_user"}, "`split` must be one of .*'by_user'"),
        (
            lambda f: f.drop(columns="timestamp"),
            {"split": "by_user"},
            "`split` must be one of .*'by_user'",
        ),
        (lambda f: f, {"test_fraction": 1.5}, "`test_fraction` must be .*Got 1.5"),
        (
            lambda f: f,
            {"test_fraction": 0.01, "split": "global_time"},
            "must leave rows in train and in test. Got no test row out of 40",
        ),
        (
            lambda f: f[:1],
            {},
            "must leave rows in train and in test. Got no test row out of 1",
        ),
        (
            lambda f: f[:1],
            {"split": "random", "test_fraction": 0.9, "validation_fraction": 0},
            "Got no train row out of 1",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(ratings, change, options, message):
    with pytest.raises(ValueError, match=message):
        data.from_frame(change(ratings), **options)


def test_an_earlier_origin_knows_neither_later_rows_nor_later_items():
    frame = pd.DataFrame(
        {
            "user_id": [f"u{n % 7}" for n in range(100)],
            "item_id": [f"i{n % 5}" for n in range(80)] + ["late"] * 20,
            "rating": [5, 1] * 50,
            "timestamp": np.arange(100),
        }
    )
    options = {"split": "global_time", "test_fraction": 0.1, "validation_fraction": 0.1}
    made = data.from_frame(frame, windows_back=2, **options)
    times = {name: rows["timestamp"].tolist() for name, rows in made.splits.items()}
    assert times["test"] == list(range(70, 80))
    assert times["validation"] == list(range(60, 70))
    assert times["train"] == list(range(60))
    assert "late" not in made.vocabularies["item_id"]
    items = pd.DataFrame({"item_id": ["late", "i0", "i1", "i2", "i3", "i4"]})
    made = data.from_frame(frame, windows_back=2, item_frame=items, **options)
    assert "late" in made.vocabularies["item_id"]  # the catalogue of that time
    liked = data.from_frame(frame, windows_back=1, min_rating=3, **options)
    assert liked.splits["test"]["timestamp"].tolist() == [80, 82, 84, 86, 88]


def test_an_origin_is_one_of_global_time():
    frame = pd.DataFrame({"user_id": [1] * 9, "item_id": range(9)})
    frame = frame.assign(timestamp=range(9))
    with pytest.raises(ValueError, match='`windows_back` is for split="global_time"'):
        data.from_frame(frame, split="leave_last_out", windows_back=1)
