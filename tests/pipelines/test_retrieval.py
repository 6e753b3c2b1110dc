"""The retrieval pipeline from flags to files, and what it says when they are wrong."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tyro

from pipelines import recommend, retrieval
from pipelines.data import DataConfig, load_data

# One epoch of width 4 teaches little, and the alarms say so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:After epoch 1 the loss:tfrs_models.training.LearningWarning"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One small run of the whole pipeline."""
    output = tmp_path_factory.mktemp("retrieval")
    config = dataclasses.replace(retrieval.SMOKE, output=output)
    return config, retrieval.main(config)


def test_the_run_leaves_all_its_files(run):
    config, _ = run
    for name in ("report.html", "metrics.json", "export/1/saved_model.pb"):
        assert (config.output / name).stat().st_size > 0
    assert list((config.output / "checkpoint").glob("best.index"))
    assert list((config.output / "logs").rglob("events*"))


def test_the_metrics_hold_model_popularity_and_chance_with_intervals(run):
    config, returned = run
    stored = json.loads((config.output / "metrics.json").read_text())
    for name in ("model", "popularity", "chance"):
        interval = stored["test"][name]["hit_rate_at_100"]
        assert interval["low"] <= interval["mean"] <= interval["high"]
        assert interval["mean"] == pytest.approx(
            returned["test"][name]["hit_rate_at_100"]["mean"]
        )
    assert stored["test"]["chance"]["hit_rate_at_100"]["mean"] == pytest.approx(
        100 / 9000, rel=0.1
    )
    slices = stored["slices"]
    parts = [slices[f"{name} items"]["rows"] for name in ("head", "torso", "tail")]
    assert sum(parts) + slices["cold items"]["rows"] == stored["data"]["rows"]["test"]


def test_the_report_is_one_page_without_links_to_other_files(run):
    page = (run[0].output / "report.html").read_text()
    assert page.count('class="user"') == 10
    assert "Leakage audit" in page or "leakage audit" in page
    assert 'src="http' not in page
    assert "<script" not in page


def test_the_exported_model_answers_a_question(run, capsys):
    config, _ = run
    answer = recommend.main(
        recommend.Config(
            user=("42", "nobody"),
            model=config.output / "export",
            k=3,
            exclude_seen=True,
        )
    )
    assert answer["known_user"].tolist() == [True, False]
    assert answer["title"].shape == (2, 3)
    printed = capsys.readouterr().out
    assert "User nobody is unknown: the most popular items" in printed
    assert answer["title"][0, 0].decode() in printed


def test_a_checkpoint_can_be_evaluated_again(run):
    config, first = run
    again = dataclasses.replace(config, resume=True, epochs=0)
    second = retrieval.main(again)
    assert (config.output / "export" / "2").is_dir()
    for metric, value in first["test"]["model"].items():
        assert second["test"]["model"][metric]["mean"] == pytest.approx(value["mean"])


def test_ctrl_c_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    config = dataclasses.replace(retrieval.SMOKE, output=tmp_path, epochs=5)

    class Interrupt(tf.keras.callbacks.TensorBoard):
        def on_epoch_begin(self, epoch, _=None):
            if epoch == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(tf.keras.callbacks, "TensorBoard", Interrupt)
    with pytest.raises(SystemExit, match="--resume"):
        retrieval.main(config)
    reader = tf.train.load_checkpoint(str(tmp_path / "checkpoint" / "best"))
    shapes = reader.get_variable_to_shape_map()
    assert any("query_tower" in name for name in shapes)


def test_resume_without_a_checkpoint_says_so(tmp_path):
    config = dataclasses.replace(retrieval.SMOKE, output=tmp_path, resume=True)
    with pytest.raises(SystemExit, match="no checkpoint"):
        retrieval.main(config)


def test_an_output_that_cannot_be_written_is_named_before_training(tmp_path):
    (tmp_path / "file").touch()
    config = dataclasses.replace(retrieval.SMOKE, output=tmp_path / "file" / "below")
    with pytest.raises(SystemExit, match="`--output` must be a folder"):
        retrieval.main(config)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"dataset": "movielens"}, "`dataset` must be one of these forms"),
        ({"dataset": "missing.csv"}, "missing.csv"),
        ({"min_rating": 9}, "min_rating"),
    ],
)
def test_wrong_data_flags_end_with_a_sentence(tmp_path, flags, message):
    config = dataclasses.replace(
        retrieval.SMOKE, output=tmp_path, data=DataConfig(**flags)
    )
    with pytest.raises(SystemExit, match=message):
        retrieval.main(config)


