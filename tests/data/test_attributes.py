import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tfrs_models import data

FEATURES = {
    "title_column": "title",
    "year_column": "year",
    "bag_columns": ("genres",),
}


@pytest.fixture
def made(ratings, catalogue):
    return data.from_frame(ratings, item_frame=catalogue, **FEATURES)


def by_id(made, feature):
    """Item id -> the value of its feature, bags and ids as sets of strings."""
    names = made.vocabularies["item_id"]
    column = made.items[feature][1:]
    if feature not in made.vocabularies:
        return dict(zip(names, column.tolist(), strict=True))
    values = [None, *made.vocabularies[feature]]
    rows = column.reshape(len(names), -1).tolist()
    return {
        name: {values[i] for i in row if i}
        for name, row in zip(names, rows, strict=True)
    }


def test_genres_are_bags_of_what_training_knows(made, catalogue):
    for item, genres in zip(catalogue["item_id"], catalogue["genres"], strict=True):
        expected = set() if pd.isna(genres) else set(genres.split("|")) - {"", "War"}
        assert by_id(made, "genres")[item] == expected


def test_title_words_occur_in_two_titles_of_training(made):
    words = by_id(made, "title")
    assert words["x"] == {"the", "red", "door"}
    assert words["s"] == {"door"}  # "to" is in one title only
    assert words["v"] == words["r"] == {"look"}  # "don't" is one word of one title
    assert words["t"] == {"the", "sea"}
    assert words["u"] == words["z"] == set()


def test_years_are_standardised_over_the_train_rows(made, catalogue):
    years = dict(zip(catalogue["item_id"], catalogue["year"], strict=True))
    names = made.vocabularies["item_id"]
    rows = [years[names[i - 1]] for i in made.splits["train"]["item_id"]]
    rows = [year for year in rows if not np.isnan(year)]
    (feature,) = (f for f in made.item_features if f.name == "year")
    assert feature.mean == pytest.approx(np.mean(rows))
    assert feature.scale == pytest.approx(np.std(rows))
    assert by_id(made, "year")["v"] == pytest.approx(feature.mean)
    assert made.items["year"][0] == pytest.approx(feature.mean)
    assert by_id(made, "year")["x"] == 1994


def test_decades_are_ids_and_a_missing_one_is_unknown(made):
    decades = by_id(made, "decade")
    assert decades["x"] == {"1990s"}
    assert decades["q"] == {"1950s"}
    assert decades["v"] == set()


def test_the_unknown_item_is_zeros_and_means(made):
    for feature in made.item_features:
        row = made.items[feature.name][0]
        assert np.all(
            row == (np.float32(feature.mean) if feature.kind == "number" else 0)
        )


def test_people_read_titles_with_years_and_ids_where_there_is_none(made):
    titles = dict(zip(made.vocabularies["item_id"], made.titles[1:], strict=True))
    assert made.titles[0] == "unknown"
    assert titles["x"] == "The Red Door (1994)"
    assert titles["w"] == "Red Sea (1999)"
    assert titles["v"] == "Don't Look"
    assert titles["u"] == "item u (1987)"


def test_attributes_can_stand_in_the_interactions(ratings, catalogue, made):
    joined = ratings.merge(catalogue, on="item_id")
    inline = data.from_frame(joined, **FEATURES)
    for feature in ("genres", "title", "year", "decade"):
        expected = by_id(made, feature)
        for item, value in by_id(inline, feature).items():
            assert value == expected[item]


def test_users_have_features_too(ratings):
    people = pd.DataFrame(
        {
            "user_id": ["eve", "dee", "cy", "bob", "ann"],
            "city": ["Rome", None, "Oslo", "Rome", "Bonn"],
            "age": [20, 30, None, 50, 60],
        }
    )
    made = data.from_frame(
        ratings,
        user_frame=people,
        user_category_columns=["city"],
        user_number_columns=["age"],
    )
    cities = [None, *made.vocabularies["city"]]
    for index, user in enumerate(made.vocabularies["user_id"], start=1):
        (city,), (age,) = (
            people.loc[people["user_id"] == user, c] for c in ("city", "age")
        )
        assert cities[made.users["city"][index]] == (None if pd.isna(city) else city)
        if not pd.isna(age):
            assert made.users["age"][index] == age
    assert [feature.name for feature in made.user_features] == [
        "user_id",
        "city",
        "age",
    ]
    (batch,) = made.batches("train", 100)
    np.testing.assert_array_equal(batch["age"], made.users["age"][batch["user_id"]])


