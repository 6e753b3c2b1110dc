"""The text files that tell TensorFlow Serving what to serve, and how."""

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

from tfrs_models.ops.numbers import is_whole
from tfrs_models.serving.versions import local_path, number_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batching:
    """Parameters of a server that joins requests.

    Attributes:
      max_batch_size: Rows of a batch at most.
      timeout_micros: How long a row waits for others.
      threads: How many batches run at once; the server's processors are a good number.
      max_enqueued_batches: How many wait before the server answers "unavailable".
      allowed_batch_sizes: Sizes that batches are padded to, ascending; the last is
        `max_batch_size`. None where empty.

    Raises:
      ValueError: numbers that are not whole or below 1 (the time: below 0), or sizes
        that do not ascend.
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
        """The text of the server's `BatchingParameters`."""
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
    """A model as the server finds it.

    Attributes:
      base_path: Absolute path or address (`gs://bucket/model`) of the folder of the
        versions, as the server sees it: in the container.
      newest: How many of the newest versions are served.
      versions: Serve exactly these instead.
      labels: Names that clients may call versions by, `{"stable": 3, "canary": 4}`.
        They name the `versions` to serve where none are given. A server that starts
        with labels needs --allow_version_labels_for_unavailable_models=true.

    Raises:
      ValueError: a path that no server takes, numbers that are not whole or below 1, or
        a label of a version that is not served.
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
    """Writes `models.config`, and `batching.config` where it is asked for.

    Beside the versions of a model is a good place: a server reads only numbers there.
    It is started with --model_config_file (and --model_config_file_poll_wait_seconds to
    follow changes), and with --enable_batching --batching_parameters_file.

    Args:
      directory: Where to write them.
      models: By the name in the address.
      batching: For all models, whose contracts must say `batchable`: a server that
        batches refuses scalar inputs.

    Returns:
      The paths of the files.

    Raises:
      ValueError: no models, a name that no address can have, or a version's folder.
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
        unfinished = directory / f".{name}"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(directory / name)  # a server that polls it sees all or none
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
