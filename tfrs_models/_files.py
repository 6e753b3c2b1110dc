"""Writes files whole or not at all, and finds later changes of JSON objects."""

import contextlib
import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

# Of files and folders that are being written, beside what they become.
UNFINISHED = ".unfinished-"
SEAL = "sha256"


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a file beside `path` to write to, which is renamed when the block ends.

    If the block fails (a full disk, Ctrl-C) or its process is killed, an existing file
    at `path` stays as it is. What killed processes left is removed.

    Args:
      path: final path, in a folder that exists.

    Raises:
      OSError: the disk is full or the folder cannot be written to; it names `path`.
    """
    path = Path(path)
    unfinished = path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}")
    try:
        for leftover in path.parent.glob(f"{UNFINISHED}*-{glob.escape(path.name)}"):
            _remove_if_abandoned(leftover)
        with _locked(unfinished):
            try:
                yield unfinished
                flush(unfinished)  # on the disk before the name is
                os.replace(unfinished, path)
            finally:
                unfinished.unlink(missing_ok=True)
        flush(path.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(unfinished)):
            raise  # of another file
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def digest(path: Path) -> str:
    """Computes the sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: str | os.PathLike) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # folders on Windows
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int) -> bool | None:
    """Returns whether the lock could be taken; None if the system has no locks."""
    try:
        import fcntl  # Windows lacks it
    except ImportError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def sealed(values: Mapping) -> dict:
    """Returns the values of a JSON object and, as `sha256`, their hash.

    Args:
      values: values that JSON holds as they are.
    """
    return {**values, SEAL: _hash(values)}


def is_changed(values: Mapping) -> bool:
    """Returns whether an object with a hash is not as `sealed` made it.

    Args:
      values: object as it was read; one without a hash is not changed.
    """
    return SEAL in values and values[SEAL] != _hash(values)


def _hash(values: Mapping) -> str:
    content = {name: value for name, value in values.items() if name != SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o666)
    if lock(descriptor) is None:
        os.close(descriptor)  # Windows renames no open file
        yield
        return
    try:
        yield
    finally:
        os.close(descriptor)


def _remove_if_abandoned(path: Path) -> None:
    # It was renamed meanwhile, belongs to another user, or nothing can be removed.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if lock(descriptor):
                path.unlink()
        finally:
            os.close(descriptor)
