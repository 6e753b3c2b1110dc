"""What the flags of the data reach, whichever pipeline has them."""

import dataclasses
import inspect
import types

import numpy as np
import pandas as pd
import pytest
import tyro

import tfrs_models as tm
from pipelines.parts import indexes
from pipelines.parts.check_in_data import CheckInConfig, load_check_ins
from pipelines.parts.data import DataConfig, load_data
from tfrs_models.data.files import from_table

CLICKS = pd.DataFrame(
    {
        "visitor": np.repeat(["v1", "v2", "v3"], 4),
        "sku": [*"abcd", *"bcda", *"dacb"],
        "at": 1_433_221_332_117 + 61_000 * np.arange(12),
    }
)


@pytest.fixture
def clicks(tmp_path):
    """Flags of a table in milliseconds, with tables of its items and users."""
    CLICKS.to_csv(tmp_path / "clicks.csv", index=False)
    (tmp_path / "skus.csv").write_text(
        "sku,tags,shelf\na,x; y,1\nb,y,2\nc,x,1\nd,y; z,2\n"
    )
    (tmp_path / "people.csv").write_text(
        "visitor,city,age,face\nv1,Rome,20,1 2\nv2,Oslo,30,[3 4]\nv3,Rome,40,\n"
    )
    np.save(tmp_path / "looks.npy", np.eye(4))
    return [
        *("--dataset", str(tmp_path / "clicks.csv")),
        *("--user-column", "visitor", "--item-column", "sku"),
        *("--timestamp-column", "at", "--timestamp-unit", "ms"),
        *("--item-table", str(tmp_path / "skus.csv")),
        *("--bag-columns", "tags", "--bag-separator", ";"),
        *("--vector-columns", f"looks={tmp_path / 'looks.npy'}"),
        *("--user-table", str(tmp_path / "people.csv")),
        *("--user-category-columns", "city", "--user-number-columns", "age"),
        *("--user-vector-columns", "face"),
    ]


def test_flags_read_what_python_reads(clicks, tmp_path):
    found = load_data(tyro.cli(DataConfig, args=clicks), seed=1)
    expected = from_table(
        tmp_path / "clicks.csv",
        user_column="visitor",
        item_column="sku",
        timestamp_column="at",
        timestamp_unit="ms",
        item_table=tmp_path / "skus.csv",
        bag_columns=["tags"],
        bag_separator=";",
        item_vector_columns=[f"looks={tmp_path / 'looks.npy'}"],
        user_table=tmp_path / "people.csv",
        user_category_columns=["city"],
        user_number_columns=["age"],
        user_vector_columns=["face"],
        split="leave_last_out",
    )
    assert found.vocabularies["tags"].tolist() == ["x", "y", "z"]
    assert [f.name for f in found.user_features] == ["user_id", "city", "age", "face"]
    for side in ("users", "items"):
        columns = getattr(expected, side)
        assert getattr(found, side).keys() == columns.keys()
        for name, column in columns.items():
            np.testing.assert_array_equal(getattr(found, side)[name], column)
    last = CLICKS["at"][3::4].to_numpy() * 1000
    np.testing.assert_array_equal(found.splits["test"]["timestamp_us"], last)


def test_a_message_names_the_flag_that_cures_it(clicks):
    without = [flag for flag in clicks if flag not in ("--timestamp-unit", "ms")]
    with pytest.raises(SystemExit, match='Then say `--timestamp-unit "ms"`'):
        load_data(tyro.cli(DataConfig, args=without), seed=1)


def test_dates_of_a_form_are_read_with_a_flag(clicks, tmp_path):
    days = CLICKS.assign(at=[f"{n + 1:02d}.01.2024" for n in range(12)])
    days.to_csv(tmp_path / "clicks.csv", index=False)
    flags = [flag for flag in clicks if flag not in ("--timestamp-unit", "ms")]
    with pytest.raises(SystemExit, match=r'`--timestamp-format "%d.%m.%Y"`'):
        load_data(tyro.cli(DataConfig, args=flags), seed=1)
    flags += ["--timestamp-format", "%d.%m.%Y"]
    found = load_data(tyro.cli(DataConfig, args=flags), seed=1)
    assert found.splits["test"]["timestamp"][0] == 1_704_326_400  # 4 January 2024


