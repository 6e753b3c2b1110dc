"""What failures cost: killed commands, damaged inputs, failing calls of the system.

python -m pipelines.benchmarks.faults --parts kills inputs calls
"""

import collections
import dataclasses
import json
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import tyro

from pipelines.benchmarks import results
from pipelines.benchmarks.failing.failing_calls import (
    Unavailable,
    compiled,
    python_with,
)
from pipelines.parts.artifacts import prepare_folder, write_text
from pipelines.parts.command import command
from pipelines.parts.flags import Count, CountOrNone, Seed

_INTRODUCTION = """\
Nothing may be lost, done twice or told wrongly when something fails. The processes are
real; a preloaded library (`pipelines/benchmarks/failing/failing_calls.c`) numbers the
system calls of writing below the output folder, and kills the process at one of them or
lets it fail.

Command: `python -m pipelines.benchmarks.faults`"""
_KILLS = """\
Each command runs on small data with one thread, is killed at a random moment (SIGKILL
or SIGTERM) or instead of a random call of writing (SIGKILL), and is started again with
the same flags, `--resume auto` among them. It survives if all weights, states of
optimizers and values of metrics.json equal those of the run that was not killed, bit
for bit; only the identity of the run, seconds and the recall of ScaNN, which clusters
at random, may differ. SIGTERM must end it with code 143 within 10 s."""
_CALLS = """\
Each call of writing fails once, with ENOSPC, EIO or EROFS in turn, or the disk stays
full from it on; of more than {most} calls, {most} at even distances. A failing fsync or
close also loses half of what was added. Nothing is lost if what was there before is
unchanged and readable (or the new one is whole), the command does not go on as if it
had written, and the next run writes the artifact. Some calls may fail without harm,
such as one that tidies up: then the command goes on. Rows of commands are whole
commands with a failing call, whose next run must equal the undisturbed one."""
_INPUTS = """\
Each input is damaged in several ways and given to the commands that read it. It is
clear if the command ends with code 1 or 2 and a message that names the file or its
folder, without a traceback, and leaves all files as they were."""
_PARTS = ("kills", "inputs", "calls")


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    parts: tuple[Literal["kills", "inputs", "calls"], ...] = _PARTS
    """What to measure: kills, inputs, calls."""
    kills: CountOrNone = 10
    """Kills of each training command."""
    faults: CountOrNone = 4
    """Failing calls of each training command."""
    most: Count = 40
    """Largest number of calls of an artifact that fail."""
    every_error: bool = False
    """Let each call fail with each error, not with one of them."""
    commands: tuple[str, ...] = ()
    """Training commands, by name; all by default."""
    artifacts: tuple[str, ...] = ()
    """Artifacts, by name; all by default."""
    inputs: tuple[str, ...] = ()
    """Inputs, by name; all by default."""
    seed: Seed = 1
    """Seed of the moments and the calls."""
    write: bool = True
    """Whether to write the section of RESULTS.md, with the rows of earlier runs in the
    output folder that are not measured now."""
    output: Path = Path("artifacts/faults")
    """Folder of the measured rows."""