@pytest.mark.parametrize(
    ("query_tower", "negatives"),
    [("history", "corpus"), ("gru", "batch"), ("sasrec", "batch"), ("id", "batch")],
)
def test_an_own_table_of_string_ids_goes_all_the_way(tmp_path, query_tower, negatives):
    rng = np.random.default_rng(0)
    lines = {f"user {rng.integers(30)};sku-{rng.zipf(1.4) % 40}" for _ in range(800)}
    rows = [
        f"{line.replace(';', ',')},{time}" for time, line in enumerate(sorted(lines))
    ]
    table = tmp_path / "orders.csv"
    table.write_text("\n".join(["customer,sku,time", *rows]))
    data = DataConfig(
        dataset=str(table),
        user_column="customer",
        item_column="sku",
        timestamp_column="time",
    )
    config = dataclasses.replace(
        retrieval.SMOKE,
        output=tmp_path / "out",
        data=data,
        features="id",
        query_tower=query_tower,
        negatives=negatives,
    )
    retrieval.main(config)
    answer = recommend.main(
        recommend.Config(user=("user 3",), model=tmp_path / "out" / "export", k=2)
    )
    assert answer["item_id"][0, 0].startswith(b"sku-")


def test_a_table_without_times_needs_the_tower_over_ids(tmp_path):
    table = tmp_path / "orders.csv"
    rows = [f"{n % 7},{n % 41}" for n in range(287)]
    table.write_text("\n".join(["user_id,item_id", *rows]))
    config = dataclasses.replace(
        retrieval.SMOKE,
        output=tmp_path / "out",
        data=DataConfig(dataset=str(table), split="random"),
        features="id",
    )
    with pytest.raises(SystemExit, match=r"must have timestamps.*--query-tower id"):
        retrieval.main(config)
    retrieval.main(dataclasses.replace(config, query_tower="id"))


def test_ids_are_told_from_their_batch_only():
    config = retrieval.Config(query_tower="id", negatives="corpus")
    with pytest.raises(SystemExit, match="`--negatives corpus` needs a query tower"):
        retrieval.main(config)


def test_the_flags_that_are_not_given_are_the_towers_own():
    config = retrieval.resolved(retrieval.Config(query_tower="id", epochs=7))
    assert (config.batch_size, config.epochs) == (1024, 7)
    assert retrieval.resolved(retrieval.Config()).batch_size == 16


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_model_that_is_none_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=f"`--model` must be a SavedModel.*{name}"):
        recommend.main(recommend.Config(user=("1",), model=tmp_path / name))


@pytest.mark.parametrize("k", [0, 10**6])
def test_a_k_out_of_range_is_named(run, k):
    config = recommend.Config(user=("1",), model=run[0].output / "export", k=k)
    with pytest.raises(SystemExit, match=f"`-k`.*Got {k}"):
        recommend.main(config)


@pytest.mark.parametrize("pipeline", [retrieval, recommend])
def test_help_names_every_flag(pipeline, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pipeline", "--help"])
    with pytest.raises(SystemExit, match="0"):
        tyro.cli(pipeline.Config)
    text = capsys.readouterr().out
    for field in dataclasses.fields(pipeline.Config):
        if field.name != "data":
            assert f"--{field.name.replace('_', '-')}" in text


def test_without_scann_there_is_an_exact_index_only(monkeypatch, capsys):
    monkeypatch.setattr(tfrs.layers.factorized_top_k, "_HAVE_SCANN", False)
    data = load_data(DataConfig(), seed=0)
    model = retrieval.build_model(retrieval.resolved(retrieval.SMOKE), data)
    exact, approximate = retrieval.build_indexes(model, data)
    assert approximate is None
    assert exact(tf.zeros([1, 4]), k=2)[1].shape == (1, 2)
    assert "pip install scann" in capsys.readouterr().out
