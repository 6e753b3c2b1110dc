"""What the retrieval pipeline says of made-up ranks."""

import numpy as np
import pandas as pd
import pytest

import tfrs_models as tm
from pipelines.parts.baselines import print_choices
from pipelines.reporting import evaluation, folds, retrieval

NUM_ROWS = 60
GROUPS = np.arange(NUM_ROWS) // 2  # two rows of each user
NAMES = ("model", "recent_popularity", "popularity", "chance")


def table(above):
    """Ranks of rows whose positive has `above` better candidates of 999."""
    above = np.broadcast_to(above, NUM_ROWS).astype("int32")
    return tm.metrics.RankTable(
        above, np.zeros_like(above), np.full_like(above, 999), above < 999
    )


def made_up(**ranks):
    """An evaluation in which `recent_popularity` is the best on validation rows."""
    rng = np.random.default_rng(0)
    tables = {name: table(rng.integers(0, 30, size=NUM_ROWS)) for name in NAMES}
    tables |= {name: table(above) for name, above in ranks.items()}
    every_third = np.arange(NUM_ROWS) % 3 == 0
    slices = {
        "cold users": every_third,
        "warm users": ~every_third,
        "repeat": np.zeros(NUM_ROWS, bool),
        "new": np.ones(NUM_ROWS, bool),
    }
    metrics = evaluation.metrics_of(tables, slices, GROUPS, best="recent_popularity")
    metrics |= {"hidden_rows": 0, "excluded": "known items"}
    labels = dict(zip(NAMES, NAMES, strict=True)) | {"recent_popularity": "2 days"}
    return evaluation.Evaluation(
        tables,
        labels,
        {},
        np.arange(NUM_ROWS),
        slices,
        metrics,
        best="recent_popularity",
        winner="model",
        num_items=1000,
    )


@pytest.mark.parametrize(
    ("model", "simple", "winner", "words", "end"),
    [
        (0, 4, "model", "The model beats the best", "paired by user."),
        (4, 0, "recent_popularity", "The model loses to the best", "new training."),
        (4, 0, "model", "The model loses to the best", "would export it."),
        (3, 3, "recent_popularity", "The model is not clearly better", "new training."),
        (3, 3, "model", "The model is not clearly better", "would export it."),
    ],
)
def test_the_verdict_is_against_the_best_simple_recommender(
    model, simple, winner, words, end
):
    found = made_up(model=model, recent_popularity=simple, popularity=900)
    said = evaluation.verdict(found.metrics | {"winner": winner}, "2 days")
    assert said.startswith(words)
    assert 'best simple recommender on validation rows ("2 days")' in said
    gain = 1 / np.log2(model + 2) - 1 / np.log2(simple + 2)
    assert f"{gain:+.4f} NDCG@10 on the test rows" in said
    assert said.endswith(end)


def test_a_verdict_on_a_served_baseline_says_that_it_is_exported():
    found = made_up(model=4, recent_popularity=0)
    metrics = found.metrics | {"winner": "recent_popularity"}
    said = evaluation.verdict(metrics, "2 days", exports="recent_popularity")
    assert said.endswith("This run exports that one.")


def test_differences_are_paired_by_user():
    """Half of the users are twice as easy for both: pairs do not see it."""
    hard = np.where(GROUPS % 2, 8, 1)
    found = made_up(model=hard, recent_popularity=hard + 1)
    gain = found.metrics["model_minus_best"]["mrr"]
    paired = 1 / (hard + 1) - 1 / (hard + 2)
    assert gain["mean"] == pytest.approx(paired.mean(), rel=1e-5)
    half = 1.96 * paired.reshape(-1, 2).mean(axis=1).std() / np.sqrt(NUM_ROWS / 2)
    assert gain["high"] - gain["low"] == pytest.approx(2 * half, rel=0.3)


