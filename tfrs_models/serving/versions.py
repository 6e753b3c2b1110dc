"""The numbered folders that a server polls, and how a new one comes to be."""

import contextlib
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

_LAST = 2**63 - 1  # a server reads numbers as int64
# No number, so no server takes it for a version; beside them, so a rename is atomic.
UNFINISHED = ".unfinished-"


def list_versions(directory: str | os.PathLike) -> list[int]:
    """The numbers of the complete versions, ascending.

    As a server reads the names of the folders: `00000123` is 123, and what is beyond
    int64 is no version.
    """
    return list(version_folders(directory))


def version_folders(directory: str | os.PathLike) -> dict[int, Path]:
    """Number -> folder of the complete versions, ascending."""
    return {
        number: complete[0]
        for number, folders in _numbered(local_path("directory", directory)).items()
        if (complete := [f for f in folders if (f / "saved_model.pb").is_file()])
    }


def number_of(name: str) -> int | None:
    """The version that a server takes a folder for by its name; None for none."""
    digits = name.strip(" \t\n\v\f\r")
    if not (digits.isascii() and digits.isdecimal()):
        return None
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < 20 and int(digits) <= _LAST else None


@contextlib.contextmanager
def unfinished_version(directory: Path) -> Iterator[Path]:
    """A folder to write a version into; it is gone when the block ends.

    It is locked while its process lives, and the kernel opens the lock of a process
    that is killed: what such processes left is removed here, what others are still
    writing is not.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _next_number(directory)  # where there is none, nothing needs to be written
    for leftover in directory.glob(f"{UNFINISHED}*"):
        _remove_if_abandoned(leftover)
    folder, lock = _locked_folder(directory)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def publish(folder: Path, directory: Path) -> Path:
    """Gives a finished folder the next number, in one step that is seen or is not.

    Everything is on the disk before the name is: after a power cut there is a whole
    version or none.
    """
    os.chmod(folder, 0o755)
    for root, _, names in os.walk(folder):
        for path in (root, *(os.path.join(root, name) for name in names)):
            _flush(path)
    while True:
        target = directory / str(_next_number(directory))
        try:
            os.rename(folder, target)
        except OSError:
            if not target.exists():
                raise
            continue  # another export took the number
        _flush(directory)
        return target


def remove_old(directory: Path, *, keep: int, spare: Path) -> None:
    """Removes all complete versions but the newest `keep` and `spare`.

    Of a version that is a link, the link is removed. What cannot be removed stays, with
    a warning: the new version is there all the same.
    """
    numbered = _numbered(directory)
    for number in list_versions(directory)[:-keep]:
        for old in numbered[number]:
            if old == spare:
                continue
            try:
                _remove(old)
            except OSError as error:
                warnings.warn(
                    f"The version {old} could not be removed ({error}). Remove it by "
                    "hand.",
                    stacklevel=3,
                )


def _remove(old: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # another export removed it
        if old.is_symlink():
            old.unlink()
            return
        folder = tempfile.mkdtemp(prefix=UNFINISHED, dir=old.parent)
        try:
            # Hidden in one step: a server never sees a version that lacks files.
            os.rename(old, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _numbered(directory: Path) -> dict[int, list[Path]]:
    """Number -> what has it, ascending; the plain name before padded ones."""
    names = sorted(os.listdir(directory), key=len) if directory.is_dir() else []
    found = {}
    for name in names:
        if (number := number_of(name)) is not None:
            found.setdefault(number, []).append(directory / name)
    return dict(sorted(found.items()))


def _next_number(directory: Path) -> int:
    number = max(_numbered(directory), default=0) + 1
    if number > _LAST:
        raise ValueError(
            f"`directory` must leave a number for the next version. {directory} has "
            f"{_LAST}, the last one that a server can read. Remove or rename it."
        )
    return number


def _locked_folder(directory: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=directory))
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            # Where a file system has no locks, nobody takes it for a leftover.
            if _lock(descriptor) is not False and folder.exists():
                return folder, descriptor
            os.close(descriptor)
        # Between its making and its lock another export removed it: make a new one.


def _remove_if_abandoned(folder: Path) -> None:
    # Gone meanwhile, or another user's.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        if _lock(descriptor):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Whether the lock was free, and now is held; None where there are no locks."""
    import fcntl  # which Windows lacks: there all but exports works

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _flush(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# `Path("gs://bucket")` has one slash left; a drive of Windows has one letter.
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")


def local_path(argument: str, path: str | os.PathLike) -> Path:
    """A path on a file system of this machine.

    A version is published by locks, flushes and a rename, which are one step on a local
    disk and are none in an object store: what is called `gs:` here is refused, before
    it becomes the name of a folder.

    Args:
      argument: Name of the argument, for the error.
      path: Path to check.

    Raises:
      ValueError: an address such as `gs://bucket/models`, or nothing.
    """
    text = os.fsdecode(path)
    if not text or _ADDRESS.match(text):
        raise ValueError(
            f"`{argument}` must be a folder of this machine. Got {text!r}. Object "
            "stores have no rename that is seen whole or not at all: export to a local "
            "folder, and copy the version there, its `saved_model.pb` last (`gcloud "
            "storage cp`, `aws s3 cp`), or mount the store."
        )
    return Path(text)
