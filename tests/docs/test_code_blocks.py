"""The code on README.md and on the pages of the site runs as it is written there.

Models are fitted for two steps without a graph: what is tested is that every call
exists, not what it learns.
"""

import dataclasses
import functools
import importlib

import pytest
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines import retrieval
from pipelines.parts.indexes import index_items
from tests.docs.code_blocks import PAGES, ROOT, blocks, commands, source_of

STEPS = 2


@pytest.fixture(scope="module")
def short():
    """Fits, evaluations and predictions of a few batches, and data that load once."""
    with pytest.MonkeyPatch.context() as patch:
        fit, evaluate = tf.keras.Model.fit, tf.keras.Model.evaluate

        @functools.wraps(fit)
        def fit_shortly(self, x=None, **kwargs):
            kwargs |= {"epochs": 1, "verbose": 0, "steps_per_epoch": STEPS}
            kwargs.pop("initial_epoch", None)
            self.run_eagerly = True  # a graph takes longer to trace than to run
            if kwargs.get("validation_data") is not None:
                kwargs["validation_data"] = kwargs["validation_data"].take(1)
            return fit(self, x.take(STEPS), **kwargs)

        @functools.wraps(evaluate)
        def evaluate_shortly(self, x=None, **kwargs):
            return evaluate(self, x.take(1), **{**kwargs, "verbose": 0})

        patch.setattr(tf.keras.Model, "fit", fit_shortly)
        patch.setattr(tf.keras.Model, "evaluate", evaluate_shortly)
        load = tm.data.load
        cached = functools.cache(load)

        def load_once(*args, **kwargs):
            usual = not kwargs or set(kwargs) == {"split"}
            return (cached if usual else load)(*args, **kwargs)

        patch.setattr(tm.data, "load", load_once)
        choose = tm.baselines.choose
        patch.setattr(
            tm.baselines,
            "choose",
            lambda data, **kwargs: choose(data, **{**kwargs, "budget_seconds": 1}),
        )
        patch.setattr(retrieval, "build_indexes", exact_only)
        yield


def exact_only(model, data):
    """An exact index, and none by ScaNN, whose parameters would be tuned."""
    return index_items(tm.layers.BruteForce(k=100), model, data), None


@pytest.fixture(scope="module")
def folder(short, tmp_path_factory):  # noqa: ARG001  models are fitted shortly
    """A folder with a small trained export at `artifacts/retrieval/export/1`."""
    folder = tmp_path_factory.mktemp("reader")
    config = dataclasses.replace(
        retrieval.SMOKE, output=folder / "artifacts/retrieval", baselines="none"
    )
    retrieval.main(config)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default::UserWarning")
def test_the_python_blocks_of_a_page_run(path, folder, monkeypatch):
    found = blocks(path.read_text(encoding="utf-8"))
    found = [b for b in found if b.language == "python" and not b.reason]
    if not found:
        pytest.skip("no Python on this page")
    monkeypatch.chdir(folder)
    names = {"__name__": "page"}
    for block in found:
        exec(compile(source_of(block), str(path), "exec"), names)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_commands_of_a_page_and_their_flags_exist(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language not in ("sh", "bash", "console") or block.reason:
            continue
        for name, arguments in commands(block):
            module = importlib.import_module(f"pipelines.{name}")
            if hasattr(module, "Config") and "--help" not in arguments:
                try:
                    tyro.cli(module.Config, args=arguments)
                except SystemExit as error:
                    pytest.fail(f"{path.name}: {name} {arguments}: {error}")


PAGE = """\
# Kites

```python
x = 1
```

<!-- not run: it needs wind -->
```python
fly()
```

<!-- hidden
y = 2
-->

```sh
make demo
.venv/bin/python -m pipelines.retrieval --epochs 5 \\
  --dataset "my table.csv"   # yours
tfrs-models joint-ranking --seeds 3 | tee log
```
"""


def test_blocks_have_their_language_lines_and_reasons():
    first, second, hidden, third = blocks(PAGE)
    assert (first.language, first.code, first.reason) == ("python", "x = 1\n", "")
    assert source_of(first).splitlines()[3] == PAGE.splitlines()[3] == "x = 1"
    assert second.reason == "it needs wind"
    assert (hidden.language, hidden.code) == ("python", "y = 2\n")
    assert (
        source_of(hidden).splitlines()[-1] == PAGE.splitlines()[hidden.line] == "y = 2"
    )
    assert third.language == "sh"


def test_commands_are_found_with_their_arguments():
    assert commands(blocks(PAGE)[-1]) == [
        ("retrieval", ["--epochs", "5", "--dataset", "my table.csv"]),
        ("joint_ranking", ["--seeds", "3"]),
    ]
