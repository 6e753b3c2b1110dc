"""The parts of the benchmark of failures: calls fail, kills and losses are seen."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from pipelines.benchmarks import faults
from pipelines.benchmarks.failing.failing_calls import (
    KINDS,
    Unavailable,
    compiled,
    python_with,
)

# A program that writes two files under a plan, and says how the second one ended.
PROGRAM = """
import json, os, pathlib, sys
from pipelines.benchmarks.failing.failing_calls import FailingCalls
folder, plan = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
calls = FailingCalls.preloaded()
calls.start(folder, **plan)
(folder.parent / "elsewhere").write_text("not counted")
said = []
for name in ("one", "two"):
    try:
        with open(folder / name, "w") as file:
            file.write("0123456789")
            file.flush()
            os.fsync(file.fileno())
        os.rename(folder / name, folder / f"{name}.txt")
        said.append(0)
    except OSError as error:
        said.append(error.errno)
failed = calls.stop()
(folder / "unseen").write_text("after the plan")
kinds = [call.kind for call in calls.journal()]
print(json.dumps([said, failed, calls.counted(), kinds]))
"""
OF_A_FILE = ["open", "write", "sync", "close", "rename"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    try:
        return compiled(tmp_path_factory.mktemp("library"))
    except Unavailable as error:
        pytest.skip(str(error))


def run(library, folder, **plan):
    folder.mkdir()
    _, environment = python_with(library, "")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), json.dumps(plan)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_calls_below_the_folder_are_counted_in_their_order(library, tmp_path):
    code, (said, failed, counted, kinds) = run(library, tmp_path / "output")
    assert (code, said, failed) == (0, [0, 0], 0)
    assert kinds == OF_A_FILE * 2
    assert counted == 10
    assert set(kinds) <= set(KINDS)


@pytest.mark.parametrize("at", range(1, 6))
def test_only_the_call_of_a_number_fails(library, tmp_path, at):
    _, (said, failed, _, _) = run(library, tmp_path / "output", at=at, error=28)
    assert (said, failed) == ([28, 0], 1)
    assert (tmp_path / "output" / "two.txt").read_text() == "0123456789"
    assert (tmp_path / "elsewhere").read_text() == "not counted"


def test_kinds_are_numbered_apart_and_a_full_disk_stays_full(library, tmp_path):
    _, (said, _, counted, _) = run(
        library, tmp_path / "a", at=2, error=5, kinds=["rename"]
    )
    assert (said, counted) == ([0, 5], 2)
    _, (said, failed, _, _) = run(
        library, tmp_path / "b", at=2, error=28, kinds=["open", "write"], lasting=True
    )
    assert said == [28, 28]
    assert failed >= 2


def test_a_failing_flush_loses_what_was_written(library, tmp_path):
    run(library, tmp_path / "output", at=1, error=5, kinds=["sync"])
    assert (tmp_path / "output" / "one").read_text() == "01234"


def test_a_process_is_killed_in_place_of_a_call(library, tmp_path):
    code, _ = run(library, tmp_path / "output", at=5, error=-9)
    assert code == -9
    assert os.listdir(tmp_path / "output") == ["one"]


def test_runs_that_differ_in_one_weight_or_metric_are_told_apart(tmp_path):
    commands = pytest.importorskip("pipelines.benchmarks.failing.commands")
    tf = pytest.importorskip("tensorflow")

    def written(name, weight, metric):
        folder = tmp_path / name
        values = {"run": name, "seconds": len(name), "ndcg": [{"mean": metric}]}
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps(values))
        for number in (9, 10):  # the newer one counts
            value = weight if number == 10 else len(name)
            prefix = folder / "checkpoint" / str(number) / "weights"
            variable = tf.Variable([value, 2.0])
            tf.train.Checkpoint(weight=variable).write(str(prefix))
        return commands.content(folder)

    one = written("a", 1.0, 0.5)
    assert commands.differences(one, written("bb", 1.0, 0.5)) == []
    (found,) = commands.differences(
        one, written("ccc", np.nextafter(1, 2, dtype="f4"), 0.5)
    )
    assert "weight" in found
    (found,) = commands.differences(one, written("dddd", 1.0, 0.25))
    assert "ndcg" in found


def test_tables_count_and_list_what_was_lost():
    kept = {"command": "ranking", "what": "SIGKILL at call 3", "problem": ""}
    lost = kept | {"problem": "2 values | differ", "ending": "-9"}
    whole = {"ranking": {"calls": 7, "compared": 5}}
    text = faults.kill_table({"kills": [kept, lost, kept], "whole": whole})
    assert "| `ranking` | 7 | 5 | 3 SIGKILL | 3 | 2 |" in text
    assert "| all |  |  |  | 3 | 2 |" in text
    assert "Not so (1):\n\n- `ranking`, SIGKILL at call 3: 2 values / differ" in text
    fault = {"artifact": "checkpoint", "call": "write x", "error": "EIO"}
    tried = [
        fault | {"ending": "one line", "problem": ""},
        fault | {"ending": "traceback: OSError: a", "problem": ""},
        fault | {"ending": "went on", "problem": "it left 1"},
    ]
    whole = [{"command": "unisar", "what": "EIO", "problem": "", "ending": "1 No."}]
    calls = {"checkpoint": [["write", "write", "x"]] * 4}
    text = faults.call_table({"tried": tried, "calls": calls, "faults": whole})
    assert "| checkpoint | 4 | 3 | 2 | 1 | 1 | 1 |" in text
    assert "| `unisar` |  | 1 | 1 | 1 | 0 | 0 |" in text
    assert "| all |  | 4 | 3 | 2 | 1 | 1 |" in text


@pytest.mark.slow
def test_the_benchmark_keeps_rows_that_are_not_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(faults.results, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(
        faults.results.write_part, "__kwdefaults__", {"path": tmp_path / "RESULTS.md"}
    )
    config = dataclasses.replace(
        faults.SMOKE, parts=("calls",), write=True, output=tmp_path / "rows"
    )
    for artifact in ("metrics.json", "report.html"):
        faults.main(dataclasses.replace(config, artifacts=(artifact,)))
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| metrics.json |" in text
    assert "| report.html |" in text
