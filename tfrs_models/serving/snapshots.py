"""Snapshots of a live recommender or index on the disk, to go on after a restart."""

import json
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models._files import SEAL, digest, is_changed, sealed
from tfrs_models._versions import (
    local_path,
    numbered_folders,
    publish,
    remove_folder,
    unfinished_version,
)
from tfrs_models.layers.index.slot_index import SlotIndex
from tfrs_models.serving.recommender import Recommender
from tfrs_models.serving.snapshot_parts import Parts, put_together, take_apart

_FORMAT = 1
_ABOUT, _ARRAYS = "snapshot.json", "arrays.npz"
_BYTES, _ENDS = ".bytes", ".ends"  # of an array of strings


class Restored(NamedTuple):
    """A module as it was when its snapshot was written.

    Attributes:
      module: the `Recommender`, `BruteForce` or `IVF`, which takes updates again.
      sequence: number of the last update that is in it, as `save_snapshot` was given.
      folder: folder of the snapshot.

    Example:
      >>> index = tm.layers.BruteForce(k=1).index([[1.0, 0.0]], ["a"])
      >>> _ = tm.serving.save_snapshot(index, "snapshots", sequence=3)
      >>> tm.serving.load_snapshot("snapshots").sequence
      3
    """

    module: Recommender | SlotIndex
    sequence: int
    folder: Path


def save_snapshot(
    module: Recommender | SlotIndex,
    directory: str | os.PathLike,
    *,
    sequence: int = 0,
    keep: int = 2,
) -> Path:
    """Writes a live recommender or index below `directory`, to go on after a restart.

    An export is for servers and takes no updates; a snapshot comes back as the Python
    module, with all updates, `staleness`, room for more, trends and their time. Number
    your updates, save every few minutes, and after a restart repeat those that came
    after the `sequence` of the snapshot.

    Updates wait while the parts are read, not while they are written; queries do not
    wait. Call it from the thread that updates, so that `sequence` is that of the last
    update. The snapshot is seen whole or not at all.

    Args:
      module: recommender, `BruteForce` or `IVF`.
      directory: local folder of the snapshots 1, 2, ...
      sequence: number of the last update that `module` has had, of your own count.
      keep: number of snapshots to keep, including this one.

    Returns:
      The folder of the snapshot.

    Raises:
      ValueError: the module is of another class, or its index is empty.

    Example:
      >>> index = tm.layers.BruteForce(k=1, capacity=9).index([[1.0, 0.0]], ["a"])
      >>> index.upsert([[0.0, 1.0]], ["b"])
      >>> _ = tm.serving.save_snapshot(index, "snapshots", sequence=17)
      >>> again = tm.serving.load_snapshot("snapshots")
      >>> again.module([[0.0, 2.0]])[1].numpy(), again.sequence
      (array([[b'b']], dtype=object), 17)
    """
    if not isinstance(module, (Recommender, SlotIndex)):
        raise ValueError(
            "`module` must be a `Recommender`, `BruteForce` or `IVF`. Got "
            f"{type(module).__name__}."
        )
    if keep < 1:
        raise ValueError(f"`keep` must be at least 1. Got {keep}.")
    directory = local_path("directory", directory)
    parts = take_apart(module)
    with unfinished_version(directory) as folder:
        np.savez(folder / _ARRAYS, **_packed(parts.arrays))
        about = {
            "format": _FORMAT,
            "sequence": int(sequence),
            "parts": parts.about,
            "arrays": [*parts.arrays],
            "hash_of_arrays": digest(folder / _ARRAYS),
        }
        text = json.dumps(sealed(about), indent=1)
        (folder / _ABOUT).write_text(text + "\n", encoding="utf-8")
        written = publish(folder, directory)
    for old in _snapshots(directory)[:-keep]:
        if old != written:
            remove_folder(old)
    return written


