import bz2
import gzip
import lzma

import numpy as np
import pandas as pd
import pytest

from tfrs_models import data
from tfrs_models.data.files import from_table


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


ROWS = ["user,item,timestamp,Straße", "ü,01,5,NA", "ü,02,6,é", "b,01,7,"]


@pytest.mark.parametrize(
    ("name", "encoding", "separator"),
    [
        ("mine.tsv", "utf-8", "\t"),
        ("mine.TSV", "utf-8-sig", "\t"),
        ("mine.CSV", "utf-8", ","),
        ("mine.csv", "utf-8", ";"),
        ("mine.csv", "utf-8-sig", ","),
        ("mine.csv", "utf-16", ","),
        ("mine.csv", "utf-8", "\t"),
        ("mine.csv", "utf-8", "|"),
        ("mine.tsv", "utf-8", ","),
        ("mine.csv.gz", "utf-8", ","),
        ("mine.tsv.bz2", "utf-16", "\t"),
        ("mine.csv.xz", "utf-8", ";"),
        ("mine.csv", "gzip", ","),
    ],
)
def test_text_files_are_read_however_they_are_written(
    tmp_path, name, encoding, separator
):
    text = "\r\n".join(ROWS).replace(",", separator)
    content = text.encode("utf-8" if encoding == "gzip" else encoding)
    kind = "gz" if encoding == "gzip" else name.split(".")[-1]
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    (tmp_path / name).write_bytes(pack.get(kind, bytes)(content))
    made = data.load(
        tmp_path / name,
        user_column="user",
        item_column="item",
        user_category_columns=["Straße"],
        split="random",
        test_fraction=0.4,
        validation_fraction=0,
    )
    assert made.name == "mine"
    assert set(made.vocabularies["item_id"]) == {"01", "02"}
    assert set(made.vocabularies["user_id"]) <= {"ü", "b"}
    assert set(made.vocabularies["Straße"]) <= {"NA", "é"}


def test_names_of_columns_may_have_the_other_separator(tmp_path):
    for name, mark, other in [("mine.tsv", "\t", ","), ("mine.csv", ",", ";")]:
        header = mark.join(["user_id", "item_id", f"{other}size{other}"])
        rows = [mark.join([f"u{n % 3}", f"i{n % 4}", str(n)]) for n in range(24)]
        (tmp_path / name).write_text("\n".join([header, *rows]))
        made = data.load(tmp_path / name, split="random")
        assert made.num_items == 4


def test_headers_may_stand_below_empty_lines_and_have_blanks(tmp_path):
    path = tmp_path / "mine.csv"
    rows = [f'"u{n % 3}", 00{n % 4}, {n}' for n in range(24)]
    path.write_text("\n\n" + "\n".join(["user_id, item_id, timestamp", *rows]))
    made = data.load(path)
    assert set(made.vocabularies["item_id"]) == {"000", "001", "002", "003"}
    assert set(made.vocabularies["user_id"]) == {"u0", "u1", "u2"}
    path.write_text("\n" + path.read_text().strip().replace(", ", ";"))
    assert set(data.load(path).vocabularies["item_id"]) == {"000", "001", "002", "003"}


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes("\n".join(ROWS).encode("latin-1"))
    columns = {"user_column": "user", "item_column": "item", "split": "random"}
    with pytest.raises(
        ValueError, match='must be in UTF-8.*name its `encoding`, .*"la'
    ):
        data.load(path, **columns)
    with pytest.raises(ValueError, match="`encoding` must be one that Python has"):
        data.load(path, encoding="klingon", **columns)
    made = data.load(path, encoding="latin-1", test_fraction=0.4, **columns)
    assert "Straße" not in made.vocabularies
    assert set(made.vocabularies["user_id"]) <= {"ü", "b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,item_id,item_id\na,1,2\n", r"\['item_id'\] more than once"),
        ("\n \nuser_id,item_id,item_id\na,1,2\n", r"\['item_id'\] more than once"),
        ("user_id;item_id;item_id\na;1;2\n", r"\['item_id'\] more than once"),
        ("user_id,item_id,timestamp\na,1,5,\nb,1,6,\n", "as many values as the header"),
        ("user_id,item_id,timestamp\na,1,5\nb,1,6,7\n", "Expected 3 fields in line 3"),
    ],
)
def test_a_header_that_does_not_say_what_is_below_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        data.load(path)


