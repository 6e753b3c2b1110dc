"""Gives damaged inputs to the commands that read them, in a process of its own.

It needs the library of `failing_calls`, and starts no part of TensorFlow itself.
"""

import dataclasses
import gzip
import importlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from pipelines import cli
from pipelines.benchmarks.failing.artifacts import digests
from pipelines.benchmarks.failing.commands import OUTPUT, Ended, run
from pipelines.benchmarks.failing.failing_calls import FailingCalls
from pipelines.benchmarks.failing.kills import PIPELINES, TABLE, write_table

_START = "start"  # a finished run of retrieval
_EXPORT = f"{_START}/export/1"


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _random(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(2000))


def _edit(path: Path) -> None:
    """Changes a number of a JSON file, which stays JSON."""
    text = path.read_text()
    at = next(n for n in range(len(text) // 2, len(text)) if text[n] in "12345678")
    path.write_text(f"{text[:at]}{int(text[at]) + 1}{text[at + 1 :]}")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut off": _cut,
    "a flipped byte": _flip,
    "empty": _empty,
    "other content": _random,
    "missing": Path.unlink,
    "edited": _edit,
}
_ALL = ("cut off", "a flipped byte", "empty", "other content", "missing")
# A reader cannot know that a text file, or a value of a table, was another one.
_OF_A_TABLE = ("cut off", "empty", "other content", "missing")
_OF_A_TEXT = ("empty", "other content", "missing")


@dataclasses.dataclass(frozen=True)
class Input:
    """A file and the commands that read it.

    Args:
      name: name in the table.
      path: path of the file, relative to the folder of all inputs; `*` for a number.
      damages: names of `DAMAGES`.
      commands: arguments of each command.
    """

    name: str
    path: str
    damages: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


def _training(path: str) -> tuple[tuple[str, ...], ...]:
    small = ("--embedding-dim", "4", "--epochs", "1")
    return tuple(
        (command, "--dataset", f"../{path}", *small)
        for command in ("retrieval", "ranking")
    )


_SESSIONS = "../sessions.jsonl"
_ASK = ("recommend", "--user", "u1", "--model", f"../{_START}/export")
_OF_EXPORT = (
    _ASK,
    ("explore", "--model", f"../{_START}/export", "--port", "0"),
    ("gate", "--old", f"../{_EXPORT}", "--new", f"../{_EXPORT}"),
)
_RESUME = ("retrieval", *PIPELINES["retrieval"], "--resume")
_OF_CHECKPOINT = (
    ("clickstream", *PIPELINES["clickstream"]),
    ("serve", "--retrieval", f"../{_START}"),
    (*_RESUME[: _RESUME.index("--epochs")], "--epochs", "0", "--resume"),
)
INPUTS = (
    Input("Parquet table", "b.parquet", _OF_A_TABLE, _training("b.parquet")),
    Input("gzip table", "c.csv.gz", _ALL, _training("c.csv.gz")),
    Input("CSV table", TABLE, _OF_A_TEXT, _training(TABLE)),
    Input("SavedModel", f"{_EXPORT}/saved_model.pb", _ALL, _OF_EXPORT),
    Input(
        "SavedModel",
        f"{_EXPORT}/variables/variables.data-00000-of-00001",
        ("cut off", "a flipped byte", "missing"),
        _OF_EXPORT,
    ),
    Input(
        "SavedModel",
        f"{_EXPORT}/variables/variables.index",
        ("cut off", "a flipped byte", "missing"),
        _OF_EXPORT,
    ),
    Input(
        "contract",
        f"{_EXPORT}/assets.extra/contract.json",
        ("cut off", "empty", "other content", "edited"),
        _OF_EXPORT,
    ),
    Input(
        "checkpoint",
        f"{_START}/checkpoint/*/weights.data-00000-of-00001",
        ("cut off", "a flipped byte", "missing"),
        _OF_CHECKPOINT,
    ),
    Input(
        "checkpoint",
        f"{_START}/checkpoint/*/about.json",
        ("cut off", "empty", "missing", "edited"),
        _OF_CHECKPOINT,
    ),
    Input(
        "metrics.json",
        f"{_START}/metrics.json",
        ("cut off", "empty", "other content", "edited"),
        _OF_CHECKPOINT[:2],
    ),
    Input(
        "training state",
        f"{_START}/training/*/state.data-00000-of-00001",
        ("cut off", "a flipped byte", "missing"),
        (_RESUME,),
    ),
    Input(
        "training state",
        f"{_START}/training/*/arrays.npz",
        ("cut off", "a flipped byte", "missing"),
        (_RESUME,),
    ),
    Input(
        "training state",
        f"{_START}/training/*/about.json",
        ("cut off", "empty", "missing", "edited"),
        (_RESUME,),
    ),
    Input(
        "ranks.parquet",
        f"{_START}/ranks.parquet",
        ("cut off", "empty", "other content"),  # without it, nothing is compared by it
        (("compare", f"../{_START}", f"../{_START}"),),
    ),
    Input(
        "list of users",
        "users.txt",
        ("empty", "other content", "missing"),
        ((*_ASK[:1], *_ASK[3:], "--users", "../users.txt"),),
    ),
    Input(
        "sessions, JSON Lines",
        "sessions.jsonl",
        ("empty", "other content", "missing"),  # a line that is cut off is counted
        (("clickstream", *PIPELINES["clickstream"], "--sessions", _SESSIONS),),
    ),
    Input(
        "check-ins",
        "check_ins.txt",
        ("empty", "other content", "missing"),
        (("automtn", "--data", "../check_ins.txt"),),
    ),
    Input(
        "trials.db",
        "trials/output/trials.db",
        ("cut off", "other content"),
        (("retrieval", *PIPELINES["retrieval"], "--trials", "2"),),
    ),
)


@dataclasses.dataclass(frozen=True)
class Tried:
    """A damaged input and how a command ended.

    Args:
      input: name of the input.
      damage: damage and name of the file.
      command: name of the command.
      problem: what is not clear, "" for nothing.
      line: last line of the command.
    """

    input: str
    damage: str
    command: str
    problem: str
    line: str


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the process."""

    results: Path
    """File for the results."""
    folder: Path
    """Folder for the inputs."""
    names: tuple[str, ...] = ()
    """Inputs, by name; all by default."""


def main(config: Config) -> dict:
    """Gives damaged inputs to commands, writes what became of them, and returns it."""
    library = FailingCalls.preloaded()
    found = {"inputs": []}
    wanted = [one for one in INPUTS if one.name in config.names or not config.names]
    used = {arguments[0] for one in wanted for arguments in one.commands}
    for command in cli.COMMANDS:  # once, before anything is forked
        if command.name in {*used, "retrieval"}:
            importlib.import_module(f"pipelines.{command.module}")
    with tempfile.TemporaryDirectory(dir=config.folder) as name:
        folder = Path(name).resolve()
        _write_inputs(library, folder)
        for one in wanted:
            for damage in one.damages:
                for arguments in one.commands:
                    tried = _tried(library, folder, one, damage, arguments)
                    found["inputs"].append(dataclasses.asdict(tried))
                    said = tried.problem or "clear"
                    print(
                        f"{tried.input}, {tried.damage}, {tried.command}: {said}: "
                        f"{tried.line}",
                        flush=True,
                    )
                    config.results.write_text(json.dumps(found))
    return found


def _write_inputs(library: FailingCalls, folder: Path) -> None:
    write_table(folder / TABLE)
    frame = pd.read_csv(folder / TABLE)
    frame.to_parquet(folder / "b.parquet")
    (folder / "c.csv.gz").write_bytes(gzip.compress((folder / TABLE).read_bytes()))
    (folder / "users.txt").write_text("u1\nu2\n")
    lines = [
        f"{user}\tp{n}\tc\tCafe\t40.7\t-74.0\t-240\tTue Apr 03 1{n}:00:09 +0000 2012"
        for user in range(5)
        for n in range(9)
    ]
    (folder / "check_ins.txt").write_text("\n".join(lines))
    session = {"user_id": "u1", "timestamp": 1_600_100_000, "query": "i1"}
    (folder / "sessions.jsonl").write_text(f"{json.dumps(session)}\n" * 20)
    (folder / "trials" / OUTPUT).mkdir(parents=True)
    (folder / "trials" / OUTPUT / "trials.db").write_bytes(b"SQLite format 3\0" * 200)
    arguments = ["retrieval", *PIPELINES["retrieval"], "--output", OUTPUT]
    start = run(library, folder / "start_run", arguments)
    if start.code:
        raise SystemExit(start.text)
    shutil.move(folder / "start_run" / OUTPUT, folder / _START)


def _tried(
    library: FailingCalls,
    folder: Path,
    one: Input,
    damage: str,
    arguments: Sequence[str],
) -> Tried:
    """Damages a file, runs a command in an own copy of the inputs, and judges it."""
    place = folder / "copy"
    shutil.copytree(folder, place, symlinks=True, ignore=shutil.ignore_patterns("copy"))
    path = max(place.glob(one.path), key=_number)
    DAMAGES[damage](path)
    command, *flags = arguments
    working = "work"
    if command not in ("explore", "gate", "compare"):
        output = OUTPUT
        if command == "recommend":
            output = f"{OUTPUT}/all.parquet" if "--users" in flags else None
        if "--resume" in flags:  # of the run itself
            output = f"../{_START}"
        if "--trials" in flags:
            working = "trials"
        flags += ["--output", output] if output else []
    before = digests(place)
    ended = run(library, place / working, [command, *flags], limit=60)
    after = digests(place)
    changed = [
        name
        for name, digest in before.items()
        if after.get(name) != digest and not name.startswith("start/logs/")
    ]
    problem = _unclear(ended, path)
    if not problem and changed:
        problem = f"{', '.join(changed[:3])} changed"
    shutil.rmtree(place)
    name = f"{damage}: {path.name}"
    return Tried(one.name, name, command, problem, ended.last_line[:300])


def _number(path: Path) -> list[int]:
    return [int(part) for part in path.parts if part.isdecimal()]


def _unclear(ended: Ended, path: Path) -> str:
    """Returns what is not clear about the end of a command, "" for nothing."""
    if "Traceback (most recent call last)" in ended.text:
        return f"a traceback: {ended.last_line}"
    if ended.code not in (1, 2):
        return f"exit code {ended.code}: {ended.last_line}"
    said = "\n".join(ended.text.strip().splitlines()[-3:])
    if path.name not in said and not ("export" in path.parts and _EXPORT in said):
        return f"no file is named: {ended.last_line}"
    return ""


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
