"""Yesterday's model goes on with today's rows, and nothing is lost on the way."""

import dataclasses
import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest

import tfrs_models as tm
from pipelines import retrieval, update
from pipelines.parts.checkpoints import Checkpoints
from pipelines.parts.data import DataConfig
from tests.pipelines.conftest import exact_only

DAY = 86_400
FIRST = 1_700_000_000 // DAY * DAY
# Noise must not decide.
FLAGS = {"minimum_users": 3, "maximum_fall": 1.0, "keep": 2}


def log(days, *, users=25):
    """Rows of some days; each day has a new user and a new item."""
    rng = np.random.default_rng(0)
    rows = []
    for day in range(14):
        for user in rng.permutation(users + day)[:18]:
            item = rng.integers(12 + day)
            rows.append((f"u{user}", f"i{item}", FIRST + day * DAY + len(rows)))
        rows.append((f"u{users + day}", f"i{11 + day}", FIRST + day * DAY + 30_000))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    frame = frame.drop_duplicates(["user_id", "item_id"])
    return frame[(frame["timestamp"] - FIRST).floordiv(DAY).isin(days)]


def fake_export(config, data, model, exact, directory, *, run, keep=None):
    """Publishes a version without tracing a model."""
    del config, data, model, exact, run
    number = 1 + max(tm.serving.list_versions(directory), default=0)
    path = directory / str(number)
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"")
    for old in tm.serving.list_versions(directory)[:-keep] if keep else []:
        shutil.rmtree(directory / str(old))
    return path


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Without what a new version does not depend on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "build_indexes", exact_only)
        patch.setattr(retrieval, "export_recommender", fake_export)
        patch.setattr(retrieval, "print_answers", lambda *_, **__: None)
        patch.setattr(retrieval, "answered", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on the first ten days."""
    folder = tmp_path_factory.mktemp("updates")
    log(range(10)).to_csv(folder / "orders.csv", index=False)
    config = retrieval.Config(
        data=DataConfig(dataset=str(folder / "orders.csv"), split="global_time"),
        embedding_dim=4,
        history_length=4,
        epochs=1,
        baselines="none",
        output=folder / "run",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch learns little
        retrieval.main(config)
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path):
    folder = tmp_path / "run"  # it may have moved, too
    shutil.copytree(trained, folder, symlinks=True)
    return folder


def table(tmp_path, days, name="new.csv", **options):
    path = tmp_path / name
    log(days, **options).to_csv(path, index=False)
    return str(path)


def state(folder):
    """What must not change unless a version is published."""
    metrics = json.loads((folder / "metrics.json").read_text())
    about = Checkpoints(folder / "checkpoint").newest().about
    return metrics, about, tm.serving.list_versions(folder / "export")


def rows_of(data):
    users, items = (["", *data.vocabularies[n]] for n in ("user_id", "item_id"))
    return {
        (users[u], items[i], int(t))
        for c in data.splits.values()
        for u, i, t in zip(c["user_id"], c["item_id"], c["timestamp"], strict=True)
    }


def test_two_days_of_updates_make_a_run_with_all_rows(run, tmp_path, capsys):
    first = update.main(
        update.Config(dataset=table(tmp_path, [10]), model=run, **FLAGS)
    )
    assert first.published == run / "export" / "2"
    assert first.exit_code == 0
    shutil.move(run, tmp_path / "elsewhere")
    run = tmp_path / "elsewhere"
    (tmp_path / "new.csv").unlink()  # its rows are in the run
    everything = table(tmp_path, range(12), "all.csv")  # the whole table so far
    second = update.main(update.Config(dataset=everything, model=run, **FLAGS))
    assert tm.serving.list_versions(run / "export") == [2, 3]  # two are kept
    assert second.published == run / "export" / "3"
    _, data, model = retrieval.restore(run)
    expected = {tuple(row) for row in log(range(12)).itertuples(index=False)}
    assert rows_of(data) == expected
    newest = data.splits["test"]["timestamp"]
    train = data.splits["train"]["timestamp"]
    assert newest.min() > train.max()
    assert newest.max() - newest.min() < DAY
    metrics, about, _ = state(run)
    assert metrics["checkpoint"] == about["id"]
    assert metrics["export"] == "3"
    assert metrics["update"]["of"] != about["id"]
    assert "are new to the model" in capsys.readouterr().out
    # The trends of the model are those of all rows.
    table_now = tm.data.trend_table(data, "serving")
    assert table_now.newest_time == max(row[2] for row in expected)
    assert model.num_trends == table_now.num_trends


@pytest.mark.slow
def test_the_new_model_goes_on_from_the_old_one(run, tmp_path, monkeypatch):
    seen = {}
    learn = update.learn

    def spy(flags, data, model, rows, **options):
        old = retrieval.restore(run)
        tower, grown = (m.candidate_tower.tower.tower.tower for m in (old[2], model))
        seen["steps"] = int(model.optimizer.iterations)
        names = [*old[1].vocabularies["item_id"][: old[1].num_train_items]]
        new_names = [*data.vocabularies["item_id"][: data.num_train_items]]
        before, after = (t.variables[0].numpy() for t in (tower, grown))
        for number, name in enumerate(new_names, 1):
            row = names.index(name) + 1 if name in names else 0
            np.testing.assert_array_equal(after[number], before[row])
        seen["rows"] = len(rows)
        return learn(flags, data, model, rows, **options)

    monkeypatch.setattr(update, "learn", spy)
    update.main(update.Config(dataset=table(tmp_path, [10]), model=run, **FLAGS))
    assert seen["steps"] > 0
    assert seen["rows"] > 0


def test_a_refused_update_changes_nothing_and_keeps_the_rows(run, tmp_path, capsys):
    before = state(run)
    flags = FLAGS | {"minimum_users": 1000}
    found = update.main(
        update.Config(dataset=table(tmp_path, [10]), model=run, **flags)
    )
    assert found.published is None
    assert found.exit_code == 1
    assert "which is too few" in found.reasons[0]
    assert "REFUSE" in capsys.readouterr().out
    assert state(run) == before
    retrieval.restore(run)  # still a whole run
    update.main(
        update.Config(dataset=table(tmp_path, [11], "next.csv"), model=run, **FLAGS)
    )
    _, data, _ = retrieval.restore(run)
    expected = {tuple(row) for row in log(range(12)).itertuples(index=False)}
    assert rows_of(data) == expected  # those of the refused day too


@pytest.mark.slow
def test_a_fall_beyond_the_limit_is_refused(run, tmp_path, monkeypatch):
    def spoil(flags, data, model, rows, **options):
        del flags, data, rows, options
        for variable in model.trainable_variables:
            variable.assign(-variable)
        model.candidate_tower.tower.tower.tower.variables[0].assign_add(
            np.random.default_rng(0).normal(
                size=model.candidate_tower.tower.tower.tower.variables[0].shape
            )
        )

    monkeypatch.setattr(update, "learn", spoil)
    flags = FLAGS | {"maximum_fall": 1e-6}
    found = update.main(
        update.Config(dataset=table(tmp_path, [10]), model=run, **flags)
    )
    assert any("may have fallen by" in reason for reason in found.reasons)


def test_no_new_row_is_said_and_nothing_is_published(run, tmp_path, capsys):
    before = state(run)
    found = update.main(
        update.Config(dataset=table(tmp_path, [3, 4]), model=run, **FLAGS)
    )
    assert found == update.Update(None, {}, ())
    assert found.exit_code == 0
    assert "No new rows in" in capsys.readouterr().out
    assert state(run) == before


@pytest.mark.parametrize(
    "moment",
    [pytest.param("before the export", marks=pytest.mark.slow), "after the export"],
)
def test_a_stopped_update_is_finished_once(run, tmp_path, monkeypatch, moment):
    config = update.Config(dataset=table(tmp_path, [10]), model=run, **FLAGS)
    target = "build_indexes" if moment == "before the export" else "write_report"
    with monkeypatch.context() as patch:
        patch.setattr(retrieval, target, stop)
        with pytest.raises(SystemExit):
            update.main(config)
    weights = Checkpoints(run / "checkpoint").newest().id
    found = update.main(config)  # finishes it; its rows then are no new ones
    assert found.published == run / "export" / "2"
    assert tm.serving.list_versions(run / "export") == [1, 2]
    metrics, about, _ = state(run)
    assert metrics["checkpoint"] == about["id"] == weights
    retrieval.restore(run)
    assert update.main(config).published is None


def stop(*_, **__):
    raise KeyboardInterrupt


def test_a_stop_in_the_training_leaves_the_run_and_the_rows(run, tmp_path, monkeypatch):
    before = state(run)
    config = update.Config(dataset=table(tmp_path, [10]), model=run, **FLAGS)
    with monkeypatch.context() as patch:
        patch.setattr(update, "learn", stop)
        with pytest.raises(SystemExit) as ended:
            update.main(config)
    assert ended.value.code == 130
    assert state(run) == before
    retrieval.restore(run)
    nothing = dataclasses.replace(config, dataset=table(tmp_path, [3], "old.csv"))
    assert update.main(nothing).published == run / "export" / "2"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.rename(columns={"item_id": "thing"}), "It lacks 'item_id'"),
        (lambda f: f.assign(timestamp="noon"), "Cannot load the data"),
        (lambda f: f.assign(timestamp=FIRST + 1), "are all older"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_in_a_line(run, tmp_path, change, words):
    before = state(run)
    change(log([10])).to_csv(tmp_path / "new.csv", index=False)
    config = update.Config(dataset=str(tmp_path / "new.csv"), model=run, **FLAGS)
    with pytest.raises(SystemExit, match=words) as ended:
        update.main(config)
    assert "\n" not in str(ended.value)
    assert state(run) == before
    good = dataclasses.replace(config, dataset=table(tmp_path, [10], "good.csv"))
    assert update.main(good).published  # the bad rows do not wait


def test_rows_of_one_user_are_no_comparison(run, tmp_path):
    rows = log([10]).drop_duplicates("item_id").assign(user_id="u3")
    rows.to_csv(tmp_path / "new.csv", index=False)
    config = update.Config(dataset=str(tmp_path / "new.csv"), model=run, **FLAGS)
    found = update.main(config)
    # One of the rows that were held out before is of these days too.
    assert "are of 2 user(s), which is too few" in found.reasons[0]


def test_a_damaged_state_is_named(run, tmp_path):
    newest = Checkpoints(run / "checkpoint").newest().folder
    path = newest / "weights.index"
    path.write_bytes(path.read_bytes()[:-1])
    config = update.Config(dataset=table(tmp_path, [10]), model=run, **FLAGS)
    with pytest.raises(SystemExit, match=r"weights.index is not as it was written"):
        update.main(config)


def test_a_data_set_that_lost_rows_is_refused(run, tmp_path):
    metrics = json.loads((run / "metrics.json").read_text())
    dataset = metrics["config"]["data"]["dataset"]
    with open(dataset) as file:
        text = file.read()
    try:
        with open(dataset, "w") as file:
            file.write("\n".join(text.splitlines()[:60]))
        config = update.Config(dataset=table(tmp_path, [10]), model=run, **FLAGS)
        with pytest.raises(SystemExit, match="was trained on .* rows. Its data have"):
            update.main(config)
    finally:
        with open(dataset, "w") as file:
            file.write(text)


def test_an_update_needs_rows_and_a_run(tmp_path):
    with pytest.raises(SystemExit):
        update.main(update.Config(model=tmp_path))
    with pytest.raises(SystemExit, match="no trained model"):
        update.main(update.Config(dataset="new.csv", model=tmp_path))
