"""The numbered folders that a server polls, and how a new one comes to be."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# No number, so no server takes it for a version; beside them, so a rename is atomic.
UNFINISHED = ".unfinished-"


def list_versions(directory: str | os.PathLike) -> list[int]:
    """The numbers of the complete versions, ascending."""
    directory = Path(directory)
    return [
        number
        for number in _numbers(directory)
        if (directory / str(number) / "saved_model.pb").is_file()
    ]


@contextlib.contextmanager
def unfinished_version(directory: Path) -> Iterator[Path]:
    """A folder to write a version into; it is gone when the block ends.

    It is locked while its process lives, and the kernel opens the lock of a process
    that is killed: what such processes left is removed here, what others are still
    writing is not.
    """
    directory.mkdir(parents=True, exist_ok=True)
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
        target = directory / str(max(_numbers(directory), default=0) + 1)
        try:
            os.rename(folder, target)
        except OSError:
            if not target.exists():
                raise
            continue  # another export took the number
        _flush(directory)
        return target


def remove_old(directory: Path, *, keep: int, spare: Path) -> None:
    """Removes all complete versions but the newest `keep` and `spare`."""
    for number in list_versions(directory)[:-keep]:
        if (old := directory / str(number)) == spare:
            continue
        folder = tempfile.mkdtemp(prefix=UNFINISHED, dir=directory)
        with contextlib.suppress(FileNotFoundError):  # another export removed it
            # Hidden in one step: a server never sees a version that lacks files.
            os.rename(old, folder)
        shutil.rmtree(folder, ignore_errors=True)


def _numbers(directory: Path) -> list[int]:
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    return sorted(int(n) for n in names if n.isdecimal() and n == str(int(n)))


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
    with contextlib.suppress(FileNotFoundError):
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
