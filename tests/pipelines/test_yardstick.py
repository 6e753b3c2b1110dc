"""The yardstick benchmark reads, orders and says what the pipeline measured."""

import dataclasses
import json

import numpy as np
import pytest

from pipelines import retrieval
from pipelines.benchmarks import trends, yardstick


def about(**more):
    return {
        "data": {
            "num_users": 3,
            "num_items": 4_000,
            "rows": {"train": 9, "test": 2},
        },
        "excluded": "known items",
        "baselines": [{"kind": "ease", "name": "EASE, regularization 7"}],
        "verdict": "The model loses.",
        **more,
    }


def of(mean, **more):
    return {metric: {"mean": mean, **more} for metric in yardstick.METRICS}


def test_recommenders_are_in_the_order_of_the_test_rows_with_their_intervals():
    test = {
        "model": of(0.25, low=0.125, high=0.5),
        "ease": of(0.375, low=0.25, high=0.5),
        "chance": of(0.0, low=0.0, high=0.0),
    }
    text = yardstick.section({("films", "leave_last_out"): about(test=test)})
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows[2:]] == [
        "EASE, regularization 7",
        "**our default**",
        "chance",
    ]
    assert rows[3].split("|")[2].strip() == "0.250 [0.125, 0.500]"
    assert "3 users, 4,000 items, 9 rows" in text
    assert "The model loses." in text


def test_folds_are_shown_with_their_spread_and_no_difference():
    folds = {
        "model": of(0.5, spread=0.0625),
        "best_baseline": of(0.25, spread=0.125),
        "model_minus_best": of(0.25, spread=0.5),
    }
    text = yardstick.section({("films", "global_time"): about(folds=folds)})
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row.split("|")[2].strip() for row in rows] == [
        "0.500 ± 0.062",
        "0.250 ± 0.125",
    ]
    assert "the best simple one on validation" in rows[1]


@pytest.mark.parametrize("file", ["films=ratings.dat", "yoochoose", "yoochoose="])
def test_files_that_are_not_known_are_named(file):
    with pytest.raises(SystemExit, match="among movietweetings, yoochoose, groceries"):
        yardstick.main(yardstick.Config(files=(file,), write=False))


def test_data_that_are_not_known_are_named():
    with pytest.raises(SystemExit, match="Got movies: name public files"):
        yardstick.main(yardstick.Config(data=("movies",), write=False))


def test_finished_runs_are_read_instead_of_run_again(tmp_path, monkeypatch):
    folder = tmp_path / "ml-100k-leave_last_out"
    folder.mkdir()
    test = {"model": of(0.5, low=0.0, high=1.0)}
    (folder / "metrics.json").write_text(json.dumps(about(test=test)), "utf-8")
    asked = []
    monkeypatch.setattr(
        retrieval, "main", lambda config: asked.append(config) or about(test=test)
    )
    config = yardstick.Config(
        data=("ml-100k", "latest-small"), reuse=True, write=False, output=tmp_path
    )
    found = yardstick.main(config)
    assert found["ml-100k", "leave_last_out"] == about(test=test)
    assert [(c.data.dataset, c.data.split, c.folds) for c in asked] == [
        ("recbole:ml-100k", "global_time", 3),
        ("movielens-latest-small", "leave_last_out", 1),
        ("movielens-latest-small", "global_time", 3),
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not tell candidates apart yet")
def test_the_pipeline_gives_what_the_section_shows(orders, tmp_path):
    config = dataclasses.replace(
        retrieval.SMOKE,
        data=dataclasses.replace(orders, split="leave_last_out"),
        baselines="none",
        output=tmp_path,
    )
    metrics = yardstick.measured(config, reuse=False)
    assert "**our default**" in yardstick.section({("o", "leave_last_out"): metrics})


def test_the_table_of_trends_pairs_rows_of_the_same_seed():
    def run(model, best, validation):
        values = {"model": np.array(model), "popularity": np.array(best)}
        users = np.array(["a", "a", "b"])
        return trends.Measured(validation, values, users, "popularity", "popularity")

    found = {
        ("films", "yes"): [
            run([0.5, 0.5, 0.2], [0.1, 0.2, 0.3], 0.25),
            run([0.1, 0.5, 0.9], [0.1, 0.2, 0.6], 0.35),
        ],
        ("films", "no"): [run([0.0, 0.0, 0.3], [0.1, 0.2, 0.3], 0.1)] * 2,
    }
    lines = trends.section(found).splitlines()
    with_trends = next(line for line in lines if "with trends" in line)
    assert "| 0.3000 ± 0.0707 | 0.4500 ± 0.0707 | +0.2000 [" in with_trends
    without = next(line for line in lines if "without trends" in line)
    assert "| 0.1000 ± 0.0000 | 0.1000 ± 0.0000 |  |" in without
    assert any("best simple one: popularity" in line for line in lines)