def test_bags_can_be_lists_and_repeat_nothing(ratings, catalogue):
    lists = [["b", "a", "b"], ["a"], [], None, ("c",), np.array(["a", "c"])] + [
        ["a"]
    ] * 4
    made = data.from_frame(
        ratings, item_frame=catalogue.assign(tags=lists), bag_columns=["tags"]
    )
    tags = by_id(made, "tags")
    assert [tags[item] for item in "xwvut"] == [{"a"}, set(), set(), {"c"}, {"a", "c"}]
    assert all(np.count_nonzero(row) <= 2 for row in made.items["tags"])


def test_bags_can_be_texts_of_lists(ratings, catalogue):
    lists = ["['b', 'a']", "{'a'}", "('a',)", None, "[1, 2]", '["c"]'] + ["['a']"] * 4
    made = data.from_frame(
        ratings, item_frame=catalogue.assign(tags=lists), bag_columns=["tags"]
    )
    tags = by_id(made, "tags")
    expected = [{"a"}, {"a"}, set(), {"1", "2"}, {"c"}]
    assert [tags[item] for item in "xwvut"] == expected


def test_large_whole_categories_stay_apart_where_rows_are_missing(ratings):
    shelves = pd.DataFrame({"item_id": [*"pqrstuvw"], "shelf": 2**53 + np.arange(8)})
    made = data.from_frame(
        ratings, item_frame=shelves, item_category_columns=["shelf"], split="random"
    )
    assert made.vocabularies["shelf"].tolist() == [str(2**53 + n) for n in range(8)]
    assert "1 of 9 items have no row in the item table" in str(made)


@pytest.mark.parametrize(("without", "is_noted"), [(1, False), (2, True)])
def test_more_than_a_tenth_of_items_without_a_row_is_noted(without, is_noted):
    frame = pd.DataFrame({"user_id": 20 * ["u"], "item_id": [*range(10), *range(10)]})
    items = pd.DataFrame({"item_id": range(10 - without)})
    made = data.from_frame(frame, item_frame=items, split="random")
    assert ("have no row in the item table" in str(made)) == is_noted


@pytest.mark.parametrize("dtype", ["datetime64[us]", "timestamp[us][pyarrow]"])
def test_a_missing_date_is_no_number(ratings, catalogue, dtype):
    out = pd.Series(pd.to_datetime(["2020-01-01", None] * 5))
    items = catalogue.assign(out=out.astype(dtype))
    made = data.from_frame(ratings, item_frame=items, item_number_columns=["out"])
    assert len(set(made.items["out"])) == 1  # the missing ones are the mean


def test_decimals_are_whole_numbers_where_they_are(ratings, catalogue):
    sizes = [None if n % 4 == 0 else decimal.Decimal(n).scaleb(-1) for n in range(10)]
    items = catalogue.assign(
        size=pd.Series(sizes, dtype=pd.ArrowDtype(pa.decimal128(9, 2))),
        shelf=[
            decimal.Decimal(n % 2).quantize(decimal.Decimal("0.01")) for n in range(10)
        ],
    )
    made = data.from_frame(
        ratings,
        item_frame=items,
        item_number_columns=["size"],
        item_category_columns=["shelf"],
    )
    assert by_id(made, "size")["w"] == pytest.approx(0.2)
    assert by_id(made, "size")["v"] == pytest.approx(0.3)
    assert set(made.vocabularies["shelf"]) == {"0", "1"}


def test_ids_that_lost_their_zeros_in_one_table_are_refused(ratings):
    items = "pqrstuvwx"
    code = {item: f"00{n}" if n < 3 else str(10 + n) for n, item in enumerate(items)}
    rows = ratings.assign(item_id=ratings["item_id"].map(code))
    sheet = pd.DataFrame({"item_id": [int(name) for name in code.values()]})
    message = "`item_frame` must write ids as .* Got 3 of them .*'1' for '001' of `it"
    with pytest.raises(ValueError, match=message):
        data.from_frame(rows, item_frame=sheet)
    with pytest.raises(ValueError, match="must write ids as .*'001' for '1'"):
        data.from_frame(
            rows.astype({"item_id": int}),
            item_frame=pd.DataFrame({"item_id": [*code.values()]}),
        )


def test_long_titles_keep_their_first_words(ratings, catalogue):
    long = " ".join(f"word{i}" for i in range(30))
    made = data.from_frame(
        ratings, item_frame=catalogue.assign(title=long), title_column="title"
    )
    assert made.items["title"].shape == (11, 12)
    assert by_id(made, "title")["x"] == {f"word{i}" for i in range(12)}


def test_a_constant_number_has_scale_one(ratings, catalogue):
    made = data.from_frame(
        ratings, item_frame=catalogue.assign(price=3.0), item_number_columns=["price"]
    )
    assert (made.item_features[-1].mean, made.item_features[-1].scale) == (3.0, 1.0)