def load_snapshot(
    directory: str | os.PathLike,
    *,
    query_model: tf.keras.layers.Layer | None = None,
    item_tower: tf.keras.layers.Layer | None = None,
    fall_back: bool = False,
) -> Restored:
    """Restores the newest snapshot, to answer and to take updates from where it was.

    Layers are made of their configs and get their weights from the snapshot. A layer
    whose class Keras does not find, or a `Lambda`, must be given.

    Args:
      directory: folder of the snapshots, or of one of them.
      query_model: layer like the query model that was saved; its weights are replaced.
      item_tower: layer like the item tower that was saved; its weights are replaced.
      fall_back: whether to take an older snapshot, with a warning, if the newest one
        is damaged.

    Raises:
      ValueError: there is no snapshot, it is damaged or of another version of this
        package, or a layer must be given.

    Example:
      >>> index = tm.layers.IVF(k=1, capacity=9).index([[1.0, 0.0], [0.0, 1.0]])
      >>> _ = tm.serving.save_snapshot(index, "snapshots")
      >>> index = tm.serving.load_snapshot("snapshots").module
      >>> index.upsert([[0.0, 5.0]], [7])
      >>> index([[0.0, 2.0]])[1].numpy()
      array([[7]])
    """
    directory = local_path("directory", directory)
    is_one = (directory / _ABOUT).is_file()
    folders = [directory] if is_one else _snapshots(directory)[::-1]
    if not folders:
        raise ValueError(
            f"`directory` must have a snapshot, which `save_snapshot` writes. Got "
            f"{directory}."
        )
    damage = {}
    for folder in folders:
        try:
            about, parts = _read(folder)
        except _DamagedError as error:
            damage[folder] = str(error)
            continue
        if damage:
            newest, problem = next(iter(damage.items()))
            text = f"{newest} is not as it was written: {problem}. {folder}"
            if not fall_back:
                raise ValueError(
                    f"{text} is whole: take it by `fall_back=True`, and repeat the "
                    f"updates after {about['sequence']}."
                )
            warnings.warn(f"{text} is used in its place.", stacklevel=2)
        module = put_together(parts, query_model, item_tower)
        return Restored(module, about["sequence"], folder)
    newest, problem = next(iter(damage.items()))
    raise ValueError(
        f"{newest} is not as it was written: {problem}. No snapshot of {directory} is "
        "whole: build the module anew."
    )


class _DamagedError(Exception):
    """A file is missing, or is not as it was written."""


def _snapshots(directory: Path) -> list[Path]:
    """Lists the folders of the snapshots, the newest last."""
    return [folders[0] for folders in numbered_folders(directory).values()]


def _read(folder: Path) -> tuple[dict, Parts]:
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _DamagedError(f"{_ABOUT} cannot be read") from error
    if SEAL not in about or is_changed(about):
        raise _DamagedError(f"{_ABOUT} changed")
    if about["format"] != _FORMAT:
        raise ValueError(
            f"{folder} is a snapshot of format {about['format']}, of another version "
            f"of this package, which reads {_FORMAT}. Load it with that version, or "
            "build the module anew."
        )
    try:
        if digest(folder / _ARRAYS) != about["hash_of_arrays"]:
            raise _DamagedError(f"{_ARRAYS} changed")
        with np.load(folder / _ARRAYS, allow_pickle=False) as packed:
            arrays = {name: _unpacked(packed, name) for name in about["arrays"]}
    except OSError as error:
        raise _DamagedError(f"{_ARRAYS} cannot be read") from error
    return about, Parts(about["parts"], arrays)


def _packed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns arrays that NumPy saves without pickling: strings as their bytes."""
    packed = {}
    for name, values in arrays.items():
        if values.dtype != object:
            packed[name] = values
            continue
        ends = np.cumsum([len(value) for value in values.tolist()], dtype=np.int64)
        packed[name + _ENDS] = ends
        packed[name + _BYTES] = np.frombuffer(b"".join(values.tolist()), np.uint8)
    return packed


def _unpacked(packed: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    if name in packed:
        return packed[name]
    content, ends = packed[name + _BYTES].tobytes(), packed[name + _ENDS].tolist()
    starts = [0, *ends[:-1]]
    values = np.empty(len(ends), object)
    values[:] = [content[a:b] for a, b in zip(starts, ends, strict=True)]
    return values
