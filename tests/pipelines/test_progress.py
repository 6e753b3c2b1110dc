"""What a command prints while it works."""

import os
import sys

import pytest

from pipelines.parts import progress
from pipelines.parts.log_lines import without_log_lines

COLUMNS = {"loss per example": "loss_per_example", "hit rate": "val_hit_rate"}


def train(lines, epochs=2, batches=3):
    """Calls a callback as `fit` does."""
    lines.set_params({"steps": batches})
    lines.on_train_begin({})
    for epoch in range(epochs):
        lines.on_epoch_begin(epoch, {})
        for batch in range(batches):
            lines.on_train_batch_end(batch, {"loss": 2145.2})
        logs = {"loss": 2145.2, "loss_per_example": 5 - epoch, "val_hit_rate": 0.25}
        lines.on_epoch_end(epoch, logs)
    lines.on_train_end({})


def test_a_step_is_a_line_with_its_seconds_and_its_note(capsys):
    with progress.step("Counting") as counting:
        counting.note = "3 rows"
    line = capsys.readouterr().out
    assert line.startswith("Counting ")
    assert line.endswith("0.0 s   3 rows\n")
    assert "\r" not in line


def test_a_failed_step_prints_no_seconds(capsys):
    with pytest.raises(ValueError, match="no"), progress.step("Counting"):
        raise ValueError("no")
    assert capsys.readouterr().out == ""


def test_an_epoch_is_a_line_of_the_chosen_figures(capsys):
    train(progress.EpochLines(COLUMNS))
    tracing, _, head, *epochs = capsys.readouterr().out.splitlines()
    assert tracing.startswith("Tracing the training step")
    assert head.split() == ["epoch", *" ".join(COLUMNS).split(), "seconds"]
    assert [line.split()[:3] for line in epochs[:2]] == [
        ["1", "5.0000", "0.2500"],
        ["2", "4.0000", "0.2500"],
    ]
    assert len(head) == len(epochs[0])


def test_a_terminal_sees_how_far_an_epoch_is(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    train(progress.EpochLines(COLUMNS, refresh=0), epochs=1)
    assert "\r\033[K  batch 2 of 3" in capsys.readouterr().out


def test_log_lines_of_native_code_are_dropped_and_errors_are_not(capfd):
    lines = [
        "WARNING: All log messages before absl::InitializeLog() is called are written",
        "I0000 00:00:1796071187.140365   19220 partitioner_factory_base.cc:58] Size",
        "E0000 00:00:1796071187.140365   19220 somewhere.cc:1] An error",
        "Traceback (most recent call last):",
    ]

    def fail():
        with without_log_lines():
            for line in lines:
                os.write(2, f"{line}\n".encode())
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    os.write(2, b"after\n")
    assert capfd.readouterr().err.splitlines() == [*lines[2:], "after"]
