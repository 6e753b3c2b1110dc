"""The pipeline of UniSAR from flags to files."""

import dataclasses
import json

import pytest
import tensorflow as tf

from pipelines import unisar
from pipelines.reporting.unisar import Run
from tfrs_models.data.kuaisar import Options
from tfrs_models.data.synthetic import write_search_and_recommendation_log


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One small run, for slow tests only."""
    config = dataclasses.replace(unisar.SMOKE, output=tmp_path_factory.mktemp("unisar"))
    return config, unisar.main(config)


@pytest.mark.slow
def test_both_services_are_in_files_and_on_a_page(run):
    config, _ = run
    stored = json.loads((config.output / "metrics.json").read_text())
    (trained,) = stored["runs"]
    for task in ("recommendation", "search"):
        for name in ("hit_rate_at_1", "ndcg_at_5", "ndcg_at_50"):
            assert 0 <= trained["test"][f"{task}/{name}"] <= 1
        assert 0 <= stored["popularity"][f"{task}/ndcg_at_5"] <= 1
    page = (config.output / "report.html").read_text()
    assert "synthetic" in page
    assert 'src="http' not in page
    assert page.count("<img") == 3


@pytest.mark.slow
def test_one_export_answers_for_both_services(run):
    config, _ = run
    exported = tf.saved_model.load(str(config.output / "export" / "1"))
    assert set(exported.signatures) == {"recommend", "search"}
    data = unisar.load(config)
    for name, features in unisar.serving_examples(config, data).items():
        answer = exported.signatures[name](**features)
        assert answer["item_id"].shape == features["item_id"].shape
        assert bool(tf.reduce_all(answer["score"][:, :-1] >= answer["score"][:, 1:]))


def test_a_folder_without_data_ends_the_program(tmp_path):
    config = dataclasses.replace(unisar.SMOKE, data=str(tmp_path), output=tmp_path)
    with pytest.raises(SystemExit, match="`--data` must be `synthetic` or a folder"):
        unisar.main(config)


def test_too_few_users_of_synthetic_data_end_the_program():
    config = dataclasses.replace(unisar.SMOKE, users=5)
    with pytest.raises(SystemExit, match="cannot be used. `num_users` must be at"):
        unisar.load(config)


def test_raw_files_are_converted_by_the_flags_and_what_is_wrong_ends_the_program(
    tmp_path,
):
    write_search_and_recommendation_log(tmp_path, 3, num_users=40)
    config = dataclasses.replace(unisar.SMOKE, data=str(tmp_path))
    with pytest.raises(
        SystemExit, match="cannot be used. Nothing is left .*`k_core=5`"
    ):
        unisar.load(config)
    raw = Options(k_core=1, min_samples=1, num_eval_negatives=9)
    data = unisar.load(dataclasses.replace(config, raw=raw))
    assert data.samples["search"]["test"]["negatives"].shape[1] == 9


def test_a_run_that_is_cut_off_leaves_the_figures_of_what_was_trained(
    tmp_path, monkeypatch
):
    done = Run("UniSAR", 42, 1, 0.25, {"search/ndcg_at_5": 0.5}, {})
    turns = iter([(done, None)])
    monkeypatch.setattr(unisar, "run", lambda *_, **__: next(turns))
    config = dataclasses.replace(unisar.SMOKE, seeds=2, output=tmp_path)
    with pytest.raises(StopIteration):
        unisar.main(config)
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored["runs"][0]["test"] == {"search/ndcg_at_5": 0.5}


def test_every_variant_can_be_built():
    data = unisar.load(unisar.SMOKE)
    sizes = {
        variant: len(unisar.build_model(unisar.SMOKE, data, variant).weights)
        for variant in unisar.VARIANTS
    }
    assert max(sizes, key=sizes.get) == unisar.FULL
    assert len(set(sizes.values())) > 3


def test_the_rate_falls_after_three_bad_epochs_and_training_ends_after_five():
    """At the next one, as in the original: five epochs back is not yet too far."""
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile(tf.keras.optimizers.Adam(1.0), "mse")
    model.build([None, 1])
    callbacks = tf.keras.callbacks.CallbackList(
        unisar.callbacks(unisar.Config()), model=model
    )
    callbacks.on_train_begin()
    rates, values = [], [0.1, 0.2, *[0.15] * 6]
    for epoch, value in enumerate(values):
        callbacks.on_epoch_end(epoch, {unisar.MONITOR: value})
        rates.append(round(float(model.optimizer.learning_rate), 6))
        assert model.stop_training == (epoch == len(values) - 1)
    assert rates == [1.0] * 5 + [0.1] * 3
