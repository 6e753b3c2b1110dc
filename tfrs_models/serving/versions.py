"""Lists and removes the numbered folders of versions that a server polls."""

import os
import warnings
from pathlib import Path

from tfrs_models._versions import local_path, numbered_folders, remove_folder


def list_versions(directory: str | os.PathLike) -> list[int]:
    """Lists the numbers of the complete versions, ascending.

    Names of folders are read as a server reads them: `00000123` is 123, and a number
    beyond int64 is no version.

    Args:
      directory: local folder of the versions.

    Raises:
      ValueError: `directory` is an address of an object store.

    Example:
      >>> for name in ("9", "0010", "notes"):
      ...     tf.io.write_file(f"models/{name}/saved_model.pb", b"")
      >>> tm.serving.list_versions("models")
      [9, 10]
    """
    return list(version_folders(directory))


def version_folders(directory: str | os.PathLike) -> dict[int, Path]:
    """Returns number -> folder of the complete versions, ascending."""
    return {
        number: complete[0]
        for number, folders in numbered_folders(
            local_path("directory", directory)
        ).items()
        if (complete := [f for f in folders if (f / "saved_model.pb").is_file()])
    }


def remove_old(directory: Path, *, keep: int, spare: Path) -> None:
    """Removes all complete versions except the newest `keep` and `spare`.

    If a version is a link, only the link is removed. A version that cannot be removed
    stays, with a warning, because the new version is published in any case.
    """
    numbered = numbered_folders(directory)
    for number in list_versions(directory)[:-keep]:
        for old in numbered[number]:
            if old == spare:
                continue
            try:
                remove_folder(old)
            except OSError as error:
                warnings.warn(
                    f"The version {old} could not be removed ({error}). Remove it by "
                    "hand.",
                    stacklevel=3,
                )
