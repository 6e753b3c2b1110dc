"""Start and end of every command: checks of flags, one line for errors and signals."""

import contextlib
import functools
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tensorflow as tf
import tyro

from . import flags
from .endings import ending
from .log_lines import without_log_lines

STATES = "training"  # folder of the states of trainings, in the output folder
_NAMED = 4  # most files that the last line names
# Messages of TensorFlow on files that the system refuses.
_OF_FILE = re.compile(
    r"(?P<path>/[^;{}\n]*); (?P<why>No space left on device|Read-only file system|"
    r"Permission denied|Disk quota exceeded|Input/output error|Is a directory|"
    r"No such file or directory)"
)


def command(main: Callable) -> Callable:
    """Wraps the `main` of a command.

    Invalid flags end the program with code 2 before any work. Ctrl-C ends it with 130
    and SIGTERM with 143, and a line that names the files that were written; a full
    disk, a file that cannot be read or written, and too little memory end it with 1
    and a line. Log lines of C++ code are not shown.

    Args:
      main: function of the flags.
    """

    @functools.wraps(main)
    def run(config: object, **options: object) -> object:
        if problem := flags.first_problem(config):
            raise ending(problem, 2)
        with without_log_lines(), _stopped_in_a_line(config), _told_in_a_line():
            return main(config, **options)

    return run


def start(
    main: Callable,
    kind: type,
    description: str,
    *,
    program: str | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Parses flags, runs a command with them and ends the program.

    The exit code is the attribute `exit_code` of what the command returns, or 0.

    Args:
      main: function of the flags.
      kind: class `Config` of the flags.
      description: text of the help page.
      program: what users type before the flags; by default how this program started.
      arguments: flags, by default those that the user typed.
    """
    if program is None:
        module = sys.modules["__main__"].__spec__.name.removesuffix(".__main__")
        program = f"python -m {module}"
    try:
        config = tyro.cli(kind, description=description, prog=program, args=arguments)
    except BrokenPipeError:  # the reader of a help page, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(getattr(main(config), "exit_code", 0))


class _Terminated(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C."""


@contextlib.contextmanager
def _stopped_in_a_line(config: object) -> Iterator[None]:
    output = getattr(config, "output", None)
    before = _written(output)

    def terminate(*_: object) -> None:
        raise _Terminated

    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGTERM, terminate) if is_main else None
    try:
        yield
    except KeyboardInterrupt as stop:
        is_term = isinstance(stop, _Terminated)
        by = "SIGTERM" if is_term else "Ctrl-C"
        line = f"\nStopped by {by}. {_kept(config, before)}"
        raise ending(line, 143 if is_term else 130) from None
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)


@contextlib.contextmanager
def _told_in_a_line() -> Iterator[None]:
    try:
        yield
    except (MemoryError, tf.errors.OpError) as error:
        if found := _OF_FILE.search(str(error)):
            raise SystemExit(
                f"Cannot go on: {found['why']}: {found['path']}."
            ) from error
        if not isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
            raise
        text = str(error).splitlines()[0] if str(error) else "nothing is left"
        raise SystemExit(
            f"Not enough memory or disk: {text}. Take smaller sizes, or free some."
        ) from error
    except OSError as error:
        if error.errno is None:
            raise
        what = f"{error.strerror}: {error.filename}"
        raise SystemExit(f"Cannot go on: {what}.") from error


def _written(folder: Path | None) -> dict[Path, int]:
    """Returns file -> time of its last change, without hidden, unfinished files."""
    if folder is None:
        return {}
    found = {}
    for path in folder.rglob("*"):
        is_hidden = any(p.startswith(".") for p in path.relative_to(folder).parts)
        if not is_hidden and path.is_file():
            found[path] = path.stat().st_mtime_ns
    return found


def _kept(config: object, before: dict[Path, int]) -> str:
    """Message on the files that a stopped run wrote, and on how to resume it."""
    if hasattr(config, "kept"):
        return config.kept()
    output = getattr(config, "output", None)
    written = [
        path for path, time in _written(output).items() if time != before.get(path)
    ]
    names = sorted({path.relative_to(output).parts[0] for path in written})
    has_state = any(
        STATES in path.parts and path.name == "about.json" for path in written
    )
    goes_on = ""
    if has_state or getattr(config, "resume", False):
        goes_on = " With the same flags, --resume goes on with the training."
    if not names:
        return f"Nothing of this run was kept.{goes_on}"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    line = f"Kept of this run in {output}: {', '.join(names[:_NAMED])}{more}."
    line += goes_on
    if "checkpoint" in names and getattr(config, "evaluates_checkpoints", False):
        line += " --resume --epochs 0 evaluates and exports the best epoch so far."
    return line