def test_attributes_in_csv_stay_as_they_are_written(tmp_path):
    (tmp_path / "rows.csv").write_text(
        "user_id,item_id,timestamp,country\n"
        + "".join(f"u{n % 3},{n % 4},{n},{'NA' if n % 3 else ''}\n" for n in range(24))
    )
    (tmp_path / "items.csv").write_text(
        "item_id,zip,region,price,title\n0,01234,NA,NA,None\n1,1234,null,2.5,NA\n"
        "2,01234,None,,\n3,9007199254740993,EU,4,nan\n"
    )
    made = data.load(
        tmp_path / "rows.csv",
        item_table=tmp_path / "items.csv",
        user_category_columns=["country"],
        item_category_columns=["zip", "region"],
        item_number_columns=["price"],
        title_column="title",
    )
    assert made.vocabularies["zip"].tolist() == ["01234", "1234", "9007199254740993"]
    assert made.vocabularies["region"].tolist() == ["EU", "NA", "None", "null"]
    assert made.vocabularies["country"].tolist() == ["NA"]
    assert sorted(made.titles) == ["NA", "None", "item 2", "nan", "unknown"]
    prices = dict(
        zip(made.vocabularies["item_id"], made.items["price"][1:], strict=True)
    )
    assert prices["1"] == 2.5
    assert prices["0"] == prices["2"] == made.items["price"][0]  # missing


@pytest.mark.parametrize("column", ["user_id", "item_id"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_empty_id_is_missing_in_every_kind_of_file(
    tmp_path, ratings, column, suffix
):
    ratings.loc[3, column] = ""
    path = tmp_path / f"mine.{suffix}"
    getattr(ratings, f"to_{suffix}")(path, index=False)
    for load in (lambda: data.load(path), lambda: data.from_frame(ratings)):
        with pytest.raises(
            ValueError, match=f"`{column}` must not have missing.*row 3"
        ):
            load()


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`path` must be .*nowhere\.csv"):
        from_table(tmp_path / "nowhere.csv")


def test_an_item_table_that_does_not_exist_is_named(tmp_path, ratings):
    ratings.to_csv(tmp_path / "mine.csv")
    with pytest.raises(FileNotFoundError, match=r"`item_table` must be .*items\.csv"):
        data.load(tmp_path / "mine.csv", item_table=tmp_path / "items.csv")


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end with one of .*mine\.xlsx"):
        from_table(tmp_path / "mine.xlsx")


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


@pytest.mark.parametrize("name", ["movielens", "recbole:ml-1m", "table.xlsx", ""])
def test_another_name_is_refused_with_the_names_there_are(name):
    with pytest.raises(ValueError, match="`dataset` must be one of") as error:
        data.load(name)
    for form in ("movielens-latest-small", "recbole:ml-100k", ".csv", ".dat"):
        assert form in str(error.value)


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(ValueError, match="Did you mean 'recbole:ml-100k'"):
        data.load("recbole:ml100k")


def damaged(path, share):
    """Cut to a share, and with a byte changed there."""
    whole = path.read_bytes()
    place = int(share * len(whole))
    flipped = bytearray(whole)
    flipped[place] ^= 1
    return whole[:place], bytes(flipped)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
)
@pytest.mark.parametrize("name", ["mine.csv", "ratings.dat"])
def test_a_damaged_compressed_file_is_named(tmp_path, name, suffix, pack, share):
    path = tmp_path / f"{name}{suffix}"
    rows = [[n % 7, n, 5, 1_000_000_000 + n * n] for n in range(999)]
    mark = "," if name == "mine.csv" else "::"
    lines = [mark.join(map(str, row)) for row in rows]
    if name == "mine.csv":
        lines.insert(0, "user_id,item_id,rating,timestamp")
    path.write_bytes(pack("\n".join(lines).encode()))
    for content in damaged(path, share):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path}.*cut off or damaged") as error:
            data.load(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_damaged_parquet_file_is_named(tmp_path, share):
    path = tmp_path / "mine.parquet"
    rows = np.random.default_rng(0).integers(10**9, size=[999, 2])
    frame = pd.DataFrame(rows, columns=["user_id", "item_id"])
    frame.to_parquet(path, write_page_checksum=True, compression=None)
    for content in damaged(path, share):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"must be a readable.*{path}"):
            data.load(path)


def test_a_table_that_ends_inside_of_a_line_says_so(tmp_path):
    path = tmp_path / "mine.csv"
    lines = ["user_id,item_id,timestamp"]
    lines += [f"u{n},i{n},{1_600_000_000 + n}" for n in range(99)]
    path.write_text("\n".join([*lines, "u1,i1,16"]))
    with pytest.raises(ValueError, match="row 99.*") as cut:
        data.load(path)
    assert str(cut.value).endswith(
        f"Read from {path}. Its last line has no end: is it cut off?"
    )
    path.write_text("\n".join([*lines, "u1,i1,16", ""]))
    with pytest.raises(ValueError, match=f"Read from {path}\\.$"):
        data.load(path)
