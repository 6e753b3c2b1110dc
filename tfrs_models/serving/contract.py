"""What an exported model promised, and whether it still holds."""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrs_models.serving.answers import ABSOLUTE, RELATIVE, differences
from tfrs_models.serving.json_values import from_json, to_json
from tfrs_models.serving.preflight import Needs
from tfrs_models.serving.signatures import Signature, describe, is_batchable
from tfrs_models.serving.versions import list_versions

__all__ = ["ContractError", "read", "samples_of", "verify"]

PLACE = Path("assets.extra", "contract.json")
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
      ContractError: there is none.
    """
    path = version_folder(directory) / PLACE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise ContractError(
            path.parent.parent,
            [f"{PLACE} is missing or no JSON ({error}); `serving.export` writes it"],
        ) from error


def samples_of(contract: Mapping) -> list[tuple[str, dict, dict]]:
    """Signature, inputs and outputs of each sample of a contract, as arrays."""
    return [
        (
            sample["signature"],
            *(
                {name: from_json(value) for name, value in sample[side].items()}
                for side in ("inputs", "outputs")
            ),
        )
        for sample in contract["samples"]
    ]


def verify(directory: str | os.PathLike) -> dict:
    """Loads an exported model, asks it what it was asked at export, and compares.

    Every file must have the bytes that were exported, every signature its names, dtypes
    and shapes, and every sample its answer: floats within 1e-4 of their size or 1e-5,
    all else exactly, but for ids whose scores tie within this tolerance.

    Args:
      directory: A version, or a folder of them, of which the newest is verified.

    Returns:
      The contract.

    Raises:
      ContractError: naming the files, signatures and tensors that differ.
    """
    folder = version_folder(directory)
    contract = read(folder)
    problems = _changed_files(folder, contract["files"])
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # whatever a broken file makes TensorFlow raise
        needs = "; ".join(contract["server"]["needs"]) or "stock TensorFlow"
        problems.append(f"it does not load (it needs {needs}): {error}")
        raise ContractError(folder, problems) from error
    problems += _broken_promises(loaded, contract)
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
        "files": {
            str(path.relative_to(folder)): _digest(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
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
    if problems := _broken_promises(tf.saved_model.load(str(folder)), contract):
        raise ContractError(folder, problems)


def version_folder(directory: str | os.PathLike) -> Path:
    """The folder itself where it is a version, else its newest version."""
    directory = Path(directory)
    versions = list_versions(directory)
    return directory / str(versions[-1]) if versions else directory


def _answer(signature: Signature, request: dict[str, np.ndarray]) -> dict:
    try:
        return signature(request)
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"The signature `{signature.name}` refused a sample request: "
            f"{error.message}. Pass `samples=` real requests, or `samples={{}}` for "
            "none."
        ) from error


def _changed_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    problems = []
    for name, digest in files.items():
        kind = "vocabulary or other asset " if name.startswith("assets/") else ""
        if not (folder / name).is_file():
            problems.append(f"the {kind or 'file '}{name} is missing")
        elif (now := _digest(folder / name)) != digest:
            problems.append(
                f"the {kind or 'file '}{name} changed: sha256 {now[:12]}... instead of "
                f"{digest[:12]}..."
            )
    return problems


def _broken_promises(loaded: tf.Module, contract: Mapping) -> list[str]:
    problems = []
    for name, promised in contract["signatures"].items():
        if name not in loaded.signatures:
            problems.append(f"signature `{name}` is missing")
            continue
        function = loaded.signatures[name]
        now = {
            "inputs": describe(function.structured_input_signature[1]),
            "outputs": describe(function.structured_outputs),
        }
        for side in ("inputs", "outputs"):
            for key in sorted(promised[side].keys() | now[side].keys()):
                before, after = promised[side].get(key), now[side].get(key)
                if before != after:
                    problems.append(
                        f"signature `{name}`, {side[:-1]} `{key}`: "
                        f"{_spec(after)} instead of {_spec(before)}"
                    )
    if problems:
        return problems
    for number, (name, inputs, outputs) in enumerate(samples_of(contract)):
        where = f"signature `{name}`, sample {number}"
        try:
            answer = loaded.signatures[name](
                **{key: tf.constant(value) for key, value in inputs.items()}
            )
        except tf.errors.OpError as error:
            problems.append(f"{where}: {error.message}")
            continue
        arrays = {key: value.numpy() for key, value in answer.items()}
        problems += [f"{where}: {line}" for line in differences(outputs, arrays)]
    return problems


def _spec(entry: Mapping | None) -> str:
    return "nothing" if entry is None else f"{entry['dtype']} {entry['shape']}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
