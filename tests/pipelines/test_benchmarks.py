"""Benchmarks run, and their own arithmetic is right; what they measure is no test."""

import importlib

import numpy as np
import pytest

from pipelines.benchmarks import protocols, results, timing
from pipelines.benchmarks.baselines.als import als_embeddings
from pipelines.benchmarks.baselines.ease import ease_weights


@pytest.mark.parametrize(
    "name", ["tutorial", "corpus_evaluation", "quality", "frequency", "negatives"]
)
def test_a_benchmark_runs_and_returns_finite_figures(name):
    module = importlib.import_module(f"pipelines.benchmarks.{name}")
    measured = module.main(module.SMOKE)
    assert measured
    assert np.isfinite(list(measured.values())).all()


def test_ease_minimises_its_ridge_loss_under_a_zero_diagonal():
    rng = np.random.default_rng(0)
    x = (rng.random((30, 6)) < 0.4).astype("float64")

    def loss(weights):
        return ((x - x @ weights) ** 2).sum() + 5.0 * (weights**2).sum()

    weights = ease_weights(x, regularization=5.0)
    assert np.diag(weights) == pytest.approx(0)
    for row in range(6):
        for column in range(6):
            if row != column:
                for step in (-1e-3, 1e-3):
                    moved = weights.copy()
                    moved[row, column] += step
                    assert loss(moved) > loss(weights)


@pytest.mark.parametrize("weighting", ["bm25:0.5", "alpha:3"])
def test_als_scores_a_users_own_group_of_items_higher(weighting):
    group = np.kron(np.eye(2), np.ones((20, 10)))
    x = group * (np.random.default_rng(0).random(group.shape) < 0.6)
    users, items = als_embeddings(x.astype("float32"), weighting=weighting, factors=4)
    scores = users @ items.T
    assert scores[group == 1].mean() > scores[group == 0].mean() + 0.2


def test_measuring_uses_the_test_rows_that_were_not_chosen_on():
    """The last row of a user is test in both, the one before only in the choosing."""
    choose, measure = protocols.latest_small()[1:]

    def rows(data, split):
        names = data.vocabularies
        part = data.splits[split]
        users = names["user_id"][part["user_id"] - 1]
        items = names["item_id"][part["item_id"] - 1]
        return set(zip(users, items, strict=True))

    assert rows(measure, "test") == rows(choose, "test")
    earlier = rows(choose, "train") | rows(choose, "validation")
    assert rows(measure, "train") == earlier


def test_a_ratio_compares_the_runs_of_one_turn():
    assert timing.ratio([4.0, 90.0, 6.0], [2.0, 30.0, 1.0]) == (3.0, 2.0, 6.0)


def test_cases_take_turns():
    order = []
    cases = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = timing.interleave(cases, repeats=2, warm_up=False)
    assert order == ["a", "b", "a", "b"]
    assert [len(values) for values in seconds.values()] == [2, 2]


def test_a_section_is_replaced_and_the_others_stay(tmp_path):
    path = tmp_path / "RESULTS.md"
    results.write_section("zebra", "### inner\n\nold", path=path)
    results.write_section("ant", "other", path=path)
    results.write_section("zebra", "new", path=path)
    text = path.read_text()
    assert text.index("## ant") < text.index("## zebra")
    assert "new" in text
    assert "old" not in text
    assert text.count("# Measured") == 1