def test_a_flag_says_whose_order_equal_times_have(clicks, tmp_path):
    tied = CLICKS.assign(at=CLICKS["at"][0])
    tied.to_csv(tmp_path / "clicks.csv", index=False)

    def last_items(*flags, seed=1):
        found = load_data(tyro.cli(DataConfig, args=[*clicks, *flags]), seed=seed)
        names = np.append("", found.vocabularies["item_id"])
        test = found.splits["test"]
        return names[test["item_id"]][np.argsort(test["user_id"])].tolist()

    assert sorted(last_items("--ties", "file")) == ["a", "b", "d"]
    drawn = [last_items(seed=seed) for seed in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1]
    assert len(set(map(tuple, drawn))) > 1


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("looks=no.npy", "`--vector-columns` must be a file that exists"),
        ("shelf", "`shelf` of `--item-table` must hold a list of numbers.* at row 0 "),
        ("colour", "`--vector-columns` must be a column of the table"),
    ],
)
def test_a_wrong_vector_names_the_flag(clicks, flag, message):
    with pytest.raises(SystemExit, match=message):
        load_data(
            tyro.cli(DataConfig, args=[*clicks, "--vector-columns", flag]), seed=1
        )


@pytest.mark.parametrize("num_items", [1, 15])
def test_few_items_need_no_approximate_index(monkeypatch, capsys, num_items):
    def index_items(index, *_):
        assert isinstance(index, tm.layers.BruteForce)
        return index

    monkeypatch.setattr(indexes, "index_items", index_items)
    data = types.SimpleNamespace(num_items=num_items)
    assert indexes.build_indexes(None, data)[1] is None
    assert f"there are {num_items}" in capsys.readouterr().out


@pytest.mark.parametrize("dataset", ["movielens-latest-small", "clicks.xlsx"])
def test_a_flag_of_tables_that_nothing_reads_is_refused(dataset):
    config = DataConfig(dataset=dataset, timestamp_unit="ms")
    with pytest.raises(SystemExit, match="`--timestamp-unit` is for a table of your o"):
        load_data(config, seed=1)


def test_every_option_of_a_table_has_a_flag():
    options = set(inspect.signature(tm.data.from_frame).parameters)
    options |= set(inspect.signature(from_table).parameters)
    flags = {field.name for field in dataclasses.fields(DataConfig)}
    renamed = {"item_category_columns", "item_number_columns", "item_vector_columns"}
    elsewhere = {"frame", "path", "options", "name", "seed", "item_frame", "user_frame"}
    elsewhere |= {"windows_back"}  # of `--folds`
    without = {"year_column"}
    assert options - flags - renamed - elsewhere == without


def test_check_ins_of_a_table_are_read_with_the_same_flags(tmp_path):
    path = tmp_path / "visits.tsv"
    rows = [
        f"u{u}\tp{n % 5}\t40.{n}\t-74.{u}\t{n + 1:02d}/04/2012 {u + 1:02d}:00 PM"
        for u in range(3)
        for n in range(12)
    ]
    path.write_text("\n".join(["guest\tpoi\tlat\tlon\ttime", *rows]))
    flags = ["--data", str(path), "--format", "table", "--length", "2"]
    flags += ["--columns", "user=guest", "--offset", "-240"]
    with pytest.raises(SystemExit, match='say `--timestamp-format "%m/%d/%Y %I:%M %p"'):
        load_check_ins(tyro.cli(CheckInConfig, args=flags), seed=0)
    flags += ["--timestamp-format", "%d/%m/%Y %I:%M %p"]
    found = load_check_ins(tyro.cli(CheckInConfig, args=flags), seed=0)
    assert found.traces.num_users == 3


def test_the_format_of_check_ins_is_found_by_the_first_lines(tmp_path, capsys):
    rows = [
        f"{u}\t2010-10-{n + 1:02d}T23:55:27Z\t30.{n}\t-97.{u}\t{n % 5}"
        for u in range(3)
        for n in range(12)
    ]
    (tmp_path / "visits.txt").write_text("\n".join(rows))
    flags = ["--data", str(tmp_path / "visits.txt"), "--length", "2"]
    found = load_check_ins(tyro.cli(CheckInConfig, args=flags), seed=0)
    assert found.traces.num_users == 3
    assert "is read as gowalla check-ins" in capsys.readouterr().out
    (tmp_path / "visits.txt").write_text("1::2::3::978300760\n")
    with pytest.raises(SystemExit, match="looks like MovieLens ratings"):
        load_check_ins(tyro.cli(CheckInConfig, args=flags), seed=0)


@pytest.mark.parametrize("given", [(), ("--user-column", "movieId")])
def test_a_flag_that_is_not_given_leaves_the_choice_to_the_format(tmp_path, given):
    rows = [f"{n % 3},{n % 4},3,{n}" for n in range(30)]
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(["userId,movieId,rating,timestamp", *rows]))
    flags = ["--dataset", str(path), *given]
    if given:
        flags += ["--item-column", "userId"]
    found = load_data(tyro.cli(DataConfig, args=flags), seed=1)
    assert (found.num_users, found.num_items) == ((4, 3) if given else (3, 4))
