import numpy as np
import pandas as pd
import pytest

from tfrs_models import data


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_gives_what_its_table_gives(tmp_path, ratings, catalogue, suffix):
    paths = {}
    for name, frame in (("mine", ratings), ("items", catalogue)):
        paths[name] = tmp_path / f"{name}.{suffix}"
        write = frame.to_csv if suffix == "csv" else frame.to_parquet
        write(paths[name], index=False)
    options = {"title_column": "title", "bag_columns": ["genres"], "min_rating": 2}
    made = data.load(paths["mine"], item_table=paths["items"], **options)
    expected = data.from_frame(ratings, item_frame=catalogue, **options)
    assert made.name == "mine"
    for split, columns in expected.splits.items():
        for name, column in columns.items():
            np.testing.assert_array_equal(made.splits[split][name], column)
    for name, column in expected.items.items():
        np.testing.assert_array_equal(made.items[name], column)
    np.testing.assert_array_equal(made.titles, expected.titles)


def test_ids_in_csv_stay_as_they_are_written(tmp_path):
    path = tmp_path / "mine.csv"
    rows = [f"{u},{i},5" for u in ("007", "NA", "7") for i in ("01", "1", "null")]
    path.write_text("\n".join(["user,item,timestamp", *rows]))
    made = data.load(path, user_column="user", item_column="item")
    assert made.vocabularies["user_id"].tolist() == ["007", "NA", "7"]
    assert set(made.vocabularies["item_id"]) == {"01", "1", "null"}


def test_an_empty_id_in_csv_is_missing(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("user_id,item_id,timestamp\na,1,5\n,1,6\n")
    with pytest.raises(ValueError, match=r"`user_id` must not have missing ids.*row 1"):
        data.load(path)


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`path` must be .*nowhere\.csv"):
        data.from_table(tmp_path / "nowhere.csv")


def test_an_item_table_that_does_not_exist_is_named(tmp_path, ratings):
    ratings.to_csv(tmp_path / "mine.csv")
    with pytest.raises(FileNotFoundError, match=r"`item_table` must be .*items\.csv"):
        data.load(tmp_path / "mine.csv", item_table=tmp_path / "items.csv")


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end with one of .*mine\.xlsx"):
        data.from_table(tmp_path / "mine.xlsx")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_that_is_not_what_its_suffix_says_is_refused(tmp_path, suffix):
    path = tmp_path / f"mine.{suffix}"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"`path` must be a readable \.{suffix} file"):
        data.load(path)


def test_a_file_with_a_header_only_is_empty(tmp_path):
    path = tmp_path / "mine.csv"
    pd.DataFrame(columns=["user_id", "item_id", "timestamp"]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"at least one row\. Got an empty table"):
        data.load(path)
