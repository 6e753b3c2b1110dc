"""The contract of an exported model: signatures, files and sample answers."""

import importlib.metadata
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrs_models._files import digest, is_changed, sealed
from tfrs_models._versions import local_path, numbered_folders
from tfrs_models.serving.contract_checks import (
    ABSOLUTE,
    CONTRACT_PATH,
    RELATIVE,
    broken_promises,
    changed_files,
    files_of,
    samples_of,
)
from tfrs_models.serving.contract_json import to_json, wrong_form
from tfrs_models.serving.preflight import Needs
from tfrs_models.serving.signatures import Signature, describe, is_batchable
from tfrs_models.serving.versions import version_folders

__all__ = ["ContractError", "read", "samples_of", "verify", "whole_version"]

_PACKAGES = (
    "tfrs-models",
    "tensorflow",
    "tf_keras",
    "tensorflow-recommenders",
    "numpy",
)


class ContractError(Exception):
    """An exported model differs from its contract.

    Attributes:
      problems: the differences, one sentence each.
      folder: folder of the version.
      older: older version beside it whose files are as they were exported, None if
        there is none or none was looked for.

    Example:
      >>> folder = tf.io.gfile.mkdir("1")
      >>> try:
      ...     tm.serving.contract.verify("1")
      ... except tm.serving.contract.ContractError as error:
      ...     print(error)
      1 broke its contract:
      - assets.extra/contract.json is missing or no JSON ...
    """

    def __init__(
        self, directory: Path, problems: list[str], *, older: Path | None = None
    ) -> None:
        """Initializes the error.

        Args:
          directory: folder of the version.
          problems: the differences, one sentence each.
          older: older version that is whole, None for none.
        """
        offer = (
            "" if older is None else f" {older} is whole: take it, `fall_back=True`."
        )
        super().__init__(
            f"{directory} broke its contract:\n"
            + "\n".join(f"- {problem}" for problem in problems)
            + f"\nServe the version as it was exported, or export it again.{offer}"
        )
        self.problems, self.folder, self.older = problems, directory, older


