"""A damaged version is named in one line, with an older one that is whole."""

import dataclasses
import json
import os
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines import explore, gate, recommend
from pipelines.parts.exports import load_export, whole_export
from tfrs_models.serving import contract

WEIGHTS = "variables/variables.data-00000-of-00001"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Two versions of a model of three users and four items."""
    tower = tf.keras.layers.Lambda(lambda features: features["taste"])
    items = np.float32([[1, 0], [0, 1], [0.5, 0.1], [0.2, 0.9]])
    recommender = tm.serving.Recommender(
        tower,
        tm.layers.BruteForce().index(items, np.arange(1, 5)),
        user_ids=["zoë", "ann", "bob"],
        user_features={"taste": np.float32([[0, 0], [1, 2], [3, 0.5], [0.1, 1]])},
        item_ids=["w", "x", "y", "z"],
        titles=["", "Alien", "Brazil", "Clue, the", "Dune"],
        known_items=tf.ragged.constant([[], [2, 4], [1], []], dtype=tf.int64),
        candidate_probabilities=[0, 0.4, 0.3, 0.2, 0.1],
    )
    folder = tmp_path_factory.mktemp("model") / "export"
    default = {"serving_default": recommender.signatures["serving_default"]}
    for run in ("first", "second"):
        tm.serving.export(recommender, folder, signatures=default, about={"run": run})
    return folder


@pytest.fixture
def export(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "export")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def edit(path):
    text = path.read_text()
    assert '"relative": 0.0001' in text
    path.write_text(text.replace('"relative": 0.0001', '"relative": 0.9'))


def emptied(path):
    shutil.rmtree(path)
    path.mkdir()


DAMAGES = {
    "a flipped byte of the weights": (flip, WEIGHTS, WEIGHTS),
    "a cut table of the weights": (cut, "variables/variables.index", "variables.index"),
    "a cut graph": (cut, "saved_model.pb", "saved_model.pb changed"),
    "an edited contract": (edit, contract.CONTRACT_PATH, "contract.json was edited"),
    "a cut contract": (cut, contract.CONTRACT_PATH, "contract.json is missing or no"),
    "a cut vocabulary": (cut, "assets/user_id.txt", "user_id.txt changed"),
    "no weights": (os.unlink, WEIGHTS, f"{WEIGHTS} is missing"),
    "no graph": (os.unlink, "saved_model.pb", "saved_model.pb is missing"),
    "no contract": (os.unlink, contract.CONTRACT_PATH, "contract.json is missing"),
    "nothing": (emptied, "", "it is empty"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_one_line_that_names_the_file_and_the_older_version(
    export, damage, capsys
):
    harm, name, words = DAMAGES[damage]
    harm(export / "2" / name)
    line = f"{export / '2'} is not as it was exported: .*{re.escape(words)}"
    offer = f"{export / '1'} is whole: take it by --fall-back"
    with pytest.raises(SystemExit, match=line) as ended:
        load_export(export)
    assert offer in str(ended.value)
    assert "\n" not in str(ended.value)
    folder, loaded = load_export(export, fall_back=True)
    assert folder == export / "1"
    assert loaded.signatures
    said = capsys.readouterr().err
    assert re.search(f"{line}.* {export / '1'} is used in its place", said)
    assert said.count("\n") == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_command_uses_a_damaged_version(export, tmp_path, damage, capsys):
    harm, name, words = DAMAGES[damage]
    harm(export / "2" / name)
    requests = tmp_path / "requests.jsonl"
    inputs = {"user_id": "ann", "k": 2, "exclude_seen": False}
    requests.write_text(json.dumps({"inputs": inputs, "relevant": ["w"]}))
    gated = gate.Config(old=export / "1", new=export, requests=requests, k=2)
    for run in (
        lambda: recommend.main(recommend.Config(user=("ann",), model=export, k=2)),
        lambda: recommend.main(
            recommend.Config(all=True, model=export, output=tmp_path / "all.csv")
        ),
        lambda: explore.load_exports(explore.Config(model=export)),
        lambda: gate.main(gated),
        lambda: gate.main(dataclasses.replace(gated, old=export, new=export / "1")),
    ):
        with pytest.raises(SystemExit, match=re.escape(words)) as ended:
            run()
        assert "\n" not in str(ended.value)
    assert ended.value.code == 2  # of `gate`: they cannot be compared
    assert not [*tmp_path.glob("all*")]
    assert "Alien" not in capsys.readouterr().out


def test_commands_take_the_older_version_where_they_are_told_to(export, capsys):
    flip(export / "2" / WEIGHTS)
    config = recommend.Config(user=("ann",), model=export, k=2, fall_back=True)
    assert recommend.main(config)["known_user"].all()
    [shown] = explore.load_exports(explore.Config(model=export, fall_back=True))
    assert shown.about()["path"] == str(export / "1")
    assert capsys.readouterr().err.count(f"{export / '1'} is used in its place") == 2


def test_an_older_version_that_is_damaged_too_is_passed_over(export, exported):
    shutil.copytree(exported / "1", export / "10")
    flip(export / "10" / WEIGHTS)
    cut(export / "2" / "saved_model.pb")
    assert whole_export(export, fall_back=True) == export / "1"
    flip(export / "1" / WEIGHTS)
    with pytest.raises(SystemExit, match="10 is not .* Take another version, or exp"):
        whole_export(export, fall_back=True)


def test_the_flag_that_named_a_missing_export_is_said(tmp_path):
    with pytest.raises(SystemExit, match="^`--compare-with` must be a SavedModel"):
        whole_export(tmp_path / "nothing", flag="--compare-with")
    with pytest.raises(SystemExit, match="^`--compare-with` must be a SavedModel"):
        whole_export(tmp_path, flag="--compare-with")


def test_a_whole_version_beside_a_damaged_older_one_is_used(export):
    flip(export / "1" / WEIGHTS)
    assert whole_export(export) == export / "2"


def test_a_model_of_other_software_has_no_hashes_and_is_loaded(export):
    shutil.rmtree(export / "2" / "assets.extra")
    assert load_export(export / "2")[0] == export / "2"
    cut(export / "2" / "saved_model.pb")
    with pytest.raises(SystemExit, match="2 does not load: .*saved_model.pb"):
        load_export(export / "2")


def test_the_library_falls_back_with_a_warning(export):
    flip(export / "2" / WEIGHTS)
    with pytest.raises(contract.ContractError, match="fall_back=True") as damaged:
        contract.whole_version(export)
    assert damaged.value.older == export / "1"
    with pytest.warns(UserWarning, match=f"{WEIGHTS} changed.* {export / '1'}"):
        found = contract.whole_version(export, fall_back=True)
    assert contract.verify(found)["about"] == {"run": "first"}


def test_a_version_says_which_run_made_it(exported):
    about = [contract.read(exported / number)["about"] for number in "12"]
    assert about == [{"run": "first"}, {"run": "second"}]
