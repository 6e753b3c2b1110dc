"""Writes artifacts while one system call of writing fails, in a process of its own."""

import contextlib
import dataclasses
import errno
import io
import json
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import tyro

from pipelines.benchmarks.failing.artifacts import ARTIFACTS, Artifact, digests
from pipelines.benchmarks.failing.failing_calls import GROWING, FailingCalls
from pipelines.parts.command import command
from pipelines.parts.flags import Count

ERRORS = ("ENOSPC", "EIO", "EROFS")
LASTING = "a full disk"
_OLD, _NEW = 1, 2


@dataclasses.dataclass(frozen=True)
class Tried:
    """A fault and what became of it.

    Args:
      artifact: name of the artifact.
      call: kind, function and path of the call that failed.
      error: name of the error.
      ending: "went on", "one line", or the last line of a traceback.
      line: message of the command.
      problem: what was lost, "" for nothing.
      left: files that stay behind after another run, beside those of the artifact.
    """

    artifact: str
    call: str
    error: str
    ending: str
    line: str
    problem: str
    left: list[str]


@dataclasses.dataclass(frozen=True)
class _NoFlags:
    """Flags of a command that only calls a function."""


@command
def _main(config: _NoFlags, *, run: Callable[[], object]) -> None:
    del config
    run()


def ending_of(run: Callable[[], object]) -> tuple[str, str]:
    """Runs a function as a command; returns how it ended and its message."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            _main(_NoFlags(), run=run)
    except SystemExit as stop:
        line = str(stop).strip()
        return "one line" if "\n" not in line else "several lines", line
    except Exception as error:
        text = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
        return f"traceback: {text}"[:200], text
    return "went on", ""


def calls_of(artifact: Artifact, calls: FailingCalls, folder: Path) -> list:
    """Lists the system calls that write edition 2 over edition 1."""
    calls.start(folder)
    artifact.write(folder, _NEW)
    calls.stop()
    return calls.journal()


def tried(
    artifact: Artifact, calls: FailingCalls, old: Path, at: int, error: str, call: str
) -> Tried:
    """Writes edition 2 while a call fails, and then once more.

    Args:
      artifact: artifact.
      calls: library.
      old: folder with edition 1.
      at: number of the call.
      error: name of an error, or `LASTING`.
      call: description of the call.
    """
    with tempfile.TemporaryDirectory(dir=old.parent) as name:
        folder = Path(name) / "output"
        shutil.copytree(old, folder, symlinks=True)
        before = digests(folder)
        calls.start(
            folder,
            at=at,
            error=errno.ENOSPC if error == LASTING else getattr(errno, error),
            lasting=error == LASTING,
            **({"kinds": GROWING} if error == LASTING else {}),
        )
        ending, line = ending_of(lambda: artifact.write(folder, _NEW))
        calls.stop()
        problem = _lost(artifact, folder, before, ending)
        if not problem:
            again, why = ending_of(lambda: artifact.write(folder, _NEW))
            if again != "went on":
                problem = f"the next run: {again}: {why}"
            elif (found := _edition(artifact, folder)) != _NEW:
                problem = f"after the next run: {found}"
        left = [
            path.relative_to(folder).as_posix()
            for path in sorted(folder.rglob("*"))
            if path.name.startswith(".") or path.suffix == ".parts"
        ]
    return Tried(artifact.name, call, error, ending, line, problem, left)


def _edition(artifact: Artifact, folder: Path) -> int | str:
    try:
        return artifact.read(folder)
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {str(error)[:300]}"


def _lost(artifact: Artifact, folder: Path, before: dict, ending: str) -> str:
    found = _edition(artifact, folder)
    if ending == "went on" and found != _NEW:
        return f"it went on without an error and left {found}"
    if found == _NEW:
        return ""
    if found != (_OLD if artifact.has_old else 0):
        return f"it left {found}"
    if artifact.grows:
        return ""
    now = digests(folder)
    changed = [path for path, digest in before.items() if now.get(path) != digest]
    return f"the old {', '.join(changed)} changed" if changed else ""


def _spread(number: int, most: int) -> list[int]:
    """Returns numbers from 1, all or `most` of them at even distances."""
    if number <= most:
        return list(range(1, number + 1))
    return sorted({1 + round(n * (number - 1) / (most - 1)) for n in range(most)})


def measure(
    folder: Path, results: Path, *, names: Sequence[str], most: int, every_error: bool
) -> dict:
    """Tries failing calls of artifacts.

    Args:
      folder: folder for the artifacts.
      results: file that is written after each artifact.
      names: artifacts, by name; none for all.
      most: largest number of calls of an artifact that fail.
      every_error: whether each call fails with each error, not with one of them.

    Returns:
      `calls`: name of an artifact -> its calls; `tried`: list of `Tried` as dicts.
    """
    library = FailingCalls.preloaded()
    found = {"calls": {}, "tried": []}
    for artifact in ARTIFACTS:
        if names and artifact.name not in names:
            continue
        old = Path(tempfile.mkdtemp(dir=folder)) / "old"
        old.mkdir()
        if artifact.has_old:
            artifact.write(old, _OLD)
        whole = old.with_name("whole")
        shutil.copytree(old, whole, symlinks=True)
        journal = calls_of(artifact, library, whole)
        found["calls"][artifact.name] = [
            [call.kind, call.function, call.path.removeprefix(f"{whole}/")]
            for call in journal
        ]
        growing = [call for call in journal if call.kind in GROWING]
        plans = [
            (at, error, journal[at - 1])
            for at in _spread(len(journal), most)
            for error in (ERRORS if every_error else [ERRORS[at % len(ERRORS)]])
        ]
        plans += [
            (at, LASTING, growing[at - 1]) for at in _spread(len(growing), most // 4)
        ]
        start = time.monotonic()
        for at, error, call in plans:
            named = f"{call.function} {Path(call.path).name}"
            one = tried(artifact, library, old, at, error, named)
            found["tried"].append(dataclasses.asdict(one))
        seconds = time.monotonic() - start
        print(f"{artifact.name}: {len(plans)} faults in {seconds:.0f} s", flush=True)
        results.write_text(json.dumps(found))
    return found


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the process."""

    results: Path
    """File for the results."""
    folder: Path
    """Folder for the artifacts."""
    names: tuple[str, ...] = ()
    """Artifacts, by name; all by default."""
    most: Count = 1000
    """Largest number of calls of an artifact that fail."""
    every_error: bool = False
    """Let each call fail with each error, not with one of them."""


@command
def main(config: Config) -> dict:
    """Tries failing calls, writes what became of them, and returns it."""
    with tempfile.TemporaryDirectory(dir=config.folder) as name:
        folder = Path(name).resolve()
        return measure(
            folder,
            config.results,
            names=config.names,
            most=config.most,
            every_error=config.every_error,
        )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