def test_the_table_has_all_recommenders_with_the_best_first():
    found = made_up(model=5, recent_popularity=0, popularity=20, chance=900)
    header, rows = retrieval.comparison_table(found)
    assert header[1:] == [
        "NDCG@10 [95% over users]",
        "hit rate at 10",
        "hit rate at 100",
        "MRR",
    ]
    assert [row[0] for row in rows] == [
        "recent popularity",
        "model",
        "popularity",
        "chance",
    ]
    assert rows[2][2:] == ["0.0000", "1.0000", f"{1 / 21:.4f}"]


def test_choices_are_printed_with_their_parameters_and_what_was_left_out(capsys):
    choices = [
        tm.baselines.Choice(
            "ease", "EASE, 9 items", tm.baselines.Popularity(), 0.1, 2.5, 3, "9 items"
        ),
        tm.baselines.Choice("als", "als", None, np.nan, 0, 0, "needs implicit"),
    ]
    print_choices(choices)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[2] == ["0.1000", "2.5", "EASE,", "9", "items"]
    assert lines[3] == ["-", "0.0", "als", "(needs", "implicit)"]


def test_slices_show_the_best_simple_recommender_and_leave_empty_ones_out():
    every_third = np.arange(NUM_ROWS) % 3 == 0
    found = made_up(model=np.where(every_third, 9, 0), recent_popularity=2)
    header, rows = retrieval.slice_table(found)
    assert header == ["", "rows", "model", "recent popularity", "difference"]
    cold, warm = rows  # neither the empty slice nor that of all rows
    assert cold[:4] == ["cold users", "20", f"{1 / np.log2(11):.4f}", "0.5000"]
    assert warm[:4] == ["warm users", "40", "1.0000", "0.5000"]
    assert warm[4] == "+0.5000 [+0.5000, +0.5000]"


def test_what_is_printed_fits_a_terminal(capsys):
    found = made_up(model=0, recent_popularity=4)
    retrieval.print_metrics(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("60 test rows over 1,000 candidates")
    assert max(map(len, lines)) <= 100


def test_folds_are_summed_up_by_mean_and_spread():
    evaluations = [
        made_up(model=0, recent_popularity=2, popularity=9),
        made_up(model=2, recent_popularity=0, popularity=8),
        made_up(model=2, recent_popularity=0, popularity=7),
    ]
    found = folds.over_folds(evaluations)
    values = [1.0, 0.5, 0.5]
    assert found["model"]["ndcg_at_10"]["folds"] == pytest.approx(values)
    assert found["model"]["ndcg_at_10"]["mean"] == pytest.approx(np.mean(values))
    spread = found["model"]["ndcg_at_10"]["spread"]
    assert spread == pytest.approx(np.std(values, ddof=1))
    gains = found["model_minus_best"]["ndcg_at_10"]["folds"]
    assert gains == pytest.approx([0.5, -0.5, -0.5])
    header, rows = folds.fold_table(evaluations)
    assert header[1:] == ["fold 1", "fold 2", "fold 3", "mean ± spread"]
    assert rows[0][1:4] == ["0.5000", "1.0000", "1.0000"]  # the best mean is first
    assert rows[-1][1:4] == ["+0.5000", "-0.5000", "-0.5000"]
    said = folds.fold_verdict(evaluations)
    assert "clearly better in 1 and clearly worse in 2 of them" in said


@pytest.mark.parametrize("ties", ["random", "file"])
def test_newest_items_of_an_example_are_in_the_order_of_the_histories(ties):
    """Also where a split draws single rows and the others have the same time."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"user_id": ["ann"] * 30, "item_id": rng.permutation(30)})
    frame["timestamp"] = 1_600_000_000 + np.arange(30) // 10
    data = tm.data.from_frame(frame, split="random", ties=ties)
    history = tm.data.history_table(data, "test", length=8)[1]
    np.testing.assert_array_equal(retrieval.newest_items(data, 1), history[::-1])
