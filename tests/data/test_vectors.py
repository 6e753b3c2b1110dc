"""Columns of dense vectors and files of them."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfrs_models import data
from tfrs_models.data.vectors import read_vectors

VECTORS = {
    "z": [0.5, -1.0, 2.0],
    "x": [1.0, 0.0, -3.0],
    "w": None,
    "v": [0.25, 4.0, 1.0],
    "u": [-2.0, -0.5, 0.125],
    "t": [8.0, 1.0, 1.0],
    "s": [0.0, 0.0, 0.0],  # known, but nothing to read
    "r": [],
    "q": [1e-3, 2.0, 5.0],
    "p": [3.0, 3.0, -1.0],
}


def cell(kind, vector):
    """The vector as the cell of a table."""
    if vector is None or kind == "list":
        return vector
    return {
        "array": lambda: np.array(vector, "float64"),
        "tuple": lambda: tuple(vector),
        "json": lambda: str(vector),
        "printed": lambda: str(np.array(vector)),
        "words": lambda: " ".join(map(str, vector)),
    }[kind]()


def expected(made):
    """`[num_items + 1, 3]` by loops over the ids."""
    rows = [np.zeros(3)]
    for name in made.vocabularies["item_id"]:
        rows.append(np.array(VECTORS[name] or [0, 0, 0]))
    return np.array(rows, "float32")


def with_vectors(catalogue, kind="list"):
    column = [cell(kind, VECTORS[name]) for name in catalogue["item_id"]]
    return catalogue.assign(text=pd.Series(column, dtype=object))


@pytest.mark.parametrize("kind", ["list", "array", "tuple", "json", "printed", "words"])
def test_every_item_has_its_vector_whatever_the_order_of_the_table(
    ratings, catalogue, kind
):
    made = data.from_frame(
        ratings,
        item_frame=with_vectors(catalogue, kind),
        item_vector_columns=["text"],
    )
    assert made.item_features[-1] == data.Feature("text", "vector", dim=3)
    assert made.items["text"].dtype == np.float32
    np.testing.assert_array_equal(made.items["text"], expected(made))
    assert "3 of 10 items have no vector of `text`" in str(made)


def test_the_first_row_of_an_item_in_the_interactions_has_its_vector(ratings):
    joined = ratings.assign(text=[cell("json", VECTORS[i]) for i in ratings["item_id"]])
    made = data.from_frame(joined, item_vector_columns=["text"])
    np.testing.assert_array_equal(made.items["text"], expected(made))


def test_batches_candidates_and_histories_of_users_have_the_vectors(ratings, catalogue):
    people = pd.DataFrame({"user_id": ["dee", "ann"], "face": [[1, 2], [-3, 0.5]]})
    made = data.from_frame(
        ratings,
        item_frame=with_vectors(catalogue),
        user_frame=people,
        item_vector_columns=["text"],
        user_vector_columns=["face"],
    )
    assert made.user_features[-1] == data.Feature("face", "vector", dim=2)
    faces = dict(zip(people["user_id"], people["face"], strict=True))
    names = ["", *made.vocabularies["user_id"]]
    for batch in made.batches("train", 4):
        assert (batch["text"].dtype, batch["text"].shape[1:]) == (tf.float32, [3])
        np.testing.assert_array_equal(
            batch["text"], expected(made)[batch["item_id"].numpy()]
        )
        np.testing.assert_array_equal(
            batch["face"], [faces.get(names[u], [0, 0]) for u in batch["user_id"]]
        )
    found = np.concatenate([batch["text"] for batch in made.candidate_batches(4)])
    np.testing.assert_array_equal(found, expected(made)[1:])


def test_activity_gives_rankers_the_unit_vectors_of_items(ratings, catalogue):
    made = data.with_activity(
        data.from_frame(
            ratings,
            item_frame=with_vectors(catalogue),
            bag_columns=["genres"],
            item_number_columns=["year"],
            item_vector_columns=["text"],
        )
    )
    columns = data.activity_layout(made).item_columns
    assert columns[-4:] == ("year", "text[0]", "text[1]", "text[2]")
    features = made.items["item_features"]
    assert features.shape == (11, len(columns))
    for row, vector in zip(features, expected(made), strict=True):
        length = np.linalg.norm(vector) or 1
        np.testing.assert_allclose(row[-3:], vector / length, rtol=1e-6)


@pytest.mark.parametrize(
    ("row", "bad", "message"),
    [
        (2, [1.0, np.nan, 0], r"finite numbers.* first at row 2 .*\[1.0, nan, 0\]"),
        (7, [1.0, 1e300, 0], "finite numbers.* 1 of 10 .* first at row 7 "),
        (0, [1.0, None, 0], "finite numbers.* first at row 0 "),
        (4, "[NaN, 1, 2]", "finite numbers.* first at row 4 "),
        (
            5,
            [1.0, 2],
            r"same number of components in all rows, 3 .*, not 2.* at row 5 ",
        ),
        (6, "[1, 2, 3, 4]", "same number .* not 4.* at row 6 "),
        (1, "a red door", "list of numbers .* first at row 1 .*'a red door'"),
        (3, "[0.1, red, 2]", "list of numbers .* first at row 3 "),
        (3, ["a", "b", "c"], "list of numbers .* first at row 3 "),
        (8, [[1, 2], [3, 4]], "list of numbers .* first at row 8 "),
        (8, [[1, 2], [3]], "list of numbers .* first at row 8 "),
        (9, 0.5, "list of numbers .* first at row 9 .*0.5"),
        (9, {"x": 1}, "list of numbers .* first at row 9 "),
    ],
)
def test_a_wrong_vector_names_table_column_and_row_of_the_table(
    ratings, catalogue, row, bad, message
):
    frame = with_vectors(catalogue)
    frame.at[row, "text"] = bad
    with pytest.raises(ValueError, match=f"`text` of `item_frame` must h.*{message}"):
        data.from_frame(ratings, item_frame=frame, item_vector_columns=["text"])
    joined = ratings.assign(text=[[1.0, 2, 3]] * 40)
    joined.at[10 + row, "text"] = bad
    joined["user_id"] = [f"u{n}" for n in range(40)]
    with pytest.raises(ValueError, match=f"`text` of the .* at row {10 + row} "):
        data.from_frame(joined, user_vector_columns=["text"], split="random")


def test_a_long_vector_is_not_shown_in_full():
    column = pd.Series([[0.125] * 384, [np.nan] + [0.125] * 383])
    with pytest.raises(ValueError, match="finite numbers") as error:
        read_vectors(column, "text", table="`item_frame`")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"item_vector_columns": ["text", "text"]}, "`text` must be one feature"),
        (
            {"item_vector_columns": ["texts"]},
            "Did you mean `item_vector_columns='text'",
        ),
        (
            {"item_vector_columns": ["none"]},
            "`none` of `item_frame` must have a vector",
        ),
        ({"item_vector_columns": ["year"]}, "`year` of `item_frame` must hold a list"),
        ({"user_vector_columns": ["text"]}, "`user_vector_columns` must be a column"),
        ({"item_vector_columns": ["rating"]}, "`rating` cannot name a feature"),
    ],
)
def test_wrong_columns_are_named(ratings, catalogue, options, message):
    frame = with_vectors(catalogue).assign(none=None)
    frame["rating"] = frame["text"]
    with pytest.raises(ValueError, match=message):
        data.from_frame(ratings, item_frame=frame, **options)


@pytest.fixture
def files(tmp_path, ratings, catalogue):
    """Interactions, items and vectors beside them as files."""
    ratings.to_parquet(tmp_path / "log.parquet")
    with_vectors(catalogue).to_parquet(tmp_path / "items.parquet")
    with_vectors(catalogue, "json").to_csv(tmp_path / "items.csv", index=False)
    rows = [VECTORS[name] or [0, 0, 0] for name in catalogue["item_id"]]
    np.save(tmp_path / "text.npy", np.array(rows, "float16"))
    return tmp_path


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("items.parquet", "text"),
        ("items.csv", "text"),
        ("items.csv", "image=text.npy"),
    ],
)
def test_files_have_the_same_vectors(files, monkeypatch, table, column):
    monkeypatch.chdir(files)
    made = data.load("log.parquet", item_table=table, item_vector_columns=[column])
    name = column.split("=")[0]
    assert [f.name for f in made.item_features] == ["item_id", name]
    found = made.items[name]
    np.testing.assert_allclose(found, expected(made), rtol=1e-3)  # of half precision


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((9, 3)), "one row per row of `item_table`, which has 10. Got 9 in"),
        (np.ones(10), r"matrix of numbers.* of shape \(10,\)"),
        (np.ones((10, 0)), r"matrix of numbers.* of shape \(10, 0\)"),
        (np.full((10, 2), "a"), "matrix of numbers.* with <U1"),
        (np.full((10, 2), None), "matrix of numbers.*allow_pickle"),
        (np.array([[1.0]] * 6 + [[np.inf]] * 4), "`face` of .* finite.* at row 6 "),
    ],
)
def test_a_wrong_file_is_refused(files, array, message):
    np.save(files / "face.npy", array)
    with pytest.raises(ValueError, match=message):
        data.load(
            files / "log.parquet",
            item_table=files / "items.csv",
            item_vector_columns=[f"face={files / 'face.npy'}"],
        )


def test_a_file_needs_a_table_a_new_name_and_to_exist(files):
    log, items = files / "log.parquet", files / "items.csv"
    with pytest.raises(ValueError, match="`item_vector_columns` needs `item_table`"):
        data.load(log, item_vector_columns=[f"face={files / 'text.npy'}"])
    with pytest.raises(ValueError, match="must give a file a new name.*title="):
        data.load(
            log,
            item_table=items,
            item_vector_columns=[f"title={files / 'text.npy'}"],
        )
    with pytest.raises(FileNotFoundError, match="`item_vector_columns` must be a file"):
        data.load(log, item_table=items, item_vector_columns=["face=no.npy"])
    (files / "text.npy").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"must name \.npy files of a matrix"):
        data.load(
            log, item_table=items, item_vector_columns=[f"face={files / 'text.npy'}"]
        )
