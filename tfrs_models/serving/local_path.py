"""Paths of this machine, told from addresses."""

import os
import re
from pathlib import Path

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
