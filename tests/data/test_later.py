"""Rows that came later are added once."""

import pandas as pd
import pytest

import tfrs_models as tm

FIRST = pd.DataFrame(
    {
        "who": list("aabbb"),
        "what": [7, 8, 7, 9, 9],
        "when": [10, 20, 30, 40, 40],  # one event is there twice
        "stars": [1.0, 2.0, 3.0, 4.0, 4.0],
    }
)
MORE = pd.DataFrame(
    {
        "who": list("bacc"),
        "what": [9, 7, 11, 11],
        "when": [40, 50, 60, 60],  # known, new time, new, new again
        "stars": [4.0, 5.0, 1.0, 1.0],
    }
)
COLUMNS = {
    "user_column": "who",
    "item_column": "what",
    "timestamp_column": "when",
    "rating_column": "stars",
}


def rows(data):
    """(user, item, time) of all rows, sorted."""
    users, items = (["", *data.vocabularies[n]] for n in ("user_id", "item_id"))
    return sorted(
        (users[u], items[i], int(t))
        for columns in data.splits.values()
        for u, i, t in zip(
            columns["user_id"], columns["item_id"], columns["timestamp"], strict=True
        )
    )


EXPECTED = sorted(
    [
        *(("a", "7", 10), ("a", "8", 20), ("b", "7", 30), ("b", "9", 40)),
        *(("b", "9", 40), ("a", "7", 50), ("c", "11", 60)),
    ]
)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("more", [MORE, pd.concat([FIRST, MORE])], ids=["new", "all"])
def test_new_rows_are_added_whether_or_not_the_known_ones_come_again(
    tmp_path, suffix, more
):
    path, later = tmp_path / f"first.{suffix}", tmp_path / "later.parquet"
    getattr(FIRST, f"to_{suffix}")(path, index=False)
    more.to_parquet(later)
    options = COLUMNS | {"split": "global_time", "test_fraction": 0.2}
    data = tm.data.load(path, later=later, repeats="allow", **options)
    assert rows(data) == EXPECTED


def test_rows_of_a_file_are_read_as_they_are(tmp_path):
    FIRST.to_parquet(tmp_path / "first.parquet")
    found = tm.data.files.read_rows(tmp_path / "first.parquet", **COLUMNS)
    assert found.to_dict("list") == FIRST.to_dict("list")


def test_a_known_format_gets_later_rows_too(tmp_path):
    path, later = tmp_path / "ratings.dat", tmp_path / "later.parquet"
    path.write_text(
        "".join(f"{u}::{i}::3::{100 + u * i}\n" for u in (1, 2) for i in (3, 4))
    )
    more = tmp_path / "new" / "ratings.dat"
    more.parent.mkdir()
    more.write_text("1::3::3::103\n5::6::4::900\n")
    tm.data.files.read_rows(more).to_parquet(later)
    data = tm.data.load(path, later=later, split="global_time", test_fraction=0.2)
    assert len(rows(data)) == 5
    assert ("5", "6", 900) in rows(data)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            MORE.drop(columns="what"),
            r"It lacks 'what'; its columns are \['who', 'when'",
        ),
        (MORE.drop(columns="stars"), "It lacks 'stars'"),
        (MORE.assign(when="yesterday"), "must have numbers in 'when'"),
        (MORE.head(0), "must have at least one row"),
    ],
)
def test_other_columns_are_named(more, words):
    with pytest.raises(ValueError, match=words):
        tm.data.from_frame(FIRST, later=more, split="global_time", **COLUMNS)
