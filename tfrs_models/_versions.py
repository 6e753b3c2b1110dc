"""Publishes numbered folders in one step, and finds damage in them later."""

import contextlib
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tfrs_models._files import UNFINISHED, flush, lock

_LAST = 2**63 - 1  # a server reads numbers as int64
# `Path("gs://bucket")` keeps one slash; a drive of Windows has one letter.
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")


def number_of(name: str) -> int | None:
    """Returns the version number that a server reads in a folder's name, or None."""
    digits = name.strip(" \t\n\v\f\r")
    if not (digits.isascii() and digits.isdecimal()):
        return None
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < 20 and int(digits) <= _LAST else None


@contextlib.contextmanager
def unfinished_version(directory: Path) -> Iterator[Path]:
    """Makes a temporary folder to write a version into, and removes it at the end.

    The folder is locked while its process lives; the kernel releases the lock of a
    killed process. Unlocked folders, which killed processes left, are removed here;
    folders that other processes are writing are not.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _next_number(directory)  # if no number is left, nothing is written
    for leftover in directory.glob(f"{UNFINISHED}*"):
        _remove_if_abandoned(leftover)
    folder, descriptor = _locked_folder(directory)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def publish(folder: Path, directory: Path) -> Path:
    """Renames a finished folder to the next version number, in one atomic step.

    All files are on the disk before the new name is: after a power cut the version is
    complete or absent.
    """
    _flush_all(folder)
    while True:
        target = directory / str(_next_number(directory))
        try:
            os.rename(folder, target)
        except OSError:
            if not target.exists():
                raise
            continue  # another export took the number
        flush(directory)
        return target


@contextlib.contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Yields a folder beside `path` to write to, which is renamed when the block ends.

    What killed processes left is removed.

    Args:
      path: final path: a folder that is empty or does not exist.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{UNFINISHED}{path.name}-"
    for leftover in path.parent.glob(f"{glob.escape(prefix)}*"):
        _remove_if_abandoned(leftover)
    folder, descriptor = _locked_folder(path.parent, prefix)
    try:
        yield folder
        _flush_all(folder)
        os.rename(folder, path)
        flush(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_folder(old: Path) -> None:
    """Removes a numbered folder in one step; of a link, only the link."""
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


def numbered_folders(directory: Path) -> dict[int, list[Path]]:
    """Returns number -> folders with that number, plain names before padded ones."""
    names = sorted(os.listdir(directory), key=len) if directory.is_dir() else []
    found = {}
    for name in names:
        if (number := number_of(name)) is not None:
            found.setdefault(number, []).append(directory / name)
    return dict(sorted(found.items()))


def _next_number(directory: Path) -> int:
    number = max(numbered_folders(directory), default=0) + 1
    if number > _LAST:
        raise ValueError(
            f"`directory` must leave a number for the next version. {directory} has "
            f"{_LAST}, the last one that a server can read. Remove or rename it."
        )
    return number


def _flush_all(folder: Path) -> None:
    os.chmod(folder, 0o755)
    for root, _, names in os.walk(folder):
        for path in (root, *(os.path.join(root, name) for name in names)):
            flush(path)


def _locked_folder(directory: Path, prefix: str = UNFINISHED) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=directory))
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            # On a file system without locks no export removes it as a leftover.
            if lock(descriptor) is not False and folder.exists():
                return folder, descriptor
            os.close(descriptor)
        # Another export removed it before it was locked: make a new one.


def _remove_if_abandoned(folder: Path) -> None:
    # It was removed meanwhile, or belongs to another user.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        if lock(descriptor):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def local_path(argument: str, path: str | os.PathLike) -> Path:
    """Checks that a path is on a file system of this machine.

    A version is published by locks, flushes and a rename, which an object store does
    not have. An address is refused before `gs:` becomes the name of a folder.

    Args:
      argument: name of the argument, for the error message.
      path: path to check.

    Raises:
      ValueError: the path is empty or an address such as `gs://bucket/models`.
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
