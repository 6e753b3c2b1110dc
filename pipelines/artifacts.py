"""The folder that a pipeline writes to."""

import json
import tempfile
from pathlib import Path


def prepare_folder(path: Path) -> Path:
    """Makes the folder and proves that it can be written to, before hours of training.

    Raises:
      SystemExit: it cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise SystemExit(
            f"`--output` must be a folder that can be written to. Got {path}: "
            f"{error.strerror}. Choose another with --output."
        ) from error


def write_json(path: Path, values: object) -> None:
    """Writes values as indented JSON, NaN as null."""
    text = json.dumps(_finite(values), indent=2, default=str, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and value != value:
        return None
    return value
