"""The yardstick benchmark reads, orders and says what the pipeline measured."""

import dataclasses
import json

import numpy as np
import pytest

from pipelines import retrieval
from pipelines.benchmarks import results, trends, yardstick


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


def seed_of(model, best, validation=(0.25, 0.5)):
    users = np.array(["a", "a", "b"])
    values = (np.array(validation), np.array(model), np.array(best))
    return trends.Measured(*values, users, "popularity", "abc-dirty")


def test_the_table_of_trends_pairs_rows_of_the_same_seed():
    config = trends.Config(seeds=(7, 8))
    found = {
        "yes": [
            seed_of([0.5, 0.5, 0.2], [0.1, 0.2, 0.3], (0.25, 0.5)),
            seed_of([0.1, 0.5, 0.9], [0.1, 0.2, 0.6], (0.35, 0.5)),
        ],
        "no": [seed_of([0.0, 0.0, 0.3], [0.1, 0.2, 0.3], (0.1, 0.0))] * 2,
    }
    text = trends.part(config, found)
    lines = text.splitlines()
    assert "| 0.3000 ± 0.0707 | 0.4500 ± 0.0707 | +0.2000 [" in lines[2]
    assert "| 0.1000 ± 0.0000 | 0.1000 ± 0.0000 | -0.1500 [" in lines[3]
    assert "best simple one: popularity | 0.5000" in lines[4]
    assert "Of test to validation: 1.50 for it, 0.50 for the simple one" in text
    assert "Seeds 7, 8; commit `abc-dirty`." in text


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ([0.9, 0.8, 0.7], "is ahead of"),
        ([0.0, 0.1, 0.2], "is **behind** the"),
        ([0.9, 0.8, 0.1], "is level with"),
    ],
)
def test_the_verdict_of_trends_says_where_the_default_is_behind(model, said):
    runs = [seed_of(model, [0.5, 0.5, 0.5])]
    assert said in trends.part(trends.Config(seeds=(7,)), {"yes": runs, "no": runs})


def test_a_measured_seed_is_read_again(tmp_path):
    written = seed_of([0.5, 0.25, 0.125], [0.0, 0.5, 0.75])
    written.write(tmp_path / "rows.npz")
    for before, after in zip(
        written, trends.Measured.read(tmp_path / "rows.npz"), strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_a_part_of_a_section_is_replaced_and_the_others_stay(tmp_path):
    path = tmp_path / "RESULTS.md"
    results.write_section("other", "### films\n\nOther.", path=path)
    for heading, body in (("films", "1"), ("shop, a", "2"), ("films", "3")):
        results.write_part("mine", "Introduction.", heading, body, path=path)
    mine = path.read_text().partition("## mine")[2].partition("\n## ")[0]
    assert "Introduction.\n\n### films\n\n3\n\n### shop, a\n\n2\n\n## other" in (
        f"{mine.strip()}\n\n## other"
    )
    assert "### films\n\nOther." in path.read_text()
