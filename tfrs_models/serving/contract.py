"""What an exported model promised, and whether it still holds."""

import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrs_models.serving.contract_checks import (
    ABSOLUTE,
    PLACE,
    RELATIVE,
    broken_promises,
    changed_files,
    digest,
    files_of,
    samples_of,
)
from tfrs_models.serving.contract_json import to_json, wrong_form
from tfrs_models.serving.preflight import Needs
from tfrs_models.serving.signatures import Signature, describe, is_batchable
from tfrs_models.serving.versions import local_path, version_folders

__all__ = ["ContractError", "read", "samples_of", "verify"]

_PACKAGES = (
    "tfrs-models",
    "tensorflow",
    "tf_keras",
    "tensorflow-recommenders",
    "numpy",
)


class ContractError(Exception):
    """An exported model that is not what it was when it was exported."""

    def __init__(self, directory: Path, problems: list[str]) -> None:
        """Initializes the error.

        Args:
          directory: Of the version.
          problems: Everything that differs.
        """
        super().__init__(
            f"{directory} broke its contract:\n"
            + "\n".join(f"- {problem}" for problem in problems)
            + "\nServe the version as it was exported, or export it again."
        )
        self.problems = problems


def read(directory: str | os.PathLike) -> dict:
    """The contract of a version.

    Args:
      directory: A version, or a folder of them, of which the newest is read.

    Returns:
      `signatures` (inputs and outputs with dtype and shape; whether a server may join
      requests into batches), `files` (sha256 of each, vocabularies among them),
      `server` (what it needs), `libraries` (versions) and `samples` (requests with
      their answers).

    Raises:
      ContractError: there is none, or none that `export` could have written.
      ValueError: an address in place of a folder.
    """
    folder = version_folder(directory)
    try:
        contract = json.loads((folder / PLACE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ContractError(
            folder,
            [f"{PLACE} is missing or no JSON ({error}); `serving.export` writes it"],
        ) from error
    if problems := wrong_form(contract):
        raise ContractError(folder, problems)
    return contract


def verify(directory: str | os.PathLike) -> dict:
    """Loads an exported model, asks it what it was asked at export, and compares.

    Every file must have the bytes that were exported, and no file may be added; every
    signature must have its names, dtypes and shapes, and every sample its answer:
    floats within 1e-4 of their size or 1e-5, all else exactly, but for ids whose scores
    tie within this tolerance.

    Args:
      directory: A version, or a folder of them, of which the newest is verified.

    Returns:
      The contract.

    Raises:
      ContractError: naming the files, signatures and tensors that differ.
      ValueError: an address in place of a folder.
    """
    folder = version_folder(directory)
    contract = read(folder)
    problems = changed_files(folder, contract["files"])
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # whatever a broken file makes TensorFlow raise
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
) -> None:
    """Writes the contract of a finished version, and holds the version to it.

    The answers are the module's; that the SavedModel gives the same is checked here.

    Args:
      folder: The version, with all of its other files.
      signatures: By name.
      requests: Signature -> samples.
      needs: Of the server.

    Raises:
      ContractError: the SavedModel answers otherwise than the module.
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
    }
    (folder / PLACE).parent.mkdir(exist_ok=True)
    text = json.dumps(contract, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / PLACE).write_text(text + "\n", encoding="utf-8")
    if problems := broken_promises(tf.saved_model.load(str(folder)), contract):
        raise ContractError(folder, problems)


def version_folder(directory: str | os.PathLike) -> Path:
    """The folder itself where it is a version, else its newest version."""
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
