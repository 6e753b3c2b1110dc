"""Writes the configuration files of TensorFlow Serving: models and batching."""

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

from tfrs_models._files import written_whole
from tfrs_models._versions import local_path, number_of
from tfrs_models.ops.numbers import is_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batching:
    """Parameters of a server that joins requests into batches.

    Attributes:
      max_batch_size: largest number of rows in a batch.
      timeout_micros: microseconds that a row waits for others.
      threads: number of batches that run at once; the number of the server's processors
        is a good choice.
      max_enqueued_batches: number of waiting batches above which the server answers
        "unavailable".
      allowed_batch_sizes: ascending sizes to which batches are padded; the last one is
        `max_batch_size`. Empty for no padding.

    Raises:
      ValueError: a number is not whole or below 1 (the time: below 0), or the sizes do
        not ascend.

    Example:
      >>> print(tm.serving.Batching(max_batch_size=32, threads=4).text())
      max_batch_size { value: 32 }
      batch_timeout_micros { value: 1000 }
      num_batch_threads { value: 4 }
      max_enqueued_batches { value: 100 }
    """

    max_batch_size: int = 64
    timeout_micros: int = 1000
    threads: int = 2
    max_enqueued_batches: int = 100
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        given = [
            self.max_batch_size,
            self.timeout_micros,
            self.threads,
            self.max_enqueued_batches,
            *self.allowed_batch_sizes,
        ]
        if not all(is_whole(n, -math.inf) for n in given):
            raise ValueError(f"Batching needs whole numbers. Got {self}.")
        least = min(self.max_batch_size, self.threads, self.max_enqueued_batches)
        if least < 1 or self.timeout_micros < 0:
            raise ValueError(f"Batching needs positive numbers. Got {self}.")
        sizes = self.allowed_batch_sizes
        if sizes and (
            sizes[0] < 1
            or list(sizes) != sorted(set(sizes))
            or sizes[-1] != self.max_batch_size
        ):
            raise ValueError(
                "`allowed_batch_sizes` must ascend from 1 or more to `max_batch_size` "
                f"{self.max_batch_size}. Got {sizes}."
            )

    def text(self) -> str:
        """Returns the text of the server's `BatchingParameters`."""
        values = {
            "max_batch_size": self.max_batch_size,
            "batch_timeout_micros": self.timeout_micros,
            "num_batch_threads": self.threads,
            "max_enqueued_batches": self.max_enqueued_batches,
        }
        lines = [f"{name} {{ value: {value} }}" for name, value in values.items()]
        lines += [f"allowed_batch_sizes: {size}" for size in self.allowed_batch_sizes]
        return "\n".join([*lines, ""])


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model in the configuration of a server: its folder and the versions to serve.

    Attributes:
      base_path: absolute path or address (`gs://bucket/model`) of the folder of the
        versions, as the server sees it, inside its container.
      newest: number of the newest versions to serve.
      versions: numbers of the versions to serve instead of the newest ones.
      labels: label -> version, by which clients may request a version,
        `{"stable": 3, "canary": 4}`. Without `versions` exactly these versions are
        served. A server that starts with labels needs
        --allow_version_labels_for_unavailable_models=true.

    Raises:
      ValueError: the path is relative, a number is not whole or below 1, or a label
        belongs to a version that is not served.

    Example:
      >>> model = tm.serving.ServedModel(
      ...     base_path="/models/retrieval", labels={"stable": 3, "canary": 4}
      ... )
      >>> model.versions
      (3, 4)
    """

    base_path: str
    newest: int = 1
    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        path = os.fspath(self.base_path)
        object.__setattr__(self, "base_path", path)
        if not re.match(r"/|[A-Za-z][\w+.-]*://.", path):
            raise ValueError(
                "`base_path` must be an absolute path or an address, for a server "
                f"takes no others. Got {path!r}. Write what the server sees, such as "
                "'/models/retrieval' or 'gs://bucket/retrieval'."
            )
        given = [self.newest, *self.versions, *self.labels.values()]
        if wrong := [n for n in given if not is_whole(n, -math.inf) or n > 2**63 - 1]:
            raise ValueError(
                "`newest`, `versions` and the values of `labels` must be whole numbers "
                f"that int64 holds. Got {wrong}."
            )
        served = sorted(set(self.versions) or set(self.labels.values()))
        object.__setattr__(self, "versions", tuple(served))
        if self.newest < 1 or any(version < 1 for version in served):
            raise ValueError(
                "`newest` and `versions` must be at least 1. Got "
                f"{self.newest} and {served}."
            )
        if unserved := {k: v for k, v in self.labels.items() if v not in served}:
            raise ValueError(
                f"`labels` must be of the served versions {served}. Got {unserved}."
            )


def write_server_config(
    directory: str | os.PathLike,
    models: Mapping[str, ServedModel],
    *,
    batching: Batching | None = None,
) -> list[Path]:
    """Writes `models.config` and, if `batching` is given, `batching.config`.

    The folder of a model's versions is suitable, because a server reads only numbered
    folders there. Start the server with --model_config_file (and
    --model_config_file_poll_wait_seconds to follow changes), and with
    --enable_batching --batching_parameters_file.

    Args:
      directory: folder to write the files into.
      models: name of the model in request addresses -> model.
      batching: parameters for all models. Their contracts must have `batchable` True,
        because a server that batches refuses scalar inputs.

    Returns:
      The paths of the files.

    Raises:
      ValueError: there are no models, a name cannot be part of an address, or
        `directory` is the folder of a version.

    Example:
      >>> models = {"retrieval": tm.serving.ServedModel(base_path="/models/retrieval")}
      >>> [path] = tm.serving.write_server_config("models", models)
      >>> print(path.read_text())
      model_config_list {
        config {
          name: "retrieval"
          base_path: "/models/retrieval"
          ...
    """
    directory = local_path("directory", directory)
    wrong = [name for name in models if not re.fullmatch(r"[\w.-]+", name, re.ASCII)]
    if not models or wrong:
        raise ValueError(
            "`models` must have names of letters, digits, `_`, `.` and `-`, one or "
            f"more. Got {wrong or 'none'}."
        )
    if number_of(directory.name) is not None:
        raise ValueError(
            "`directory` must not be a version: its files are those of its contract. "
            f"Got {directory}. Take {directory.parent}."
        )
    directory.mkdir(parents=True, exist_ok=True)
    files = {"models.config": _models_text(models)}
    if batching is not None:
        files["batching.config"] = batching.text()
    for name, text in files.items():
        # A polling server sees all or nothing.
        with written_whole(directory / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return [directory / name for name in files]


def _models_text(models: Mapping[str, ServedModel]) -> str:
    lines = ["model_config_list {"]
    for name, model in models.items():
        lines += [
            "  config {",
            f"    name: {_quoted(name)}",
            f"    base_path: {_quoted(model.base_path)}",
            '    model_platform: "tensorflow"',
            "    model_version_policy {",
        ]
        if model.versions:
            numbers = [f"versions: {version}" for version in model.versions]
            lines.append(f"      specific {{ {' '.join(numbers)} }}")
        else:
            lines.append(f"      latest {{ num_versions: {model.newest} }}")
        lines.append("    }")
        lines += [
            f"    version_labels {{ key: {_quoted(label)} value: {version} }}"
            for label, version in sorted(model.labels.items())
        ]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f]", lambda m: f"\\{ord(m[0]):03o}", escaped) + '"'
