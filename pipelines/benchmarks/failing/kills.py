"""Kills training pipelines at random moments, and starts them again, in a process.

It needs the library of `failing_calls`, and starts no part of TensorFlow itself.
"""

import dataclasses
import errno
import importlib
import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from pipelines import cli
from pipelines.benchmarks.failing.commands import (
    OUTPUT,
    Ended,
    Plan,
    content,
    differences,
    run,
)
from pipelines.benchmarks.failing.failing_calls import FailingCalls
from pipelines.parts.flags import CountOrNone, Seed

TABLE = "a.csv"
_SMALL = ("--embedding-dim", "4", "--seed", "7")
_TABLE = ("--dataset", f"../{TABLE}")
# Command -> flags of a small run; each has the flag --output.
PIPELINES = {
    "retrieval": (
        *_TABLE,
        *_SMALL,
        *("--query-tower", "id", "--batch-size", "64", "--epochs", "4"),
        *("--baselines", "none"),
    ),
    "ranking": (
        *_TABLE,
        *_SMALL,
        *("--num-cohorts", "4", "--num-hashes", "8", "--epochs", "4", "--seeds", "1"),
        *("--batch-size", "64"),
    ),
    "joint-ranking": (
        *_SMALL,
        *("--losses", "pairwise logistic", "--epochs", "2", "--seeds", "1"),
    ),
    "clickstream": (
        *("--retrieval", "../start", "--sessions-per-user", "1", "--epochs", "3"),
    ),
    "automtn": (*_SMALL, "--users", "6", "--epochs", "3", "--no-ablations"),
    "unisar": (
        *_SMALL,
        *("--users", "30", "--length", "8", "--width", "8", "--num-random", "8"),
        *("--epochs", "3", "--no-ablation", "--corpus-rows", "0"),
    ),
    "recommend --all": ("--all", "--model", "../start/export", "--batch-size", "5"),
}
_STOPS_WITHIN = 10.0  # seconds after SIGTERM
_STARTS = ("clickstream", "recommend --all")  # with a model of retrieval


@dataclasses.dataclass(frozen=True)
class Tried:
    """A kill or a failing call, and what became of the command.

    Args:
      command: name of the command.
      what: what happened to it.
      problem: what was lost or falsified, "" for nothing.
      ending: exit code and last line after what happened.
    """

    command: str
    what: str
    problem: str
    ending: str


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the process."""

    results: Path
    """File for the results."""
    folder: Path
    """Folder for the runs."""
    names: tuple[str, ...] = ()
    """Commands; all by default."""
    kills: CountOrNone = 10
    """Kills of each command."""
    faults: CountOrNone = 4
    """Failing calls of each command."""
    seed: Seed = 1
    """Seed of the moments."""


def main(config: Config) -> dict:
    """Kills commands, writes what became of them, and returns it."""
    library = FailingCalls.preloaded()
    found = {"kills": [], "faults": [], "whole": {}}
    for command in cli.COMMANDS:  # once, before anything is forked
        if command.name in ("recommend", *PIPELINES):
            importlib.import_module(f"pipelines.{command.module}")
    with tempfile.TemporaryDirectory(dir=config.folder) as name:
        folder = Path(name).resolve()
        write_table(folder / TABLE)
        names = [n for n in PIPELINES if n in config.names or not config.names]
        if any(name in _STARTS for name in names):
            start = run(library, folder / "start_run", _arguments("retrieval"))
            if start.code:
                raise SystemExit(start.text)
            shutil.move(folder / "start_run" / OUTPUT, folder / "start")
        for name in names:
            tries = _tries(library, folder, name, config, found["whole"])
            for kind, one in tries:
                found[kind].append(dataclasses.asdict(one))
                said = one.problem or "survived"
                print(f"{name}: {one.what}: {one.ending}: {said}", flush=True)
                config.results.write_text(json.dumps(found))
    config.results.write_text(json.dumps(found))
    return found


def write_table(path: Path) -> None:
    """Writes a small table of interactions."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{u}", f"i{i}", float(rng.integers(1, 6)), 1_600_000_000 + u * 1000 + n)
        for u in range(40)
        for n, i in enumerate(rng.choice(30, 12, replace=False))
    ]
    names = ["user_id", "item_id", "rating", "timestamp"]
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)


def _arguments(name: str) -> list[str]:
    command = name.partition(" ")[0]
    module = importlib.import_module(f"pipelines.{command.replace('-', '_')}")
    output = f"{OUTPUT}/all.parquet" if command == "recommend" else OUTPUT
    resume = ["--resume", "auto"] if hasattr(module.Config, "resume") else []
    return [command, *PIPELINES[name], "--output", output, *resume]


def _tries(
    library: FailingCalls, folder: Path, name: str, config: Config, whole: dict
) -> Iterator[tuple[str, Tried]]:
    """Yields what became of a command after each kill and each failing call."""
    arguments = _arguments(name)
    reference = run(library, folder / "reference", arguments)
    if reference.code:
        yield "kills", Tried(name, "nothing", reference.text[-500:], "no reference")
        return
    expected = content(folder / "reference" / OUTPUT)
    whole[name] = {
        "seconds": reference.seconds,
        "calls": reference.calls,
        "compared": len(expected),
    }
    shutil.rmtree(folder / "reference")
    rng = np.random.default_rng([config.seed, *name.encode()])
    for number in range(config.kills + config.faults):
        kind = "kills" if number < config.kills else "faults"
        while True:
            plan, what = _plan(rng, number, kind, reference)
            place = folder / "tried"
            first = run(library, place, arguments, plan)
            if kind == "faults" or first.code:
                break
            shutil.rmtree(place)  # it ended before it was killed
        problem = _wrong_end(plan, first, kind)
        again = run(library, place, arguments)
        if not problem and again.code:
            problem = f"started again: exit code {again.code}: {again.last_line}"
        if not problem:
            found = differences(expected, content(place / OUTPUT))
            if found:
                problem = f"{len(found)} values differ: {'; '.join(found[:3])}"[:300]
        yield kind, Tried(name, what, problem, f"{first.code} {first.last_line[:300]}")
        shutil.rmtree(place)


def _plan(
    rng: np.random.Generator, number: int, kind: str, reference: Ended
) -> tuple[Plan, str]:
    """Draws a call of writing or a moment."""
    at = int(rng.integers(1, reference.calls + 1))
    if kind == "faults":
        name = ("ENOSPC", "EIO", "EROFS")[number % 3]
        return Plan(at=at, error=getattr(errno, name)), f"{name} at call {at}"
    if number % 2:
        return Plan(at=at, error=-signal.SIGKILL), f"SIGKILL at call {at}"
    after = float(rng.uniform(0, 0.95)) * reference.writing
    by = signal.SIGKILL if number % 4 else signal.SIGTERM
    return Plan(after=after, by=by), f"{by.name} after {after:.1f} s"


def _wrong_end(plan: Plan, ended: Ended, kind: str) -> str:
    """Returns what is wrong with the end of a killed command."""
    if "Traceback (most recent call last)" in ended.text:
        return f"a traceback: {ended.last_line}"
    is_terminated = plan.after is not None and plan.by == signal.SIGTERM
    if is_terminated and (ended.code != 143 or ended.stopping > _STOPS_WITHIN):
        return f"exit code {ended.code} {ended.stopping:.1f} s after SIGTERM"
    if kind == "faults" and ended.code not in (0, 1):
        return f"exit code {ended.code}: {ended.last_line}"
    return ""


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
