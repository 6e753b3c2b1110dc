"""Checkpoints that say what they are of, and are never half there."""

import dataclasses
import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from pipelines import ranking, retrieval
from pipelines.parts.artifacts import write_json
from pipelines.parts.checkpoints import (
    Checkpoints,
    KeepBest,
    Origin,
    fingerprint,
    finished,
    is_empty,
)
from pipelines.parts.data import load_data


def model(value):
    """One row of weights, all alike."""
    made = tf.keras.Sequential([tf.keras.layers.Dense(3, use_bias=False)])
    made.build([None, 2])
    made.set_weights([np.full([2, 3], value, np.float32)])
    return made


def value_of(made):
    (weights,) = made.get_weights()
    return weights[0, 0]


@pytest.fixture
def origin():
    words = {"item_id": np.array(["ä", "b\n"])}
    data = {"items": {"size": 2, "sha256": "ab"}}
    return Origin("run 1", retrieval.Config(), data, words)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoint")


def loaded(checkpoint):
    made = model(0)
    checkpoint.load(made)
    return value_of(made)


def test_two_are_kept_and_the_names_lead_to_the_newest(checkpoints, origin):
    assert checkpoints.newest() is None
    for value in (1, 2, 3):
        saved = checkpoints.save(model(value), origin, best={"tower": "id"})
        assert checkpoints.newest() == saved
        assert loaded(saved) == value
        reader = tf.train.load_checkpoint(str(checkpoints.folder / "best"))
        names = reader.get_variable_to_shape_map()
        (name,) = (name for name in names if "kernel" in name)
        assert (reader.get_tensor(name) == value).all()
    assert saved.about["best"] == {"tower": "id"}
    numbers = [n for n in os.listdir(checkpoints.folder) if n.isdecimal()]
    assert sorted(numbers) == ["2", "3"]
    words = json.loads((saved.folder / "vocabularies.json").read_text())
    assert words == {"item_id": ["ä", "b\n"]}


@pytest.mark.parametrize("place", ["os.rename", "os.fsync", "pathlib.Path.write_text"])
def test_a_run_that_ends_while_it_saves_leaves_the_one_before(
    checkpoints, origin, monkeypatch, place
):
    before = checkpoints.save(model(1), origin)

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(model(2), origin)
    monkeypatch.undo()
    assert checkpoints.newest() == before
    assert loaded(before) == 1
    after = checkpoints.save(model(3), origin)
    assert loaded(checkpoints.newest()) == 3
    assert after.id != before.id


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [flip, pathlib.Path.unlink])
@pytest.mark.parametrize(
    "name", ["weights.index", "weights.data-00000-of-00001", "vocabularies.json"]
)
def test_a_damaged_file_is_named_beside_the_older_checkpoint(
    checkpoints, origin, name, damage
):
    older = checkpoints.save(model(1), origin)
    newer = checkpoints.save(model(2), origin)
    damage(newer.folder / name)
    with pytest.raises(
        SystemExit, match=f"{name} .*Remove .*go back to {older.folder}"
    ):
        checkpoints.newest()


@pytest.mark.parametrize("name", ["weights.index", "about.json", "vocabularies.json"])
def test_an_older_checkpoint_is_taken_where_that_is_said(
    checkpoints, origin, name, capsys
):
    oldest = checkpoints.save(model(1), origin)
    newest = checkpoints.save(model(2), origin)
    assert checkpoints.newest(fall_back=True) == newest  # it is whole
    flip(newest.folder / name)
    found = checkpoints.newest(fall_back=True)
    assert (found.id, loaded(found)) == (oldest.id, 1)
    said = capsys.readouterr().err
    assert str(newest.folder / name) in said
    assert f"{oldest.folder} is used in its place" in said
    assert said.count("\n") == 1
    flip(oldest.folder / "weights.index")
    with pytest.raises(SystemExit, match=f"{newest.folder}.*Train it again"):
        checkpoints.newest(fall_back=True)


def test_an_edited_description_is_refused(checkpoints, origin):
    path = checkpoints.save(model(1), origin).folder / "about.json"
    path.write_text(path.read_text().replace('"seed": 42', '"seed": 43'))
    with pytest.raises(SystemExit, match=f"{path} is not as it was written: it was ed"):
        checkpoints.newest()


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"id": 1, "files": 2}', "\xff"])
def test_a_damaged_description_is_named(checkpoints, origin, text):
    path = checkpoints.save(model(1), origin).folder / "about.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(SystemExit, match=f"{path} .*Train it again"):
        checkpoints.newest()


def test_weights_of_another_model_are_refused(checkpoints, origin):
    saved = checkpoints.save(model(1), origin)
    other = tf.keras.Sequential([tf.keras.layers.Dense(4, use_bias=False)])
    other.build([None, 2])
    with pytest.raises(SystemExit, match="do not fit the model"):
        saved.load(other)


def test_weights_of_a_version_that_did_not_say_what_they_are_of_are_refused(
    checkpoints,
):
    checkpoints.folder.mkdir()
    model(1).save_weights(checkpoints.folder / "best")
    with pytest.raises(SystemExit, match="of an earlier version of the pipelines"):
        checkpoints.newest()