SMOKE = Config(
    kills=1,
    faults=1,
    most=2,
    commands=("recommend --all",),
    artifacts=("metrics.json", "checkpoint"),
    inputs=("list of users",),
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Measures and replaces parts of the section `faults`.

    Returns:
      Part and count -> number; empty where system calls cannot be made to fail.
    """
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        try:
            library = compiled(folder)
        except Unavailable as error:
            print(f"Skipped: {error}.")
            return {}
        measured = {
            "kills": lambda: _measured(
                *(library, folder, "kills", config.commands),
                *("--kills", config.kills, "--faults", config.faults),
                *("--seed", config.seed),
            ),
            "inputs": lambda: _measured(library, folder, "inputs", config.inputs),
            "calls": lambda: _measured(
                *(library, folder, "writers", config.artifacts),
                *("--most", config.most),
                *(["--every-error"] if config.every_error else []),
            ),
        }
        found = {}
        for part in config.parts:
            found |= measured[part]()
    figures = {
        f"{part} {what}": float(count)
        for part, tries in found.items()
        if isinstance(tries, list)
        for what, count in {
            "tried": len(tries),
            "survived": sum(not one["problem"] for one in tries),
        }.items()
    }
    if config.write:
        found = _with_earlier(found, prepare_folder(config.output) / "rows.json")
    for heading, body in _tables(found, config.most).items():
        print(f"\n{heading}\n\n{body}", flush=True)
        if config.write:
            results.write_part("faults", _INTRODUCTION, heading, body)
    return figures


def _tables(found: dict, most: int) -> dict[str, str]:
    """Returns heading -> text of the parts that are measured."""
    tables = {}
    if found.get("kills"):
        tables["Killed commands"] = f"{_KILLS}\n\n{kill_table(found)}"
    if found.get("inputs"):
        tables["Damaged inputs"] = f"{_INPUTS}\n\n{input_table(found)}"
    if found.get("tried"):
        lead = _CALLS.format(most=most)
        tables["Failing calls"] = f"{lead}\n\n{call_table(found)}"
    return tables


def _with_earlier(found: dict, path: Path) -> dict:
    """Adds rows of earlier runs that were not measured now, and stores all."""
    keys = {"kills": "command", "faults": "command", "inputs": "input"}
    keys |= {"tried": "artifact"}
    earlier = json.loads(path.read_text()) if path.exists() else {}
    joined = {}
    for part in earlier.keys() | found.keys():
        old, new = earlier.get(part, []), found.get(part, [])
        if part in keys:
            measured = {one[keys[part]] for one in new}
            joined[part] = [o for o in old if o[keys[part]] not in measured] + new
        else:
            joined[part] = {**(old or {}), **(new or {})}
    write_text(path, json.dumps(joined))
    return joined


def _measured(
    library: Path, folder: Path, part: str, names: Sequence[str], *flags: object
) -> dict:
    """Runs a part in a process with the library and returns what it found."""
    target = folder / f"{part}.json"
    arguments = ["--results", target, "--folder", folder, *flags]
    arguments += ["--names", *names] if names else []
    line, environment = python_with(
        library, f"pipelines.benchmarks.failing.{part}", *map(str, arguments)
    )
    done = subprocess.run(line, env=environment, check=False)
    if not target.exists():
        raise SystemExit(f"The part {part} ended with exit code {done.returncode}.")
    return json.loads(target.read_text())  # also of a process that was ended early


def kill_table(found: dict) -> str:
    """Formats kills tried and survived of each command.

    Args:
      found: results of `failing.kills`.
    """
    rows = []
    for name, tries in _by(found["kills"], "command"):
        whole = found["whole"].get(name, {"calls": 0, "compared": 0})
        survived = sum(not one["problem"] for one in tries)
        kinds = collections.Counter(one["what"].partition(" ")[0] for one in tries)
        by = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        row = [f"`{name}`", whole["calls"], whole["compared"], by, len(tries), survived]
        rows.append(row)
    rows.append(_total(rows, from_column=4))
    header = [
        *("command", "calls of writing", "values compared", "killed by"),
        *("kill points tried", "survived"),
    ]
    lines = [
        f"- `{one['command']}`, {one['what']}: {_plain(one['problem'])}"
        for one in found["kills"]
        if one["problem"]
    ]
    return _with_problems(results.table(header, rows), lines)


def call_table(found: dict) -> str:
    """Formats failing calls tried, and those after which nothing was lost.

    Args:
      found: results of `failing.writers`, and `faults` of `failing.kills`.
    """
    rows, lines = [], []
    for name, tries in _by(found["tried"], "artifact"):
        kept = sum(not one["problem"] for one in tries)
        endings = collections.Counter(one["ending"].partition(":")[0] for one in tries)
        calls = len(found["calls"][name])
        row = [name, calls, len(tries), kept, endings["one line"], endings["went on"]]
        rows.append([*row, len(tries) - endings["one line"] - endings["went on"]])
        lines += [
            f"- {name}, {one['error']} of {one['call']}: {_plain(one['problem'])}"
            for one in tries
            if one["problem"]
        ]
    for name, tries in _by(found.get("faults", []), "command"):
        kept = sum(not one["problem"] for one in tries)
        ends = [one["ending"].partition(" ")[0] for one in tries]
        told = sum("traceback" in one["problem"] for one in tries)
        row = [f"`{name}`", "", len(tries), kept, ends.count("1") - told]
        rows.append([*row, ends.count("0"), told])
        lines += [
            f"- `{name}`, {one['what']}: {_plain(one['problem'])}"
            for one in tries
            if one["problem"]
        ]
    rows.append(_total(rows, from_column=2))
    header = [
        *("artifact", "calls of writing", "faults", "nothing lost"),
        *("one line", "went on", "no line"),
    ]
    return _with_problems(results.table(header, rows), lines)


def input_table(found: dict) -> str:
    """Formats damaged inputs tried and clear.

    Args:
      found: results of `failing.inputs`.
    """
    rows = []
    for name, tries in _by(found["inputs"], "input"):
        commands = dict.fromkeys(one["command"] for one in tries)
        clear = sum(not one["problem"] for one in tries)
        row = [name, ", ".join(f"`{c}`" for c in commands), len(tries), clear]
        rows.append(row)
    rows.append(_total(rows, from_column=2))
    header = ["input", "commands", "damages tried", "clear"]
    lines = [
        f"- {one['input']}, {one['damage']}, `{one['command']}`: "
        f"{_plain(one['problem'])}"
        for one in found["inputs"]
        if one["problem"]
    ]
    return _with_problems(results.table(header, rows), lines)


def _by(tries: Iterable[dict], key: str) -> list[tuple[str, list[dict]]]:
    """Groups tries by a value, in the order of its first appearance."""
    groups = collections.defaultdict(list)
    for one in tries:
        groups[one[key]].append(one)
    return list(groups.items())


def _total(rows: Sequence[list], *, from_column: int) -> list:
    columns = list(zip(*rows, strict=True))[from_column:]
    sums = [sum(column) for column in columns]
    return ["all", *[""] * (from_column - 1), *sums]


def _plain(problem: str) -> str:
    """Shortens a problem to one line without names of temporary folders."""
    words = [
        f".../{word.rsplit('/', 1)[-1]}" if word.startswith("/tmp") else word
        for word in " ".join(problem.split()).replace("|", "/").split(" ")
    ]
    return " ".join(words)[:200]


def _with_problems(table: str, lines: Sequence[str]) -> str:
    unique = list(dict.fromkeys(lines))[:12]
    if not unique:
        return table
    return f"{table}\n\nNot so ({len(lines)}):\n\n" + "\n".join(unique)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
