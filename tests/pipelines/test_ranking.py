"""The ranking pipeline from flags to files, and what it says when they are wrong."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pipelines import ranking
from pipelines.parts.data import DataConfig, load_data
from pipelines.parts.field_ranking import MEAN, TUTORIAL, mean_rating, score_rows
from pipelines.parts.ranking_data import SYNTHETIC, load_ranking_data
from pipelines.parts.user_towers import NAMES
from pipelines.reporting.tables import over_seeds


@pytest.fixture(scope="module")
def compared(orders, tmp_path_factory):
    """One small run of all towers, for slow tests only."""
    config = dataclasses.replace(
        ranking.SMOKE,
        data=orders,
        user_tower="all",
        seeds=1,
        batch_size=128,
        cold_users=0.3,
        output=tmp_path_factory.mktemp("ranking"),
    )
    return config, ranking.main(config)


@pytest.mark.slow
def test_all_towers_are_compared_in_one_run(compared):
    config, metrics = compared
    stored = json.loads((config.output / "metrics.json").read_text())
    found = [(run["tower"], run["seed"]) for run in stored["runs"]]
    assert found == [(tower, 42) for tower in NAMES]
    assert stored["exported"] in NAMES
    for run in metrics["runs"]:
        assert run["test"].keys() == {"all", "warm users", "cold users"}
        assert run["test"]["all"].keys() == {
            f"{task}/{figure}"
            for task in ("rated", "like", "love")
            for figure in ("auc", "log_loss", "calibration_error")
        }
        assert ("cohorts" in run) == (run["tower"] in ("cohort", "mixture"))


@pytest.mark.slow
def test_the_report_shows_tasks_towers_cold_users_mixture_and_cohorts(compared):
    page = (compared[0].output / "report.html").read_text()
    for words in (
        "Cold users",
        "Warm users",
        "Whom the mixture trusts",
        "Use of the cohorts",
        "Calibration",
        "deep-hash",
    ):
        assert words in page
    assert 'src="http' not in page
    assert "<script" not in page


def test_figures_of_several_seeds_have_their_spread():
    assert over_seeds([0.25]) == "0.2500"
    assert over_seeds([0.1, 0.3]) == "0.2000 ± 0.1414"


@pytest.mark.slow
def test_the_export_takes_named_features_and_no_position(compared):
    config, _ = compared
    exported = tf.saved_model.load(str(config.output / "export" / "1"))
    signature = exported.signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    assert specs.keys() == {
        "user_id",
        "item_id",
        "user_features",
        "item_features",
        "cross_features",
    }
    assert specs["user_id"].dtype == tf.string
    assert signature.structured_outputs.keys() == {"rated", "like", "love", "score"}


def test_cold_users_weigh_nothing_in_training_and_are_unknown_afterwards(orders):
    data = load_ranking_data(
        orders, batch_size=100, num_unseen=1, cold_users=0.3, seed=0
    )
    cold, warm = set(), set()
    for batch in data.train(0):
        for user, weight in zip(
            batch["user_id"].numpy(), batch["sample_weight"].numpy(), strict=True
        ):
            (warm if weight else cold).add(user)
    assert cold
    assert not cold & warm
    assert 0.1 < len(cold) / len(cold | warm) < 0.5
    asked = np.concatenate([batch["user_id"] for batch in data.test])
    assert not set(asked) & cold
    np.testing.assert_array_equal(asked == 0, data.cold)
    np.testing.assert_array_equal(
        np.concatenate([batch["labels"] for batch in data.test]), data.labels
    )


def test_rows_of_new_users_are_compared_with_their_own_unseen_items_only(new_users):
    data = load_ranking_data(
        new_users, batch_size=90, num_unseen=2, cold_users=0.0, seed=0
    )
    _, rows = np.unique(data.groups[data.cold], return_counts=True)
    assert sorted(rows) == [3] * 4 + [6] * 13  # a row and two unseen items
    assert not set(data.groups[data.cold]) & set(data.groups[~data.cold])


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    """A small run on synthetic clicks."""
    config = dataclasses.replace(
        ranking.SMOKE,
        data=DataConfig(dataset=SYNTHETIC),
        user_tower="cohort",
        epochs=2,
        output=tmp_path_factory.mktemp("clicks"),
    )
    return config, ranking.main(config)


def test_synthetic_clicks_are_learned_with_and_without_their_positions(clicks):
    config, metrics = clicks
    found = [run["position_bias"] for run in metrics["runs"]]
    assert found == [True, False]
    assert "position bias" in metrics["exported"]
    page = (config.output / "report.html").read_text()
    assert "synthetic" in page
    assert "true relevance" in page
    exported = tf.saved_model.load(str(config.output / "export" / "1"))
    specs = exported.signatures["serving_default"].structured_input_signature[1]
    assert not {"position", "device_features"} & specs.keys()


def test_data_without_ratings_has_the_task_of_having(orders):
    config = dataclasses.replace(orders, rating_column="none")
    frame = pd.read_csv(orders.dataset).drop(columns="rating")
    frame.to_csv(orders.dataset + ".plain.csv", index=False)
    config = dataclasses.replace(
        orders, dataset=orders.dataset + ".plain.csv", rating_column="auto"
    )
    data = load_ranking_data(
        config, batch_size=64, num_unseen=2, cold_users=0.0, seed=0
    )
    assert data.task_names == ("rated",)
    assert data.labels.shape[1] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_value_weights": (1.0, 2.0)}, "`user_value_weights` must have one"),
        ({"top_k": 40, "user_tower": "cohort"}, "`top_k` must be None or in"),
        ({"num_cohorts": 0}, "`--num-cohorts` must be at least 1. Got 0"),
        ({"hidden_units": (8, 0)}, r"`--hidden-units` must be at least 1. Got \(8, 0"),
        ({"seeds": 0}, "`--seeds` must be at least 1. Got 0"),
        ({"epochs": 0}, "`--epochs` must be at least 1. Got 0"),
        ({"batch_size": 0}, "`--batch-size` must be at least 1. Got 0"),
        ({"num_unseen": 0}, "`--num-unseen` must be at least 1. Got 0"),
        ({"cold_users": 1.0}, r"`--cold-users` must be in \[0, 1\). Got 1.0"),
    ],
)
def test_wrong_flags_end_the_program_with_their_name(orders, tmp_path, change, message):
    config = dataclasses.replace(ranking.SMOKE, data=orders, output=tmp_path, **change)
    with pytest.raises(SystemExit, match=message):
        ranking.main(config)


def test_a_table_without_times_cannot_say_what_a_user_did_so_far(orders, tmp_path):
    frame = pd.read_csv(orders.dataset).drop(columns="timestamp")
    path = tmp_path / "timeless.csv"
    frame.to_csv(path, index=False)
    data = dataclasses.replace(orders, dataset=str(path), split="random")
    with pytest.raises(SystemExit, match="timestamp"):
        ranking.main(dataclasses.replace(ranking.SMOKE, data=data, output=tmp_path))


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("dcn", "rating"),
        pytest.param("deep-fm", "like", marks=pytest.mark.slow),
    ],
)
def test_models_over_fields_stand_beside_the_tutorial_and_the_mean(
    orders, tmp_path, model, label
):
    config = dataclasses.replace(
        ranking.SMOKE,
        data=orders,
        model=model,
        label=label,
        hidden_units=(4,),
        batch_size=128,
        output=tmp_path,
    )
    metrics = ranking.main(config)
    assert metrics["test"].keys() == {model, TUTORIAL, MEAN}
    (figures,) = metrics["test"][model]
    assert figures.keys() == {
        "RMSE" if label == "rating" else "log loss",
        "AUC of likes",
    }
    page = (tmp_path / "report.html").read_text()
    assert TUTORIAL in page
    exported = tf.saved_model.load(str(tmp_path / "export" / "1"))
    signature = exported.signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    assert specs.keys() == {"user_id", "item_id", "kind", "text"}
    assert specs["text"].shape.as_list() == [None, 3]  # a dense vector
    assert signature.structured_outputs.keys() == {label, "score"}


def test_rmse_is_that_of_the_predictions_and_the_mean_has_the_deviation(orders):
    data = load_data(orders, seed=0)
    rating = data.splits["test"]["rating"]
    guess = np.linspace(1, 5, len(rating)).astype("float32")
    figures = score_rows(data, "rating", guess, guess)
    errors = [(r - g) ** 2 for r, g in zip(rating, guess, strict=True)]
    assert figures["RMSE"] == pytest.approx(np.sqrt(np.mean(errors)), rel=1e-5)
    assert mean_rating(data, "rating").figures["AUC of likes"] == 0.5


def test_a_rating_cannot_be_predicted_without_ratings(orders, tmp_path):
    frame = pd.read_csv(orders.dataset).drop(columns="rating")
    frame.to_csv(tmp_path / "plain.csv", index=False)
    data = dataclasses.replace(orders, dataset=str(tmp_path / "plain.csv"))
    config = dataclasses.replace(
        ranking.SMOKE, data=data, model="dcn", output=tmp_path / "out"
    )
    with pytest.raises(SystemExit, match="--rating-column"):
        ranking.main(config)