def test_only_flags_that_make_another_model_are_refused(checkpoints, origin):
    saved = checkpoints.save(model(1), origin)
    free = {"epochs": 7, "learning_rate": 0.5, "patience": 1, "batch_size": 3}
    saved.check_flags(dataclasses.replace(origin.config, **free, resume=True))
    changes = {"seed": 1, "temperature": 0.5, "features": "id"}
    with pytest.raises(SystemExit, match="features.* was all and is id") as refused:
        saved.check_flags(dataclasses.replace(origin.config, **changes))
    for name in changes:
        assert f"`--{name}` was" in str(refused.value)


def keep_best(keep, values, first=0):
    for epoch, value in enumerate(values, start=first):
        keep.set_model(model(epoch))
        keep.on_epoch_end(epoch, {"val": value})


def test_only_better_epochs_are_saved(checkpoints, origin):
    keep = KeepBest(checkpoints, origin, "val")
    keep_best(keep, [np.nan, 0.4])
    assert keep.best == 0.4
    keep_best(keep, [0.3, 0.5, 0.5, 0.45], first=2)
    assert loaded(checkpoints.newest()) == 3
    assert keep.kept.about["metric"] == {"name": "val", "value": 0.5, "epoch": 4}
    never = KeepBest(checkpoints, origin, "val")
    never.on_epoch_end(0, {"val": np.nan})
    assert never.kept is None


def test_a_training_that_is_killed_twice_between_checkpoint_and_state_keeps_its_best(
    checkpoints, origin
):
    older = dataclasses.replace(origin, run="another run")
    other = checkpoints.save(model(9), older)
    keep = KeepBest(checkpoints, origin, "val")
    begun = keep.resume_state()
    keep_best(keep, [0.4])
    state = keep.resume_state()
    for _ in range(3):  # the second epoch is better each time, and killed each time
        again = KeepBest(checkpoints, origin, "val")
        again.restore_state(state)
        assert again.best == 0.4
        assert loaded(checkpoints.newest()) == 0
        keep_best(again, [0.5], first=1)
        assert loaded(checkpoints.newest()) == 1
    again.restore_state(begun)  # nothing of the run was kept then
    assert again.best is None
    assert checkpoints.newest() in (None, other)


def test_best_weights_that_are_gone_are_told(checkpoints, origin):
    keep = KeepBest(checkpoints, origin, "val")
    keep_best(keep, [0.1])
    state = keep.resume_state()
    keep_best(keep, [0.2, 0.3, 0.4], first=1)
    with pytest.raises(SystemExit, match="no longer has the best weights"):
        keep.restore_state(state)


def test_a_fingerprint_tells_what_differs(orders):
    data = load_data(orders, seed=0)
    known = fingerprint(data)
    assert known == fingerprint(load_data(orders, seed=0))

    def differing(**changes):
        now = fingerprint(dataclasses.replace(data, **changes))
        return {name for name in known if now[name] != known[name]}

    for split in ("train", "validation", "test"):
        for column in ("user_id", "item_id", "timestamp", "timestamp_us", "rating"):
            columns = {k: v.copy() for k, v in data.splits[split].items()}
            columns[column][3] += 1
            changed = data.splits | {split: columns}
            assert differing(splits=changed) == {f"{split} rows"}
    kinds = data.items["kind"].copy()
    kinds[2] += 1
    assert differing(items=data.items | {"kind": kinds}) == {"features of items"}
    texts = data.items["text"].copy()
    texts[2, 1] += 1e-6
    assert differing(items=data.items | {"text": texts}) == {"features of items"}
    swapped = data.vocabularies["item_id"].copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    words = data.vocabularies | {"item_id": swapped}
    assert differing(vocabularies=words) == {"items"}


def test_a_run_is_read_as_a_whole_or_not_at_all(checkpoints, origin):
    folder = checkpoints.folder.parent
    assert is_empty(folder)
    saved = checkpoints.save(model(1), origin)
    assert not is_empty(folder)
    with pytest.raises(SystemExit, match="did not finish. Finish it"):
        finished(folder, retrieval.Config)
    metrics = {"run": "run 1", "checkpoint": saved.id, "config": {}}
    write_json(folder / "metrics.json", metrics)
    assert finished(folder, retrieval.Config) == saved
    with pytest.raises(SystemExit, match="is of pipelines.retrieval, not of"):
        finished(folder, ranking.Config)
    checkpoints.save(model(2), dataclasses.replace(origin, run="run 2"))
    with pytest.raises(SystemExit, match="two runs: .* run 1, .* run 2"):
        finished(folder, retrieval.Config)


def test_a_finished_run_goes_back_to_a_checkpoint_of_its_own_only(checkpoints, origin):
    folder = checkpoints.folder.parent
    older = checkpoints.save(model(1), origin)
    newer = checkpoints.save(model(2), origin)
    metrics = {"run": "run 1", "checkpoint": newer.id, "config": {}}
    write_json(folder / "metrics.json", metrics)
    flip(newer.folder / "weights.index")
    with pytest.raises(SystemExit, match="--fall-back"):
        finished(folder, retrieval.Config)
    assert finished(folder, retrieval.Config, fall_back=True).id == older.id
    write_json(folder / "metrics.json", metrics | {"run": "run 2"})
    with pytest.raises(SystemExit, match="files of two runs"):
        finished(folder, retrieval.Config, fall_back=True)
