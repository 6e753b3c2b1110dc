"""Files that are there whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its name when the block ends.

    Where the block fails (a full disk, Ctrl-C) or its process is killed, the file that
    had the name before is untouched.

    Args:
      path: the name to take, in a folder that exists.
    """
    unfinished = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())  # on the disk before the name is
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file as `written_whole` does."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
