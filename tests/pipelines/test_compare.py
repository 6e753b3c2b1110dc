"""Runs side by side: their flags, figures, ranks and lists."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from pipelines import compare
from pipelines.parts.rank_files import (
    NAME,
    read_ranks,
    write_lists,
    write_ranks,
)
from tfrs_models.metrics import RankTable, bootstrap_interval

RNG = np.random.default_rng(3)
NUM_ROWS = 37


def ranks(number, seed):
    """Ranks among 50 items, some with ties."""
    rng = np.random.default_rng(seed)
    return RankTable(
        above=rng.integers(0, 30, number).astype("int32"),
        tied=rng.integers(0, 3, number).astype("int32"),
        num_candidates=np.full(number, 49, "int32"),
        found=rng.random(number) < 0.9,
    )


def keys(number):
    """Users with one to many rows, two of them alike in everything."""
    users = np.array([f"u{n * n % 11}" for n in range(number)], object)
    items = np.array([f"i{n % 7}" for n in range(number)], object)
    times = np.arange(number) * 100
    users[5], items[5], times[5] = users[4], items[4], times[4]
    return {"user_id": users, "item_id": items, "timestamp": times}


def make_run(folder, table=None, columns=None, *, run="r1", **config):
    """Writes what a finished pipeline leaves."""
    folder.mkdir(exist_ok=True)
    content = {
        "run": run,
        "config": {"epochs": 3, "output": str(folder), "data": {"seed": 1}} | config,
        "test": {"auc": 0.5 + 0.01 * len(config), "name": "x"},
        "runs": [{"rmse": 0.9}],
    }
    (folder / "metrics.json").write_text(json.dumps(content))
    if table is not None:
        tables = {"model": table, "popularity": ranks(len(table), 99)}
        write_ranks(folder / NAME, tables, columns, run=run)
    return folder


@pytest.fixture
def two(tmp_path):
    """Two runs of the same rows, written in another order."""
    one, other = ranks(NUM_ROWS, 1), ranks(NUM_ROWS, 2)
    columns = keys(NUM_ROWS)
    order = np.argsort(RNG.random(NUM_ROWS), kind="stable")
    order = np.r_[np.setdiff1d(order, [4, 5], assume_unique=True), 4, 5]
    return (
        make_run(tmp_path / "one", one, columns),
        make_run(
            tmp_path / "two",
            other.take(order),
            {name: values[order] for name, values in columns.items()},
            run="r2",
            epochs=5,
        ),
        one,
        other,
        columns,
    )


def run(*folders, **flags):
    return compare.main(compare.Config(runs=folders, **flags))


def test_differences_are_paired_by_row_and_drawn_by_user(two):
    first, second, one, other, columns = two
    found = run(first, second, metrics=("ndcg_at_10",))["ranks"][0]
    gains = []
    for a, b, tied_a, tied_b, is_a, is_b in zip(
        one.above, other.above, one.tied, other.tied, one.found, other.found,
        strict=True,
    ):  # fmt: skip

        def gain(above, tied, is_found):
            each = [above + n + 1 for n in range(tied + 1)]
            values = [1 / math.log2(rank + 1) if rank <= 10 else 0.0 for rank in each]
            return sum(values) / len(values) if is_found else 0.0

        gains.append(gain(b, tied_b, is_b) - gain(a, tied_a, is_a))
    expected = bootstrap_interval(
        np.array(gains), np.unique(columns["user_id"], return_inverse=True)[1]
    )
    difference = found["metrics"]["ndcg_at_10"]["difference"]
    assert math.isclose(difference["mean"], expected.mean, abs_tol=1e-6)
    assert found["rows"] == NUM_ROWS
    assert found["users"] == len(set(columns["user_id"]))
    assert difference["low"] < difference["mean"] < difference["high"]
    by_row = bootstrap_interval(np.array(gains))
    wide = difference["high"] - difference["low"]
    assert not math.isclose(wide, by_row.high - by_row.low, rel_tol=0.02)


def test_a_run_equals_itself(two):
    first, *_ = two
    found = run(first, first)["ranks"][0]["metrics"]
    for metric in found.values():
        assert metric["difference"] == {"mean": 0, "low": 0, "high": 0}


def test_only_rows_of_both_runs_count_and_it_says_how_many(two, tmp_path, capsys):
    first, _, _, other, columns = two
    some = np.arange(0, NUM_ROWS, 3)
    part = make_run(
        tmp_path / "part", other.take(some), {n: v[some] for n, v in columns.items()}
    )
    found = run(first, part)["ranks"][0]
    assert found["rows"] == len(some)
    assert found["rows_of_each"] == [NUM_ROWS, len(some)]
    assert f"{len(some)} test rows" in capsys.readouterr().out


def test_flags_that_differ_are_shown_and_the_output_is_none(two, capsys):
    first, second, *_ = two
    assert run(first, second)["flags"] == {"epochs": [3, 5]}
    text = capsys.readouterr().out
    assert "--epochs" in text
    assert "--output" not in text


def test_rows_of_unknown_users_are_groups_of_their_own():
    rows = pd.DataFrame({"user_id": np.array(["a", "", "", "a", "0"], object)})
    groups = compare.user_groups(rows)
    assert len(set(groups)) == 4
    assert groups[0] == groups[3]


def test_another_catalogue_is_named(two, tmp_path, capsys):
    first, _, one, _, columns = two
    fewer = dataclasses.replace(one, num_candidates=one.num_candidates - 10)
    other = make_run(tmp_path / "fewer", fewer, columns)
    assert not run(first, other)["ranks"][0]["same_candidates"]
    assert "numbers of candidates differ" in capsys.readouterr().out


def test_a_simple_recommender_can_be_compared(two):
    first, second, *_ = two
    found = run(first, second, recommender="popularity")["ranks"][0]
    assert found["rows"] == NUM_ROWS


def test_runs_without_ranks_show_the_figures_that_all_have(tmp_path, capsys):
    one = make_run(tmp_path / "one")
    two = make_run(tmp_path / "two", epochs=4, width=8)
    found = run(one, two)
    assert found["figures"]["runs/0/rmse"] == [0.9, 0.9]
    assert not any(name.startswith("config") for name in found["figures"])
    assert "without intervals" in capsys.readouterr().out


def test_json_is_one_object(two, capsys):
    first, second, *_ = two
    run(first, second, as_json=True)
    assert json.loads(capsys.readouterr().out)["ranks"][0]["rows"] == NUM_ROWS


def test_ranks_come_back_as_they_were(tmp_path):
    table, columns = ranks(NUM_ROWS, 4), keys(NUM_ROWS)
    write_ranks(tmp_path / NAME, {"model": table}, columns, run="r")
    found = read_ranks(tmp_path / NAME)
    assert found.run == "r"
    np.testing.assert_array_equal(found.frame["above"], table.above)
    np.testing.assert_array_equal(found.frame["user_id"], columns["user_id"])


def test_lists_are_runs_of_ranx(tmp_path):
    lists = np.array([[3, 1, 2], [2, -1, -1], [1, 3, 0]])
    columns = {name: values[:3] for name, values in keys(NUM_ROWS).items()}
    ids = np.array(["", "x", "y", "z"], object)
    write_lists(tmp_path, lists, columns, ids, run="r")
    found = pd.read_parquet(tmp_path / "lists.parquet")
    rows = [tuple(row) for row in found.itertuples(index=False)]
    assert rows == [
        ("0", "z", 3.0), ("0", "x", 2.0), ("0", "y", 1.0), ("1", "y", 3.0),
        ("2", "x", 3.0), ("2", "z", 2.0),
    ]  # fmt: skip
    taken = pd.read_parquet(tmp_path / "taken.parquet")
    assert list(taken["doc_id"]) == list(columns["item_id"])
    assert list(taken["q_id"]) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "metrics.json").unlink(), "no finished run"),
        (lambda folder: (folder / NAME).write_bytes(b"x"), "holds no ranks"),
        (
            lambda folder: make_run(folder, run="another"),
            "a later run was stopped",
        ),
        (lambda folder: (folder / "metrics.json").write_text("["), "is damaged"),
    ],
)
def test_a_broken_run_is_named(two, break_it, words):
    first, second, *_ = two
    break_it(second)
    with pytest.raises(SystemExit, match=words):
        run(first, second)


def test_other_data_a_lone_run_and_wrong_names_are_refused(two, tmp_path, capsys):
    first, second, one, _, columns = two
    other = columns | {"item_id": "other " + columns["item_id"]}
    strangers = make_run(tmp_path / "strangers", one, other)
    with pytest.raises(SystemExit, match="share no test row"):
        run(first, strangers)
    for flags, words in (
        ({"metrics": ("ndcg@10",)}, "`--metrics`"),
        ({"recommender": "ease"}, r"must be of \['model', 'popularity'\]"),
    ):
        with pytest.raises(SystemExit) as end:
            run(first, second, **flags)
        assert end.value.code == 2
        assert words.replace("\\", "") in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        run(first)
    assert end.value.code == 2
