"""States of a training on the disk: numbered folders, each of them whole or absent."""

import dataclasses
import json
import os
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrs_models._files import digest
from tfrs_models._versions import (
    local_path,
    numbered_folders,
    publish,
    remove_folder,
    unfinished_version,
)

_ABOUT, _ARRAYS, _HASHES, _TENSORS = "about.json", "arrays.npz", "hashes.json", "state"
_ARRAY, _TUPLE = "__array__", "__tuple__"
_LONGEST = 60  # characters of a value in an error


class DamagedStateError(ValueError):
    """A file of a state is missing or is not as it was written.

    Attributes:
      problem: file and what is wrong with it, in words.
      older: whole state that was written before, None if there is none.
    """

    def __init__(self, problem: str, older: "State | None") -> None:
        """Initializes the error."""
        self.problem, self.older = problem, older
        advice = "Begin anew with `resume=False`."
        if older is not None:
            advice = f"{older.folder}, the one before, is whole: `fall_back=True`."
        super().__init__(f"{problem}. {advice}")


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """A state of a training on the disk.

    Args:
      folder: folder of the state, named by its number.
      about: content of about.json: `id` of the state, `identity` and `notes` of the
        training, `epoch` and `step` to go on with, `history` and more.

    Example:
      >>> about = {"identity": {"batch_size": 1}, "epoch": 3}
      >>> tm.training.State("states/1", about).differences({"batch_size": 2})
      ['`batch_size` was 1 and is 2']
    """

    folder: Path
    about: dict

    @property
    def tensors(self) -> str:
        """Prefix of the `tf.train.Checkpoint` with the tensors of the state."""
        return str(self.folder / _TENSORS)

    def differences(self, identity: Mapping) -> list[str]:
        """Lists how the identity of a training differs from that of the state.

        Args:
          identity: nested mapping of what must be equal.

        Returns:
          A phrase for each difference: "`batch_size` was 1 and is 2".
        """
        then, now = _flat(self.about["identity"]), _flat(plain(identity))
        missing = object()
        return [
            f"`{name}` {_was(then, name)} and {_is(now, name)}"
            for name in dict.fromkeys([*then, *now])
            if then.get(name, missing) != now.get(name, missing)
        ]

    def unpacked(self) -> dict:
        """Returns the content of about.json with its arrays."""
        with np.load(self.folder / _ARRAYS, allow_pickle=False) as arrays:
            return _unpacked(self.about, arrays)


def read_state(folder: str | os.PathLike, *, fall_back: bool = False) -> State | None:
    """Returns the newest state of a training, without its tensors.

    Args:
      folder: folder of the states.
      fall_back: whether to take an older state, with a warning, if files of the newest
        one are damaged.

    Returns:
      The state; None if there is none.

    Raises:
      ValueError: a file of the newest state is missing or has changed.

    Example:
      >>> print(tm.training.read_state("nothing"))
      None
    """
    problem = None
    for folders in reversed(numbered_folders(local_path("folder", folder)).values()):
        found = _damage(folders[0])
        if found is None:
            state = State(folders[0], _read(folders[0] / _ABOUT))
            if problem is None:
                return state
            if not fall_back:
                raise DamagedStateError(problem, state)
            warnings.warn(
                f"{problem}. {state.folder}, the state before, is taken.", stacklevel=2
            )
            return state
        problem = problem or found
    if problem is not None:
        raise DamagedStateError(problem, None)
    return None


@dataclasses.dataclass(frozen=True, eq=False)
class Packed:
    """Values of a state as they were when it was packed.

    Args:
      about: content of about.json.
      arrays: content of arrays.npz.
    """

    about: dict
    arrays: dict[str, np.ndarray]


def pack(values: Mapping) -> Packed:
    """Packs values; later changes of lists and mappings among them have no effect.

    Args:
      values: numbers, text, arrays, and lists, tuples and mappings of them.

    Raises:
      TypeError: a value is something else.
    """
    arrays = {}
    return Packed(_packed({"id": uuid.uuid4().hex[:12], **values}, arrays), arrays)


def write_state(
    directory: Path, checkpoint: tf.train.Checkpoint, packed: Packed
) -> State:
    """Writes a state as the next number.

    Args:
      directory: folder of the states.
      checkpoint: tensors.
      packed: all other values.
    """
    with unfinished_version(directory) as unfinished:
        checkpoint.write(str(unfinished / _TENSORS))
        np.savez(unfinished / _ARRAYS, **packed.arrays)
        _write(unfinished / _ABOUT, packed.about)
        files = sorted(unfinished.iterdir())
        _write(unfinished / _HASHES, {path.name: digest(path) for path in files})
        return State(publish(unfinished, directory), packed.about)


def keep_only(directory: Path, states: Sequence[State]) -> None:
    """Removes all states of a folder but some.

    Args:
      directory: folder of the states.
      states: states that stay.
    """
    spared = {state.folder for state in states}
    for folders in numbered_folders(directory).values():
        for folder in folders:
            if folder not in spared:
                remove_folder(folder)


def plain(values: object) -> object:
    """Converts values to those that a JSON file returns; paths become text."""
    return json.loads(json.dumps(values, default=str))


def _damage(folder: Path) -> str | None:
    """Returns what is wrong with the files of a state, or None."""
    try:
        hashes = _read(folder / _HASHES)
        for name in (_ABOUT, _ARRAYS, f"{_TENSORS}.index"):
            if name not in hashes:
                return f"{folder / _HASHES} must name {name}"
        for name, then in hashes.items():
            if digest(folder / name) != then:
                return f"{folder / name} is not as it was written"
    except OSError as error:
        return f"{error.filename} cannot be read: {error.strerror}"
    except (ValueError, AttributeError) as error:  # no JSON, no text or no mapping
        return f"{folder / _HASHES} is damaged: {error}"
    return None


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, values: dict) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _packed(value: object, arrays: dict[str, np.ndarray]) -> object:
    """Converts values to JSON, with arrays apart."""
    if isinstance(value, Mapping):
        return {str(key): _packed(entry, arrays) for key, entry in value.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [_packed(entry, arrays) for entry in value]}
    if isinstance(value, list):
        return [_packed(entry, arrays) for entry in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    name = str(len(arrays))
    arrays[name] = np.asarray(value)
    if arrays[name].dtype == object:
        raise TypeError(
            "A state of a training must be of numbers, text and arrays. Got "
            f"{type(value).__name__}: see `resume_state` of the callbacks."
        )
    return {_ARRAY: name}


def _unpacked(value: object, arrays: Mapping[str, np.ndarray]) -> object:
    if isinstance(value, list):
        return [_unpacked(entry, arrays) for entry in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_ARRAY}:
        array = arrays[value[_ARRAY]]
        return array if array.ndim else array[()]
    if value.keys() == {_TUPLE}:
        return tuple(_unpacked(entry, arrays) for entry in value[_TUPLE])
    return {key: _unpacked(entry, arrays) for key, entry in value.items()}


def _flat(values: object, above: str = "") -> dict[str, object]:
    """Returns `{"a/b": 1}` for `{"a": {"b": 1}}`."""
    if not isinstance(values, dict) or (above and not values):
        return {above: values}
    found = {}
    for name, value in values.items():
        found |= _flat(value, f"{above}/{name}" if above else str(name))
    return found


def _was(then: dict, name: str) -> str:
    return f"was {_short(then[name])}" if name in then else "was not there"


def _is(now: dict, name: str) -> str:
    return f"is {_short(now[name])}" if name in now else "is not there"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
