"""The retrieval pipeline from flags to files, and what it says when they are wrong."""

import dataclasses
import itertools
import json
import pathlib
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tyro

import tfrs_models as tm
from pipelines import gate, recommend, retrieval
from pipelines.parts import query_towers
from pipelines.parts.artifacts import read_json, write_json
from pipelines.parts.data import DataConfig, load_data
from pipelines.parts.indexes import build_indexes, index_items, item_attributes
from pipelines.parts.training import create_weights
from pipelines.reporting.evaluation import evaluate
from pipelines.reporting.served import known_to_towers

# One epoch of width 4 teaches little, and the alarms say so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:After epoch 1 the loss:tfrs_models.training.learning_alarms.LearningWarning"
)

USER_TOWERS = ("id", "deep-hash", "cohort", "mixture")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of the whole pipeline on its own data, for slow tests only."""
    output = tmp_path_factory.mktemp("retrieval")
    config = dataclasses.replace(
        retrieval.SMOKE,
        output=output,
        baseline_seconds=5.0,  # other tests choose among all of them
    )
    return config, retrieval.main(config)


def test_the_run_leaves_all_its_files(small):
    config, _ = small
    for name in ("report.html", "metrics.json", "export/1/saved_model.pb"):
        assert (config.output / name).stat().st_size > 0
    assert list((config.output / "checkpoint").glob("best.index"))
    assert list((config.output / "logs").rglob("events*"))
    page = (config.output / "report.html").read_text()
    assert "an item is its id, shelf and looks" in page


def test_the_metrics_hold_model_popularity_and_chance_with_intervals(small):
    config, returned = small
    stored = json.loads((config.output / "metrics.json").read_text())
    for name in ("model", "popularity", "chance"):
        interval = stored["test"][name]["hit_rate_at_10"]
        assert interval["low"] <= interval["mean"] <= interval["high"]
        assert interval["mean"] == pytest.approx(
            returned["test"][name]["hit_rate_at_10"]["mean"]
        )
    slices = stored["slices"]
    parts = [slices[f"{name} items"]["rows"] for name in ("head", "torso", "tail")]
    assert sum(parts) + slices["cold items"]["rows"] == stored["data"]["rows"]["test"]


@pytest.mark.slow
def test_the_demo_chooses_among_nine_thousand_movies(run):
    _, returned = run
    chance = returned["test"]["chance"]["hit_rate_at_100"]["mean"]
    assert chance == pytest.approx(100 / 9000, rel=0.1)


def test_the_report_is_one_page_without_links_to_other_files(small):
    page = (small[0].output / "report.html").read_text()
    assert page.count('class="user"') == 10 + 2  # before their test rows; asked
    assert "Leakage audit" in page or "leakage audit" in page
    assert 'src="http' not in page
    assert "<script" not in page


def test_the_exported_model_answers_a_question(small, capsys):
    config, _ = small
    answer = recommend.main(
        recommend.Config(
            user=("user 3", "nobody"),
            model=config.output / "export",
            k=3,
            exclude_seen="yes",
        )
    )
    assert answer["known_user"].tolist() == [True, False]
    assert answer["title"].shape == (2, 3)
    printed = capsys.readouterr().out
    assert "User nobody is unknown: the most popular items" in printed
    assert answer["title"][0, 0].decode() in printed


@pytest.mark.slow
def test_the_export_takes_the_requests_of_the_readme(run):
    contract = tm.serving.contract.read(run[0].output / "export" / "1")
    signatures = contract["signatures"].keys()
    assert signatures >= {"serving_default", "filtered", "among", "history"}
    inputs = contract["signatures"]["filtered"]["inputs"]
    assert {"exclusions", "filter_genres", "filter_decade"} < inputs.keys()


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


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    """A table of string ids in the order of time, few of the items in most rows."""
    rng = np.random.default_rng(0)
    lines = {f"user {rng.integers(30)};sku-{rng.zipf(1.4) % 40}" for _ in range(800)}
    rows = [
        f"{line.replace(';', ',')},{time}" for time, line in enumerate(sorted(lines))
    ]
    table = tmp_path_factory.mktemp("orders") / "orders.csv"
    table.write_text("\n".join(["customer,sku,time", *rows]))
    products = table.with_name("products.csv")
    lines = [f"sku-{number},{'abc'[number % 3]}" for number in range(40)]
    products.write_text("\n".join(["sku,shelf", *lines]))
    looks = table.with_name("looks.npy")
    np.save(looks, rng.normal(size=(40, 5)))
    return DataConfig(
        dataset=str(table),
        user_column="customer",
        item_column="sku",
        timestamp_column="time",
        item_table=str(products),
        category_columns=("shelf",),
        vector_columns=(f"looks={looks}",),
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory, orders):
    """One run on the table of string ids, by a table of users."""
    config = dataclasses.replace(
        retrieval.SMOKE,
        output=tmp_path_factory.mktemp("small"),
        data=orders,
        query_tower="id",
    )
    return config, retrieval.main(config)


def test_an_own_table_goes_all_the_way_to_the_gate(small, capsys):
    config, _ = small
    version = config.output / "export" / "1"
    answer = recommend.main(recommend.Config(user=("user 3",), model=version, k=2))
    assert answer["item_id"][0, 0].startswith(b"sku-")
    rules = tm.serving.gate.Rules(minimum_queries=1, maximum_latency=1e9)
    asked = gate.Config(version, version, rules=rules, data=config.data, timings=1)
    found = gate.main(asked)
    assert found.overlap.mean == 1
    assert found.num_queries == 30
    assert "PROMOTE" in capsys.readouterr().out
    # Rows that it was trained on say nothing.
    data = dataclasses.replace(config.data, split="random")
    with pytest.raises(SystemExit, match="was trained on other data than the flags"):
        gate.main(dataclasses.replace(asked, data=data))


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


PROTOBUF, VOCABULARY = "saved_model.pb", "assets/*user_id*"
VARIABLES = ("variables/variables.index", "variables/variables.data-00000-of-00001")
CONTRACT = "assets.extra/contract.json"


@pytest.mark.parametrize(
    ("name", "damage", "has_contract"),
    [
        *itertools.product(
            (PROTOBUF, *VARIABLES, VOCABULARY),
            (truncate, flip, pathlib.Path.unlink),
            (True,),
        ),
        *itertools.product(
            (PROTOBUF, *VARIABLES), (truncate, pathlib.Path.unlink), (False,)
        ),
        (VARIABLES[1], flip, False),
        (VOCABULARY, pathlib.Path.unlink, False),
        (CONTRACT, truncate, True),
    ],
)
def test_a_damaged_model_is_named(small, tmp_path, name, damage, has_contract):
    copy = shutil.copytree(small[0].output / "export" / "1", tmp_path / "1")
    (path,) = copy.glob(name)
    damage(path)
    if not has_contract:
        (copy / CONTRACT).unlink()
    with pytest.raises(SystemExit, match=str(tmp_path)):
        recommend.main(recommend.Config(user=("user 3",), model=tmp_path))


@pytest.fixture
def quick(monkeypatch):
    """Runs without what comes after training and evaluation."""
    monkeypatch.setattr(
        retrieval,
        "build_indexes",
        lambda model, data: (index_items(tm.layers.BruteForce(k=9), model, data), None),
    )
    monkeypatch.setattr(
        retrieval, "export_recommender", lambda *_, **__: pathlib.Path("1")
    )
    monkeypatch.setattr(
        retrieval,
        "print_answers",
        lambda _, users, **__: {"title": np.full([len(users), 0], b"")},
    )


@pytest.fixture
def copied(small, tmp_path):
    """The flags and the figures of the small run, whose folder is a copy."""
    config, figures = small
    folder = shutil.copytree(config.output, tmp_path / "run", symlinks=True)
    return dataclasses.replace(config, output=folder), figures


def weights_of(folder):
    """What `checkpoint/best` has, as TensorFlow reads it."""
    reader = tf.train.load_checkpoint(str(folder / "checkpoint" / "best"))
    name = "query_tower/tower/user_id/.ATTRIBUTES/VARIABLE_VALUE"
    return reader.get_tensor(name)


@pytest.mark.usefixtures("quick")
def test_a_checkpoint_can_be_evaluated_again(copied):
    config, first = copied
    second = retrieval.main(dataclasses.replace(config, resume=True, epochs=0))
    assert second["checkpoint"] == first["checkpoint"]
    for metric, value in first["test"]["model"].items():
        assert second["test"]["model"][metric]["mean"] == pytest.approx(value["mean"])
    _, _, model = retrieval.restore(config.output)
    np.testing.assert_array_equal(
        model.query_tower.weights[0], weights_of(config.output)
    )


@pytest.mark.usefixtures("quick")
def test_the_better_one_on_validation_rows_is_served(copied, monkeypatch):
    config, first = copied
    given = []
    monkeypatch.setattr(
        retrieval,
        "export_baseline",
        lambda baseline, *_, **__: given.append(baseline) or pathlib.Path("1"),
    )
    again = dataclasses.replace(config, resume=True, epochs=0, serve_best=True)
    found = retrieval.main(again)
    assert found["exported"] == found["winner"] == first["winner"]
    best = found["best_baseline"]["name"]
    better = found["validation"][best] > found["validation"]["model"]
    assert [baseline.name for baseline in given] == better * [
        found["best_baseline"]["label"]
    ]
    assert first["exported"] == "model"


@pytest.mark.usefixtures("quick")
def test_folds_need_a_cut_in_time(small):
    config = dataclasses.replace(small[0], folds=3)
    with pytest.raises(
        SystemExit, match="`--folds` must come with --split global_time"
    ):
        retrieval.main(config)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_folds_are_trained_one_after_the_other(orders, tmp_path):
    data = dataclasses.replace(orders, split="global_time")
    config = dataclasses.replace(
        retrieval.SMOKE, output=tmp_path, data=data, query_tower="id", folds=2
    )
    found = retrieval.main(config)
    values = found["folds"]["model"]["ndcg_at_10"]["folds"]
    assert len(values) == 2
    assert values[1] == found["test"]["model"]["ndcg_at_10"]["mean"]
    assert list((tmp_path / "folds" / "1" / "checkpoint").glob("best.index"))
    assert "Folds" in (tmp_path / "report.html").read_text()


@pytest.mark.usefixtures("quick")
def test_a_worse_epoch_leaves_the_checkpoint_that_training_went_on_from(
    copied, monkeypatch
):
    config, first = copied
    before = weights_of(config.output)
    rates = []

    class Spoil(tf.keras.callbacks.TensorBoard):
        def on_epoch_end(self, *_):
            rates.append(float(self.model.optimizer.learning_rate))
            rows = self.model.query_tower.weights[0]
            assert not np.array_equal(rows, before)  # it was trained

    monkeypatch.setattr(tf.keras.callbacks, "TensorBoard", Spoil)
    worse = {"resume": True, "learning_rate": 50.0, "epochs": config.epochs + 2}
    again = retrieval.main(dataclasses.replace(config, **worse))
    assert rates == [50.0] * 2  # the flag's, not the checkpoint's
    np.testing.assert_array_equal(weights_of(config.output), before)
    assert again["checkpoint"] == first["checkpoint"]
    for metric, value in first["test"]["model"].items():
        assert again["test"]["model"][metric]["mean"] == pytest.approx(value["mean"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 3}, "`--seed` was 42 and is 3"),
        ({"embedding_dim": 5}, "`--embedding-dim` was 4 and is 5"),
        ({"user_tower": "deep-hash"}, "`--user-tower` was None and is deep-hash"),
    ],
)
def test_a_checkpoint_of_other_flags_is_refused(copied, changes, words):
    config, _ = copied
    config = dataclasses.replace(config, resume=True, epochs=0, **changes)
    with pytest.raises(SystemExit, match=words):
        retrieval.main(config)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", "\nuser 3,sku-99,5000", "train rows then"),
        (",7\n", ",900\n", "rows are others"),  # one time
        ("sku-1,", "sku-one,", "items then"),
    ],
)
def test_weights_of_other_rows_are_refused(copied, tmp_path, old, new, words):
    config, _ = copied
    text = pathlib.Path(config.data.dataset).read_text()
    changed = text.replace(old, new) if old else text + new
    assert changed != text
    other = tmp_path / "other.csv"
    other.write_text(changed)
    data = dataclasses.replace(config.data, dataset=str(other))
    again = dataclasses.replace(config, data=data, resume=True, epochs=0)
    with pytest.raises(SystemExit, match=f"trained on other data: .*{words}"):
        retrieval.main(again)
    # The run's own flags, and another file behind them.
    metrics = config.output / "metrics.json"
    values = read_json(metrics, ("config",), "")
    values["config"]["data"]["dataset"] = str(other)
    write_json(metrics, values)
    with pytest.raises(SystemExit, match=f"trained on other data: .*{words}"):
        retrieval.restore(config.output)


def test_the_same_rows_elsewhere_are_the_same_rows(copied, tmp_path):
    config, _ = copied
    moved = shutil.copy(config.data.dataset, tmp_path / "moved.csv")
    data = dataclasses.replace(config.data, dataset=str(moved))
    _, origin = retrieval.load(dataclasses.replace(config, data=data), run="")
    retrieval.to_resume(config.output).check_data(origin.data)


@pytest.mark.parametrize(
    ("epoch", "kept"), [(0, "logs"), (1, "checkpoint, logs, training")]
)
def test_a_stopped_run_says_what_it_kept_and_is_not_taken_for_the_one_before(
    copied, monkeypatch, epoch, kept
):
    config, _ = copied
    before = weights_of(config.output)

    class Interrupt(tf.keras.callbacks.TensorBoard):
        def on_epoch_begin(self, number, _=None):
            if number == epoch:
                raise KeyboardInterrupt

    monkeypatch.setattr(tf.keras.callbacks, "TensorBoard", Interrupt)
    with pytest.raises(SystemExit) as stopped:
        retrieval.main(dataclasses.replace(config, epochs=3, learning_rate=0.1))
    assert stopped.value.code == 130
    assert f"Kept of this run in {config.output}: {kept}." in str(stopped.value)
    assert ("--resume goes on" in str(stopped.value)) == (epoch > 0)
    if epoch == 0:  # nothing of the finished run is touched
        np.testing.assert_array_equal(weights_of(config.output), before)
        assert retrieval.restore(config.output)[0].seed == config.seed
        return
    assert not np.array_equal(weights_of(config.output), before)
    with pytest.raises(SystemExit, match="holds files of two runs"):
        retrieval.restore(config.output)


@pytest.mark.parametrize(
    ("epochs", "words"),
    [(0, "no checkpoint to --resume from"), (1, "no training to --resume in")],
)
def test_resume_without_a_run_says_so(tmp_path, small, epochs, words):
    config = dataclasses.replace(small[0], output=tmp_path, resume=True, epochs=epochs)
    with pytest.raises(SystemExit, match=words):
        retrieval.main(config)


def test_no_epochs_need_a_checkpoint(tmp_path):
    config = dataclasses.replace(retrieval.SMOKE, output=tmp_path, epochs=0)
    with pytest.raises(SystemExit, match="`--epochs 0` must come with --resume"):
        retrieval.main(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query_tower", "negatives"),
    [("history", "corpus"), ("gru", "batch"), ("sasrec", "batch")],
)
def test_an_own_table_of_string_ids_goes_all_the_way(
    tmp_path, orders, train_only, query_tower, negatives
):
    config = dataclasses.replace(
        retrieval.SMOKE,
        output=tmp_path / "out",
        data=orders,
        features="id",
        query_tower=query_tower,
        negatives=negatives,
        baselines="none",
    )
    first = retrieval.main(config)
    answer = recommend.main(
        recommend.Config(user=("user 3",), model=tmp_path / "out" / "export", k=2)
    )
    assert answer["item_id"][0, 0].startswith(b"sku-")
    if query_tower == "history":  # its rate follows a schedule, which is no variable
        again = dataclasses.replace(config, resume=True, epochs=0)
        assert train_only(again)["test"]["model"] == first["test"]["model"]
        train_only(dataclasses.replace(config, resume=True))


@pytest.mark.filterwarnings("ignore:After epoch 1 all queries")  # nor a favourite
@pytest.mark.slow
@pytest.mark.parametrize("user_tower", USER_TOWERS)
def test_a_user_tower_goes_all_the_way(tmp_path, orders, train_only, user_tower):
    config = dataclasses.replace(
        retrieval.SMOKE,
        output=tmp_path,
        data=orders,
        user_tower=user_tower,
        baselines="none",
    )
    # The mixture is of users and cohorts: its export shows theirs.
    is_exported = user_tower in ("mixture", "deep-hash")
    returned = (retrieval.main if is_exported else train_only)(config)
    assert returned["config"]["user_tower"] == user_tower
    assert returned["config"]["query_tower"] == "id"
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored["config"]["user_tower"] == user_tower
    page = (tmp_path / "report.html").read_text()
    assert f"a user is a user tower, {user_tower};" in page
    assert f"<td>user_tower</td><td>{user_tower}</td>" in page
    if not is_exported:
        return
    answer = recommend.main(
        recommend.Config(user=("user 3", "nobody"), model=tmp_path / "export", k=2)
    )
    assert answer["known_user"].tolist() == [True, False]
    assert all(item.startswith(b"sku-") for item in answer["item_id"].ravel())
    assert np.isfinite(answer["score"]).all()


def test_intervals_take_each_row_of_an_unknown_user_for_another_user():
    """200 of 220 rows are of users that training does not show, with a row each."""
    rng = np.random.default_rng(0)
    early = [(f"u{n % 20}", f"i{rng.integers(9)}", n) for n in range(160)]
    late = [(f"new{n}", f"i{rng.integers(9)}", 1000 + n) for n in range(200)]
    late += [(f"u{n}", f"i{rng.integers(9)}", 2000 + n) for n in range(20)]
    frame = pd.DataFrame(early + late, columns=["user_id", "item_id", "timestamp"])
    data = tm.data.from_frame(
        frame,
        split="global_time",
        test_fraction=220 / len(frame),
        validation_fraction=0.0,
    )
    users = data.splits["test"]["user_id"]
    assert (users > data.num_train_users).sum() == 200
    config = query_towers.resolved(retrieval.Config(query_tower="id", embedding_dim=2))
    found = evaluate(query_towers.build_model(config, data), data)
    for name, metric in (("model", "mrr"), ("popularity", "ndcg_at_10")):
        interval = found.metrics["test"][name][metric]
        values = found.tables[name].values(metric)
        half = 1.96 * values.std() / np.sqrt(len(values))  # all rows are independent
        assert interval["high"] - interval["low"] == pytest.approx(2 * half, rel=0.2)
    cold = found.metrics["slices"]["cold users"]["model"]["mrr"]
    assert cold["low"] < cold["mean"] < cold["high"]
    # The export answers those users with popular items.
    model, popular = (found.tables[name] for name in ("model", "popularity"))
    is_cold = found.slices["cold users"]
    np.testing.assert_array_equal(model.above[is_cold], popular.above[is_cold])
    assert (model.above[~is_cold] != popular.above[~is_cold]).any()


def test_a_new_user_is_told_by_the_rows_before_and_served_after_all_rows():
    early = [(f"u{n % 5}", f"i{n % 7}", n) for n in range(80)]
    late = [("new", f"i{n}", 1000 + n) for n in range(4)]
    frame = pd.DataFrame(early + late, columns=["user_id", "item_id", "timestamp"])
    loaded = tm.data.from_frame(
        frame,
        split="global_time",
        test_fraction=4 / len(frame),
        validation_fraction=0.1,
    )
    config = query_towers.resolved(retrieval.Config(embedding_dim=2))
    data = query_towers.with_user_features(config, loaded)
    history = data.splits["test"]["history"]
    assert (history > 0).sum(axis=1).tolist() == [0, 1, 2, 3]
    assert known_to_towers(data, "test").tolist() == [False, True, True, True]
    assert not known_to_towers(loaded, "test").any()  # a tower over ids
    served = query_towers.served_users(config, data, "serving")
    assert served["user_ids"].tolist() == [f"u{n}" for n in range(5)] + ["new"]
    assert served["known_items"].shape[0] == 7
    assert (served["user_features"]["history"][6] > 0).sum() == 4
    before = query_towers.served_users(config, data, "test")
    assert "new" not in before["user_ids"]
    ids = query_towers.resolved(retrieval.Config(query_tower="id"))
    assert "new" not in query_towers.served_users(ids, loaded, "serving")["user_ids"]


@pytest.mark.parametrize("query_tower", ["history", "gru"])
def test_a_history_is_read_up_to_its_request_with_its_events(query_tower):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": rng.integers(6, size=90), "kind": ["a", "b"] * 45})
    frame["item_id"] = rng.integers(9, size=90)
    frame["timestamp"] = 10**9 + rng.integers(10**6, size=90)
    frame["plays"] = rng.random(90)
    options = {"event_column": "kind", "weight_column": "plays"}
    data = tm.data.from_frame(frame, split="leave_last_out", **options)
    config = retrieval.Config(query_tower=query_tower, query_time=True, embedding_dim=2)
    config = query_towers.resolved(dataclasses.replace(config, sample_weights=True))
    data = query_towers.with_user_features(config, data)
    model = query_towers.build_model(config, data)
    windows = next(iter(query_towers.training_batches(config, data, seed=1)))
    assert model.task_inputs(windows)["sample_weight"].shape.rank == 1
    tower = model.query_tower
    users = query_towers.user_features(config, data, "serving")
    assert not users["timestamp"].any()
    unknown_time = tower({k: tf.constant(v) for k, v in users.items()}).numpy()
    rng = np.random.default_rng(0)
    tower.set_weights([rng.normal(size=w.shape) for w in tower.get_weights()])
    before = tower({k: tf.constant(v) for k, v in users.items()}).numpy()
    assert not np.allclose(unknown_time, before)
    for name in ("timestamp", "history_event", "history_weight"):
        other = users | {
            name: np.where(users[name] == 1, 2, 1).astype(users[name].dtype)
        }
        if name == "timestamp":
            other[name] += 2 * 10**9
        after = tower({k: tf.constant(v) for k, v in other.items()}).numpy()
        assert not np.allclose(before[1:], after[1:], atol=1e-3), name
    said = query_towers.description(config, data, model)
    assert "up to the request, with the kinds of the events, with the weights" in said


@pytest.mark.parametrize("query_tower", ["history", "gru"])
def test_hours_are_those_of_the_users_clock(query_tower):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.integers(6, size=[60, 2]), columns=["user_id", "item_id"])
    frame["timestamp"] = 10**9 + rng.integers(10**6, size=60)
    frame["ahead"] = 3_600.0 * frame["user_id"]
    data = tm.data.from_frame(
        frame, split="leave_last_out", user_number_columns=["ahead"]
    )
    flags = {"query_tower": query_tower, "embedding_dim": 2, "query_time": True}
    flags |= {"clock": True, "utc_offset": "ahead"}
    config = query_towers.resolved(retrieval.Config(**flags))
    data = query_towers.with_user_features(config, data)
    model = query_towers.build_model(config, data)
    model.task_inputs(next(iter(query_towers.training_batches(config, data, seed=1))))
    tower, rng = model.query_tower, np.random.default_rng(0)
    tower.set_weights([rng.normal(size=w.shape) for w in tower.get_weights()])
    users = query_towers.user_features(config, data, "serving")
    there = users | {"ahead": users["ahead"] + 5 * 3_600}
    moved = users | {"history_timestamp": users["history_timestamp"] + 5 * 3_600}
    moved["history_timestamp"][users["history"] == 0] = 0
    here, there, moved = (
        tower({k: tf.constant(v) for k, v in table.items()}).numpy()[1:]
        for table in (users, there, moved)
    )
    assert not np.allclose(here, there, atol=1e-3)
    np.testing.assert_allclose(there, moved, rtol=1e-4, atol=1e-5)  # the same gaps
    assert "hours and weekdays" in query_towers.description(config, data, model)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"query_tower": "id", "clock": True}, "`--clock` needs a query tower over"),
        ({"utc_offset": "ahead"}, "`--utc-offset` must come with --clock"),
        (
            {"clock": True, "utc_offset": "ahead"},
            "must be one of --user-number-columns. Got ahead, and the numbers .none",
        ),
    ],
)
def test_a_clock_that_cannot_be_read_is_named(orders, flags, message):
    with pytest.raises(SystemExit, match=message):
        query_towers.with_user_features(
            query_towers.resolved(retrieval.Config(**flags)), load_data(orders, seed=0)
        )


def test_what_histories_cannot_read_is_named(orders):
    with pytest.raises(
        SystemExit, match="`--query-time` needs a query tower over hist"
    ):
        query_towers.resolved(retrieval.Config(query_tower="id", query_time=True))
    config = query_towers.resolved(retrieval.Config(sample_weights=True))
    with pytest.raises(SystemExit, match="`--sample-weights` needs.*--weight-column"):
        query_towers.with_user_features(config, load_data(orders, seed=0))
    off = query_towers.resolved(retrieval.Config(query_time=False))
    data = query_towers.with_user_features(off, load_data(orders, seed=0))
    assert "timestamp" not in query_towers.user_features(off, data, "test")


@pytest.mark.parametrize("user_tower", ["cohort", "mixture"])
def test_a_user_is_served_by_what_they_did_until_then(orders, user_tower):
    config = query_towers.resolved(retrieval.Config(user_tower=user_tower))
    data = query_towers.with_user_features(config, load_data(orders, seed=0))
    tables = {
        split: query_towers.user_features(config, data, split)["user_features"]
        for split in ("test", "serving")
    }
    batch = next(iter(data.batches("test", 100)))  # the last row of each user
    user = batch["user_id"].numpy()
    np.testing.assert_array_equal(batch["user_features"], tables["test"][user])
    assert (tables["serving"][1:, 0] > tables["test"][1:, 0]).all()  # activity grew


@pytest.mark.parametrize("user_tower", ["id", "deep-hash", "mixture"])
def test_the_unknown_user_learns_what_most_users_want(orders, user_tower):
    tf.keras.utils.set_random_seed(0)
    config = retrieval.Config(
        data=orders,
        user_tower=user_tower,
        features="id",
        embedding_dim=8,
        batch_size=64,
        learning_rate=0.01,
        epochs=12,
    )
    config = query_towers.resolved(config)
    data = query_towers.with_user_features(config, load_data(orders, seed=0))
    model = query_towers.build_model(config, data)
    model.compile(tf.keras.optimizers.Adam(config.learning_rate))
    batches = query_towers.training_batches(config, data, seed=config.seed)
    model.fit(batches, epochs=config.epochs, verbose=0)
    users = query_towers.user_features(config, data, "test")
    query = model.query_tower({name: rows[:1] for name, rows in users.items()})
    ids = np.arange(1, data.num_train_items + 1)
    scores = model.candidate_tower({"item_id": ids}).numpy() @ query[0].numpy()
    popularity = data.candidate_probabilities[ids]
    places = [np.argsort(np.argsort(values)) for values in (scores, popularity)]
    assert np.corrcoef(places)[0, 1] > 0.7


def test_only_the_share_of_rows_is_by_the_unknown_user(orders):
    config = query_towers.resolved(retrieval.Config(user_tower="id", id_dropout=0.3))
    data = load_data(orders, seed=0)
    users = np.concatenate(
        [
            batch["user_id"]
            for batch in query_towers.training_batches(config, data, seed=42)
        ]
    )
    assert np.mean(users == 0) == pytest.approx(0.3, abs=0.1)
    all_known = query_towers.training_batches(config, data, seed=42, drop_ids=False)
    assert all((batch["user_id"].numpy() > 0).all() for batch in all_known)


@pytest.mark.usefixtures("quick")
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
    with_activity = dataclasses.replace(config, user_tower="mixture")
    with pytest.raises(SystemExit, match=r"must have timestamps.*--query-tower id"):
        retrieval.main(with_activity)
    retrieval.main(dataclasses.replace(config, query_tower="id"))
    hashed = query_towers.resolved(dataclasses.replace(config, user_tower="deep-hash"))
    retrieval.load(hashed, run="")


def test_users_with_one_row_each_have_no_history_to_learn_from(tmp_path):
    table = tmp_path / "few.csv"
    rows = [f"u{n % 3},i{n},{1_600_000_000 + n}" for n in range(9)]
    table.write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    data = DataConfig(dataset=str(table))
    config = dataclasses.replace(
        retrieval.SMOKE, data=data, trends="no", output=tmp_path / "out"
    )
    with pytest.raises(SystemExit, match=r"two train rows.*--query-tower id\."):
        retrieval.main(config)


@pytest.mark.parametrize(("length", "trends"), [(4, "yes"), (4, "no"), (50, "yes")])
def test_short_histories_fill_a_batch_with_as_many_positives(length, trends):
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"user_id": rng.zipf(1.6, 900) % 60, "item_id": range(900)})
    frame["item_id"] %= 40
    data = tm.data.from_frame(frame.assign(timestamp=range(900)), repeats="allow")
    config = query_towers.resolved(
        retrieval.Config(history_length=length, trends=trends)
    )
    windows = query_towers.windows_of_batch(config, data)
    batches = tm.data.window_batches(
        data,
        windows,
        length=length,
        stride=max(1, length // 2),
        first_items=trends == "yes",
        seed=1,
    )
    numbers = [int((batch["item_id"] > 0).numpy().sum()) for batch in batches]
    assert sum(numbers) <= len(data.splits["train"]["user_id"])
    positives = sum(numbers) / (sum(len(b["history"]) for b in batches) / windows)
    assert windows == 16 or abs(positives - query_towers.POSITIVES) < 40
    given = dataclasses.replace(config, batch_size=7)
    assert query_towers.windows_of_batch(given, data) == 7


def test_ids_are_told_from_their_batch_only():
    config = retrieval.Config(query_tower="id", negatives="corpus")
    with pytest.raises(SystemExit, match="`--negatives corpus` needs a query tower"):
        retrieval.main(config)


def test_the_flags_that_are_not_given_are_the_towers_own():
    config = query_towers.resolved(retrieval.Config(query_tower="id", epochs=7))
    assert (config.batch_size, config.epochs) == (1024, 7)
    assert query_towers.resolved(retrieval.Config()).batch_size is None


@pytest.mark.parametrize("user_tower", USER_TOWERS)
def test_a_user_tower_means_rows_instead_of_histories(user_tower):
    config = query_towers.resolved(retrieval.Config(user_tower=user_tower))
    assert (config.query_tower, config.batch_size) == ("id", 1024)
    assert query_towers.resolved(retrieval.Config()).query_tower == "history"
    both = retrieval.Config(user_tower=user_tower, query_tower="history")
    with pytest.raises(
        SystemExit, match=f"`--user-tower {user_tower}`.*over histories"
    ):
        retrieval.main(both)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_model_that_is_none_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=f"`--model` must be a SavedModel.*{name}"):
        recommend.main(recommend.Config(user=("1",), model=tmp_path / name))


@pytest.mark.parametrize(("k", "flag"), [(0, "`--k`"), (10**6, "`-k`")])
def test_a_k_out_of_range_is_named(small, k, flag):
    config = recommend.Config(user=("1",), model=small[0].output / "export", k=k)
    with pytest.raises(SystemExit, match=f"{flag}.*Got {k}"):
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
    model = query_towers.build_model(query_towers.resolved(retrieval.SMOKE), data)
    exact, approximate = build_indexes(model, data)
    assert approximate is None
    assert exact(tf.zeros([1, exact.embedding_dim]), k=2)[1].shape == (1, 2)
    assert "pip install 'tfrs-models[scann]'" in capsys.readouterr().out


@pytest.mark.parametrize("query_tower", ["history", "id"])
def test_an_exported_recommender_takes_items_by_their_features(orders, query_tower):
    config = query_towers.resolved(
        retrieval.Config(data=orders, query_tower=query_tower, embedding_dim=4)
    )
    data, _ = retrieval.load(config, run="one")
    model = query_towers.build_model(config, data)
    create_weights(model, data)
    index = tm.layers.BruteForce(capacity=data.num_items + 1)
    made = retrieval.build_recommender(
        config, data, model, index_items(index, model, data)
    )
    item, given = 5, str(data.vocabularies["item_id"][4])
    names = [f.name for f in data.item_features if f.name != "item_id"]
    about = {
        "features": {name: data.items[name][[item]] for name in names},
        "attributes": {"shelf": item_attributes(data)["shelf"][[item - 1]]},
    }
    before = embeddings_by_row(index)
    made.upsert_items([given], **about)  # its own features again
    for row, embedding in embeddings_by_row(index).items():
        np.testing.assert_allclose(embedding, before[row], rtol=1e-5, atol=1e-6)
    made.upsert_items(["new"], titles=["New"], **about)
    like = made.ask(similar_to=[given], k=data.num_items, filters=about["attributes"])
    assert like[0]["title"][like[0]["item_id"].index("new")] == "New"
    new = embeddings_by_row(index)[data.num_items + 1][:4]
    assert np.linalg.norm(new) == pytest.approx(1, rel=1e-4)
    assert not np.allclose(new, before[item][:4])  # its id is unknown


def embeddings_by_row(index):
    return dict(zip(*(values.numpy() for values in index.contents()), strict=True))


def test_a_finished_run_is_a_recommender_again_with_room_for_items(small):
    config, _ = small
    made = retrieval.restore_recommender(config.output, num_new_items=1)
    loaded = tf.saved_model.load(str(config.output / "export" / "1"))
    request = {
        "user_id": tf.constant(["user 3", "nobody"]),
        "k": tf.constant([5, 5]),
        "exclude_seen": tf.constant([True, True]),
    }
    answer = loaded.signatures["serving_default"](**request)
    for name, values in made.recommend(**request).items():
        np.testing.assert_array_equal(values, answer[name])
    width = made.index.embedding_dim
    attributes = {name: ["b"] for name in made.index.attributes}
    made.upsert_items(["new"], embeddings=np.ones([1, width]), attributes=attributes)
    with pytest.raises(ValueError, match="must have room"):
        made.upsert_items(["2"], embeddings=np.ones([1, width]), attributes=attributes)
