"""Writes a versioned SavedModel."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf


def export(
    module: tf.Module, directory: str | os.PathLike, *, signatures: dict[str, Callable]
) -> Path:
    """Writes the module below `directory` as the next version.

    The version appears under its number only when it is complete: a server that polls
    the directory never sees half a model.

    Args:
      module: What to save.
      directory: Holds the versions 1, 2, ...
      signatures: Name -> `tf.function` with an input signature, a method of the module.

    Returns:
      The path of the version.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    versions = list_versions(directory)
    target = directory / str(versions[-1] + 1 if versions else 1)
    # Not a number, so no server takes it for a version; beside it, so rename is atomic.
    unfinished = tempfile.mkdtemp(prefix=".unfinished-", dir=directory)
    try:
        tf.saved_model.save(module, unfinished, signatures=signatures)
        os.chmod(unfinished, 0o755)
        os.rename(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def list_versions(directory: str | os.PathLike) -> list[int]:
    """The numbers of the exported versions, ascending."""
    return sorted(
        int(path.name)
        for path in Path(directory).glob("[0-9]*")
        if path.name.isdigit() and (path / "saved_model.pb").is_file()
    )