def test_item_categories_are_ids(ratings, catalogue):
    made = data.from_frame(
        ratings,
        item_frame=catalogue.assign(shelf=[1, 2, 3, 1, 2, 3, 1, 2, 3, 1]),
        item_category_columns=["shelf"],
    )
    assert made.vocabularies["shelf"].tolist() == ["1", "2", "3"]
    assert by_id(made, "shelf")["x"] == {"2"}


def test_the_row_of_the_users_own_table_is_named(ratings, catalogue):
    """The catalogue has another order: the most frequent items come first."""
    catalogue.loc[[3, 6, 8], "year"] = np.inf
    with pytest.raises(ValueError, match="3 of 10 rows .* the first at row 3 "):
        data.from_frame(ratings, item_frame=catalogue, year_column="year")
    joined = ratings.assign(city=["Rome"] * 10 + ["Rome|Oslo"] * 30)
    joined["user_id"] = [f"u{n % 20}" for n in range(40)]
    with pytest.raises(ValueError, match="10 of 20 rows .* the first at row 10 "):
        data.from_frame(joined, user_category_columns=["city"], split="random")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            lambda c: pd.concat([c, c[:2]]),
            {},
            "`item_frame` must have each `item_id` once. Got 2 of them .*'z', 2 times",
        ),
        (lambda c: c[:0], {}, "`item_frame` must have at least one row"),
        (lambda c: c.to_dict("list"), {}, "`item_frame` must be a DataFrame.*'dict'"),
        (
            lambda c: c.assign(title=[["The", "Sea"]] * 10),
            {"title_column": "title"},
            "`title` must hold one text a row.*'The', 'Sea'",
        ),
        (
            lambda c: c.assign(item_id=range(10)),
            {},
            "`item_frame` must have rows of the items.*none of 9.* '.', .* like '0'",
        ),
        (
            lambda c: c,
            {"item_category_columns": ["genres"]},
            r"`genres` must hold one value a row, none with '\|'.*in `bag_columns`",
        ),
        *(
            (
                lambda c, cell=cell: c.assign(tags=[cell] * 10),
                {"item_category_columns": ["tags"]},
                "`tags` must hold one value a row, not a list.*in `bag_columns`",
            )
            for cell in [
                *["['x', 'y']", "['x']", "[x, y]", "['x' 'y']", "[1 2]", "('x', 'y')"],
                *["{'x', 'y'}", "{'x': 1}", ["x"], {"x": 1}, ("x",), []],
            ]
        ),
        *(
            (
                lambda c, mark=mark: c.assign(tags=f"Short{mark}Horror"),
                {"bag_columns": ["tags"], "bag_separator": "+"},
                "`tags` must separate values by `bag_separator`, '[+]'.*say `bag_",
            )
            for mark in ["|", ";", ",", "\t", " / "]
        ),
        *(
            (
                lambda c, cell=cell: c.assign(tags=[cell] * 10),
                {"bag_columns": ["tags"]},
                "`tags` must hold lists of texts or numbers",
            )
            for cell in [
                *["[x, y]", "[['x'], ['y']]", [["x"]], {"x": 1}, "[{'id': 2}]"],
                *["['x' 'y']", "['x'\n 'y']", "[1 2]", "{'x': 1}"],
            ]
        ),
        (
            lambda c: c,
            {"bag_columns": ["genres"], "bag_separator": ""},
            "`bag_separator` must be a text",
        ),
        (lambda c: c.drop(columns="item_id"), {}, "`item_column` must be a column"),
        (lambda c: c, {"title_column": "titel"}, "Did you mean `title_column='title'`"),
        (lambda c: c, {"bag_columns": ["tags"]}, "`bag_columns` must be a column"),
        (
            lambda c: c.assign(year="MCM"),
            {"year_column": "year"},
            "`year` must hold finite numbers.*'MCM'",
        ),
        (
            lambda c: c.assign(price=[1.0, np.inf] * 5),
            {"item_number_columns": ["price"]},
            "`price` must hold finite numbers.*inf",
        ),
        (
            lambda c: c.assign(rating=3),
            {"item_number_columns": ["rating"]},
            "`rating` cannot name a feature",
        ),
        (
            lambda c: c,
            {"bag_columns": ["genres"], "item_category_columns": ["genres"]},
            "`genres` must be one feature. Got it twice",
        ),
    ],
)
def test_attributes_that_cannot_be_used_are_refused(
    ratings, catalogue, change, options, message
):
    with pytest.raises(ValueError, match=message):
        data.from_frame(ratings, item_frame=change(catalogue), **options)