def read(directory: str | os.PathLike) -> dict:
    """Reads the contract of a version.

    Args:
      directory: folder of a version, or of several, of which the newest is read.

    Returns:
      `signatures` (inputs and outputs with dtype and shape; whether a server may join
      requests into batches), `files` (sha256 of each, including vocabularies),
      `server` (its requirements), `libraries` (versions), `samples` (requests with
      their answers), `about` (what the exporter wrote there) and `sha256` (hash of all
      of this).

    Raises:
      ContractError: the contract is missing or was edited, or `export` cannot have
        written it.
      ValueError: `directory` is an address of an object store.

    Example:
      >>> module = tf.Module()
      >>> module.double = tf.function(
      ...     lambda x: {"y": 2 * x}, autograph=False,
      ...     input_signature=[tf.TensorSpec([None], tf.float32, "x")])
      >>> path = tm.serving.export(module, "models", signatures={"f": module.double})
      >>> tm.serving.contract.read(path)["signatures"]["f"]["inputs"]
      {'x': {'dtype': 'float32', 'shape': [None]}}
    """
    folder = version_folder(directory)
    try:
        contract = json.loads((folder / CONTRACT_PATH).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ContractError(
            folder,
            [
                f"{CONTRACT_PATH} is missing or no JSON ({error}); "
                "`serving.export` writes it"
            ],
        ) from error
    if problems := wrong_form(contract):
        raise ContractError(folder, problems)
    if is_changed(contract):
        raise ContractError(
            folder, [f"{CONTRACT_PATH.as_posix()} was edited: its sha256 is another"]
        )
    return contract


def whole_version(directory: str | os.PathLike, *, fall_back: bool = False) -> Path:
    """Returns the newest version, if its files are as they were exported.

    Files are compared by their hashes; the model is not loaded. Of a SavedModel without
    `assets.extra`, which `export` has not written, only the presence is checked.

    Args:
      directory: folder of a version, or of several.
      fall_back: whether to return, with a warning, the newest older version that is
        whole, if the newest one is not. A folder of one version has no older one.

    Returns:
      The folder of the version.

    Raises:
      ContractError: there is no version, or a file was changed, removed or added; the
        message names the file, and an older version that is whole.
      ValueError: `directory` is an address of an object store.

    Example:
      >>> module = tf.Module()
      >>> module.double = tf.function(
      ...     lambda x: {"y": 2 * x}, autograph=False,
      ...     input_signature=[tf.TensorSpec([None], tf.float32, "x")])
      >>> path = tm.serving.export(module, "models", signatures={"f": module.double})
      >>> tm.serving.contract.whole_version("models").as_posix()
      'models/1'
    """
    directory = local_path("directory", directory)
    is_version = (directory / "saved_model.pb").is_file()
    numbers = {} if is_version else numbered_folders(directory)
    # Of names with one number, a server reads one; the plain one comes first.
    folders = [named[0] for named in reversed(numbers.values())] or [directory]
    newest, problems = folders[0], damage(folders[0])
    if not problems:
        return newest
    older = next((folder for folder in folders[1:] if not damage(folder)), None)
    if fall_back and older is not None:
        warnings.warn(
            f"{newest} is not as it was exported: {'; '.join(problems)}. {older}, an "
            "older version, is taken.",
            stacklevel=2,
        )
        return older
    raise ContractError(newest, problems, older=older)


def damage(folder: Path) -> list[str]:
    """Returns a line for each file of a version that is not as it was exported.

    Args:
      folder: folder of the version.
    """
    if not (folder / "saved_model.pb").is_file():
        if not folder.is_dir():
            return ["it does not exist"]
        is_empty = not any(folder.iterdir())
        return ["it is empty" if is_empty else "saved_model.pb is missing"]
    if not (folder / CONTRACT_PATH.parent).is_dir():
        return []  # of other software
    try:
        return changed_files(folder, read(folder)["files"])
    except ContractError as error:
        return error.problems


def verify(directory: str | os.PathLike) -> dict:
    """Loads an exported model, replays the samples of its contract, and compares.

    Every file must have the bytes that were exported, and no file may be added. Every
    signature must have its names, dtypes and shapes, and every sample its answer.
    Floats may differ by 1e-4 of their size or by 1e-5; all other values are exact,
    except ids whose scores tie within this tolerance.

    Args:
      directory: folder of a version, or of several, of which the newest is verified.

    Returns:
      The contract.

    Raises:
      ContractError: a file, signature or tensor differs; the message names it.
      ValueError: `directory` is an address of an object store.

    Example:
      >>> module = tf.Module()
      >>> module.double = tf.function(
      ...     lambda x: {"y": 2 * x}, autograph=False,
      ...     input_signature=[tf.TensorSpec([None], tf.float32, "x")])
      >>> path = tm.serving.export(module, "models", signatures={"f": module.double})
      >>> contract = tm.serving.contract.verify(path)
      >>> sorted(contract)
      ['about', 'files', 'libraries', 'samples', 'server', 'sha256', ...]
    """
    folder = version_folder(directory)
    contract = read(folder)
    problems = changed_files(folder, contract["files"])
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # a broken file may cause any error in TensorFlow
        needs = "; ".join(contract["server"]["needs"]) or "stock TensorFlow"
        problems.append(f"it does not load (it needs {needs}): {error}")
        raise ContractError(folder, problems) from error
    problems += broken_promises(loaded, contract)
    if problems:
        raise ContractError(folder, problems)
    return contract


def write(
    folder: Path,
    signatures: Mapping[str, Signature],
    requests: Mapping[str, list[dict[str, np.ndarray]]],
    needs: Needs,
    about: Mapping[str, object],
) -> None:
    """Writes the contract of a finished version, and verifies the version against it.

    The sample answers come from the module; the SavedModel must give the same ones.

    Args:
      folder: folder of the version, with all of its other files.
      signatures: signature name -> signature of the module.
      requests: signature name -> sample requests.
      needs: requirements of the model on its server.
      about: values of JSON that the exporter keeps with the version.

    Raises:
      ContractError: the answers of the SavedModel and the module differ.
    """
    contract = {
        "signatures": {
            name: {
                "inputs": describe(signature.inputs),
                "outputs": describe(signature.outputs),
                "batchable": is_batchable(signature),
            }
            for name, signature in sorted(signatures.items())
        },
        "files": {name: digest(folder / name) for name in sorted(files_of(folder))},
        "server": {
            "needs": needs.reasons(),
            "custom_ops": list(needs.custom_ops),
            "ops": list(needs.ops),
        },
        "libraries": {name: _installed(name) for name in _PACKAGES},
        "tolerance": {"relative": RELATIVE, "absolute": ABSOLUTE},
        "samples": [
            {
                "signature": name,
                "inputs": {key: to_json(value) for key, value in request.items()},
                "outputs": {
                    key: to_json(value)
                    for key, value in _answer(signatures[name], request).items()
                },
            }
            for name, batches in requests.items()
            for request in batches
        ],
        "about": dict(about),
    }
    contract = sealed(json.loads(json.dumps(contract, allow_nan=False)))
    (folder / CONTRACT_PATH).parent.mkdir(exist_ok=True)
    text = json.dumps(contract, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / CONTRACT_PATH).write_text(text + "\n", encoding="utf-8")
    if problems := broken_promises(tf.saved_model.load(str(folder)), contract):
        raise ContractError(folder, problems)


def version_folder(directory: str | os.PathLike) -> Path:
    """Returns the newest version in a folder, or the folder if it is a version."""
    folders = version_folders(directory)
    return folders[max(folders)] if folders else local_path("directory", directory)


def _answer(signature: Signature, request: dict[str, np.ndarray]) -> dict:
    try:
        return signature(request)
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"The signature `{signature.name}` refused a sample request: "
            f"{error.message}. Pass `samples=` real requests, or `samples={{}}` for "
            "none."
        ) from error


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
