"""A raw log that is wrong: what, in which file, column and row."""

import dataclasses
import re

import pandas as pd
import pytest

from tests.data.kuaisar.raw_files import EASY, GOOD, START, write
from tfrs_models.data.kuaisar import Options
from tfrs_models.data.kuaisar.convert import convert


def test_a_user_who_has_met_nearly_everything_is_named(tmp_path):
    write(tmp_path, **GOOD)
    with pytest.raises(ValueError, match=r"user 0, who has met most of the 8 items"):
        convert(tmp_path, EASY)


@pytest.mark.parametrize(
    "file", ["rec_inter", "src_inter", "user_features", "item_features"]
)
def test_a_missing_file_is_named(tmp_path, file):
    write(tmp_path, **GOOD)
    (tmp_path / f"{file}.csv").unlink()
    with pytest.raises(FileNotFoundError, match=f"must have {file}.csv"):
        convert(tmp_path, EASY)


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("rec_inter", "click"),
        ("src_inter", "keyword"),
        ("user_features", "rec_active_level"),
        ("item_features", "caption"),
    ],
)
def test_a_missing_column_is_named(tmp_path, file, column):
    write(tmp_path, **GOOD)
    path = tmp_path / f"{file}.csv"
    pd.read_csv(path).drop(columns=column).to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"{file}.csv: .* must have .*'{column}'"):
        convert(tmp_path, EASY)


@pytest.mark.parametrize(
    "file", ["rec_inter", "src_inter", "user_features", "item_features"]
)
@pytest.mark.parametrize(
    ("text", "replaced"), [(b".*", b""), (b"1", b"\xff")], ids=["empty", "not UTF-8"]
)
def test_a_file_that_is_no_table_is_named(tmp_path, file, text, replaced):
    write(tmp_path, **GOOD)
    path = tmp_path / f"{file}.csv"
    path.write_bytes(re.sub(text, replaced, path.read_bytes(), flags=re.DOTALL))
    with pytest.raises(ValueError, match=f"Cannot read .*{file}.csv: "):
        convert(tmp_path, EASY)


@pytest.mark.parametrize(
    ("file", "column", "value"),
    [
        ("src_inter", "click_cnt", "two"),
        ("src_inter", "item_id", 2.5),
        ("user_features", "onehot_feat1", -1),
        ("user_features", "onehot_feat2", 2**32),
        ("user_features", "user_id", "abc"),
        ("item_features", "item_id", "abc"),
        ("item_features", "first_level_category_id", "inf"),
        ("item_features", "second_level_category_id", "music"),
        ("item_features", "caption", "[[1], [2, 3]]"),
        ("src_inter", "keyword", "[" + "9" * 400 + "]"),
    ],
)
def test_a_wrong_value_is_named_with_its_file_column_and_row(
    tmp_path, file, column, value
):
    write(tmp_path, **{**GOOD, "users": [1, 2, 3, 4]})
    path = tmp_path / f"{file}.csv"
    rows = pd.read_csv(path).astype({column: object})
    rows.loc[3, column] = value
    rows.to_csv(path, index=False)
    with pytest.raises(ValueError, match=f"`{column}` of {file}.csv.* row 3"):
        convert(tmp_path, EASY, chunk_rows=2)


def test_no_rows_at_a_time_are_refused(tmp_path):
    write(tmp_path, **GOOD)
    with pytest.raises(ValueError, match="`chunk_rows` must be at least 1. Got 0"):
        convert(tmp_path, EASY, chunk_rows=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            (
                {"clicks": [*GOOD["clicks"], row]},
                f"`{name}` of rec_inter.csv must .* 20",
            )
            for name, row in [
                ("timestamp", (1, 10, None, 1)),
                ("timestamp", (1, 10, 0, 1)),
                ("timestamp", (1, 10, START // 1000, 1)),  # seconds
                ("timestamp", (1, 10, START * 1000, 1)),  # microseconds
                ("timestamp", (1, 10, 1e30, 1)),
                ("user_id", (-1, 10, START, 1)),
                ("user_id", (1.9, 10, START, 1)),
                ("item_id", (1, "10x", START, 1)),
                ("click", (1, 10, START, None)),
                ("click", (1, 10, START, "yes")),
            ]
        ),
        (
            {"searches": [(1, 5, START, "[3]", 10, 1), (2, 5, START, "[3]", 10, 1)]},
            "Session 5 belongs to several",
        ),
        ({"searches": [(1, 5, START, "open('x')", 10, 1)]}, "`keyword` .* row 0"),
        (
            {
                "searches": [
                    *((7, 40 + n, START, "[3]", 10, 1) for n in range(3)),
                    (1, 60, START, "[3]", 10, 1),
                    (1, 50, START, "[3, -1]", 10, 1),
                ]
            },
            "`keyword` of src_inter.csv, row 4: Words must be",
        ),
        ({"users": [2]}, "user_features.csv must have every user .* user 1"),
        ({"clicks": [(7, 10, START, 1)]}, "Nothing is left of the log"),
    ],
)
def test_wrong_values_are_named(tmp_path, change, message):
    write(tmp_path, **GOOD | change)
    with pytest.raises(ValueError, match=message):
        convert(tmp_path, EASY)


@pytest.mark.parametrize(
    "options",
    [
        {"split": "random"},
        {"ties": "any"},
        {"negatives": "hard"},
        {"avoid": "none"},
        {"history_days": -1},
        {"k_core": 2.5},
        {"max_words": "3"},
        {"num_eval_negatives": None},
        {"k_core": True},
        {"both_services": "no"},
        {"keep_empty_histories": 1},
        *({name: 0} for name in ("k_core", "max_words", "num_train_negatives")),
    ],
)
def test_unknown_options_are_refused_by_name(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
        Options(**options)


@pytest.mark.parametrize("options", [{"min_samples": 1000}, {"history_days": 100}])
def test_options_that_leave_no_sample_are_named(tmp_path, options):
    write(tmp_path, **GOOD)
    name = next(iter(options))
    with pytest.raises(ValueError, match=f"Nothing is left after .*`{name}`"):
        convert(tmp_path, dataclasses.replace(EASY, **options))
