"""Upstream's notebooks as scripts on our classes."""

import json

import pytest

from pipelines import tutorials


def notebook(*cells):
    return {
        "cells": [
            {"cell_type": "markdown", "source": ["epochs = 99 in prose"]},
            *({"cell_type": "code", "source": [cell]} for cell in cells),
        ]
    }


@pytest.fixture
def folder(tmp_path):
    for name in ("basic", "listwise", "ranking_tfx"):
        text = json.dumps(notebook("import tensorflow_recommenders as tfrs"))
        (tmp_path / f"{name}.ipynb").write_text(text)
    return tmp_path


def test_a_script_has_our_classes_and_small_numbers():
    script = tutorials.script_of(
        notebook(
            "!pip install -q tensorflow-recommenders\n%matplotlib inline\n",
            "import tensorflow_recommenders as tfrs\n",
            "if True:\n  %time model.fit(train.take(80_000), epochs=300)\n",
            "num_epochs = 7\n",
        )
    )
    assert "import tfrs_models.compat as tfrs" in script
    assert "tensorflow_recommenders" not in script
    assert "  model.fit(train.take(1_600), epochs=5)" in script
    assert "num_epochs=5" in script
    for left_out in ("pip", "%time", "%matplotlib", "prose", "tensorflow_ranking"):
        assert left_out not in script
    compile(script, "script", "exec")  # it is Python


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("import tensorflow_ranking as tfr", 'sys.modules["tensorflow_ranking"]'),
        ("open('train_movielens_1m.tfrecord')", "TFRecordWriter"),
    ],
)
def test_what_a_notebook_needs_besides_comes_before_its_code(code, more):
    script = tutorials.script_of(notebook(code))
    assert 0 < script.index(more) < script.index(code)


def test_what_cannot_run_here_says_why_and_a_limit_of_time_holds(folder, capsys):
    config = tutorials.Config(folder, only=("basic", "ranking_tfx"), timeout=0.05)
    found = tutorials.main(config)
    assert found == {
        "basic": "ran longer than 0.05 s",
        "ranking_tfx": "needs TensorFlow Extended",
    }
    assert "basic: ran longer than 0.05 s" in capsys.readouterr().out


def test_a_folder_without_notebooks_is_named(tmp_path):
    with pytest.raises(SystemExit, match="`folder` must hold notebooks"):
        tutorials.main(tutorials.Config(tmp_path))
