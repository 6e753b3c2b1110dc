"""Runs commands in forked processes, which are killed or get a failing call.

A process imports TensorFlow once, starts no part of it, and forks for each command.
"""

import dataclasses
import hashlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipelines import cli
from pipelines.benchmarks.failing.failing_calls import FailingCalls

OUTPUT = "output"  # folder of the files, in the folder that a command runs in
# Values of metrics.json that differ between two runs that nothing happened to: who made
# them, hashes of files that name their run, and what ScaNN finds, which clusters at
# random.
_OF_A_RUN = ("run", "checkpoint", "export", "sha256", "files", "scann_recall_at_100")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Describes what happens to a command.

    Args:
      at: number of the call of writing, from 1; 0 for none.
      error: error of that call, or below 0 a signal instead of it.
      after: seconds from the first written folder to a signal; None for none.
      by: that signal.
    """

    at: int = 0
    error: int = 0
    after: float | None = None
    by: int = signal.SIGKILL


@dataclasses.dataclass(frozen=True)
class Ended:
    """End of a command.

    Args:
      code: exit code; below 0 the negative number of the signal that killed it.
      seconds: seconds of the whole command.
      writing: seconds from its first folder on.
      calls: number of its calls of writing; 0 if it was killed.
      stopping: seconds from the signal of the plan to the end.
      text: what it printed.
    """

    code: int
    seconds: float
    writing: float
    calls: int
    stopping: float
    text: str

    @property
    def last_line(self) -> str:
        """Last line of what it printed."""
        return (self.text.strip().splitlines() or [""])[-1]


def run(
    library: FailingCalls,
    folder: Path,
    arguments: Sequence[str],
    plan: Plan = Plan(),
    *,
    limit: float = 900,
) -> Ended:
    """Runs a command of `tfrs-models` in a process of its own.

    Args:
      library: preloaded library.
      folder: working folder, where the command writes to `output`.
      arguments: name of the command and its flags.
      plan: what happens to it.
      limit: seconds after which it is killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    reading, writing = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if not child:
        os.close(reading)
        _become(library, folder, arguments, plan, log, writing)
    os.close(writing)
    first = stopped = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        now = time.monotonic()
        if first is None and (folder / OUTPUT).exists():
            first = now
        is_due = plan.after is not None and first and now - first >= plan.after
        if is_due and stopped is None:
            stopped = now
            os.kill(child, plan.by)
        if now - start > limit:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    end = time.monotonic()
    with os.fdopen(reading) as pipe:
        calls = int(pipe.read() or 0)
    text = log.read_text(errors="replace")
    return Ended(
        os.waitstatus_to_exitcode(status),
        end - start,
        end - (first or end),
        calls,
        end - (stopped or end),
        text,
    )


def _become(
    library: FailingCalls,
    folder: Path,
    arguments: Sequence[str],
    plan: Plan,
    log: Path,
    pipe: int,
) -> None:
    """Runs the command in a forked process, and ends it."""
    code = 70
    try:
        output = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        library.start(folder / OUTPUT, at=plan.at, error=plan.error)
        code = _code_of(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        library.stop()
        os.write(pipe, str(library.counted()).encode())
    finally:
        os._exit(code)


def _code_of(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit code that Python would give it."""
    try:
        cli.main(arguments)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def content(folder: Path) -> dict[str, str]:
    """Returns what two equal runs have in common: weights and metrics.

    Args:
      folder: output folder.

    Returns:
      Name of a tensor or a metric -> its value, as text.
    """
    found = {}
    metrics = folder / "metrics.json"
    if metrics.exists():
        _add(found, "metrics.json", json.loads(metrics.read_text()))
    newest = {}
    for index in sorted(folder.rglob("*.index")):
        parts = index.relative_to(folder).parts
        if any(part.startswith(".") or part == "current" for part in parts):
            continue
        numbers = tuple(int(part) for part in parts if part.isdecimal())
        label = "/".join(part for part in parts if not part.isdecimal())
        if index.is_symlink() or numbers < newest.get(label, ((), None))[0]:
            continue
        newest[label] = numbers, index
    for label, (_, index) in newest.items():
        reader = tf.train.load_checkpoint(str(index.with_suffix("")))
        for name in reader.get_variable_to_shape_map():
            if name not in ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter"):
                found[f"{label} {name}"] = _digest(reader.get_tensor(name))
    for table in sorted(folder.glob("[!.]*.parquet")):
        found[table.name] = _digest(table.read_bytes())
    found.pop("ranks.parquet", None)  # it has the identity of the run
    return found


def _digest(value: object) -> str:
    """Shortens a tensor or bytes; only equal bits have equal digests."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        value = f"{value.dtype} {value.shape} ".encode() + value.tobytes()
    elif isinstance(value, np.ndarray):
        value = repr(value.tolist()).encode()
    return hashlib.sha256(value).hexdigest()[:12]


def _add(found: dict[str, str], name: str, value: object) -> None:
    if isinstance(value, dict):
        for key, entry in value.items():
            if key not in _OF_A_RUN and "second" not in key:
                _add(found, f"{name} {key}", entry)
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            _add(found, f"{name} {number}", entry)
    else:
        found[name] = json.dumps(value)


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Lists the names whose values differ, with both values."""
    return [
        f"{name}: {one.get(name)} and {other.get(name)}"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]
