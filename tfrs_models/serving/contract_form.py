"""Whether what calls itself a contract has the form of one."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from tfrs_models.serving.json_values import check_dtype, check_shape, from_json

_SIDES = ("inputs", "outputs")


def wrong_form(contract: object) -> list[str]:
    """What no contract has that `serving.export` wrote, a line each; empty for none.

    Nobody else's file is trusted: names of files stay inside the version.
    """
    if not isinstance(contract, dict):
        return [f"the contract is no object, but {type(contract).__name__}"]
    objects = ("signatures", "files", "server", "libraries")
    missing = [key for key in objects if not isinstance(contract.get(key), dict)]
    if not isinstance(contract.get("samples"), list):
        missing.append("samples")
    if missing:
        return [f"the contract lacks {', '.join(missing)}"]
    return [
        *_files(contract["files"]),
        *_server(contract["server"]),
        *_signatures(contract["signatures"]),
        *_samples(contract["samples"]),
    ]


def _files(files: dict) -> Iterator[str]:
    for name, digest in files.items():
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if (
            not name
            or windows.anchor
            or str(posix) != name
            or ".." in (*posix.parts, *windows.parts)
            or "\0" in name
        ):
            yield f"the contract names a file outside of the version: {name!r}"
        if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            yield f"the sha256 of {name!r} in the contract is none: {digest!r}"


def _server(server: dict) -> Iterator[str]:
    for key in ("needs", "custom_ops", "ops"):
        value = server.get(key)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            yield f"`{key}` of the server in the contract is no list of strings"


def _signatures(signatures: dict) -> Iterator[str]:
    for name, signature in signatures.items():
        if not _is_object(signature, *_SIDES):
            yield f"signature `{name}` of the contract lacks inputs or outputs"
            continue
        if not isinstance(signature.get("batchable", False), bool):
            yield f"signature `{name}` of the contract is batchable or not, but neither"
        for side in _SIDES:
            for key, spec in signature[side].items():
                try:
                    check_dtype(spec["dtype"])
                    if spec["shape"] is not None:
                        check_shape(spec["shape"])
                except (KeyError, TypeError, ValueError) as error:
                    yield (
                        f"signature `{name}`, {side[:-1]} `{key}` of the contract is "
                        f"no dtype and shape: {error}"
                    )


def _samples(samples: list) -> Iterator[str]:
    for number, sample in enumerate(samples):
        if not _is_object(sample, *_SIDES) or not isinstance(
            sample.get("signature"), str
        ):
            yield f"sample {number} of the contract lacks signature, inputs or outputs"
            continue
        for side in _SIDES:
            for key, value in sample[side].items():
                try:
                    from_json(value)
                except (ValueError, OverflowError) as error:
                    where = f"sample {number}, {side[:-1]} `{key}`"
                    yield f"{where} of the contract: {error}"


def _is_object(value: object, *objects: str) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(key), dict) for key in objects
    )
