"""Files of a run: the output folder, JSON, flags of earlier runs, exports."""

import dataclasses
import json
import math
import sys
import tempfile
import typing
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import tfrs_models as tm
from tfrs_models._files import SEAL, digest, is_changed, sealed, written_whole

from . import flags


def prepare_folder(path: Path, flag: str = "--output") -> Path:
    """Creates the folder and checks that it can be written to, before any training.

    Args:
      path: folder.
      flag: flag that names it, for the error.

    Raises:
      SystemExit: it cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise SystemExit(
            f"`{flag}` must be a folder that can be written to. Got {path}: "
            f"{error.strerror}. Choose another with {flag}."
        ) from error


def export_ranker(
    model: tm.Model,
    features: Mapping,
    directory: Path,
    *,
    run: str,
    vocabularies: Mapping[str, Sequence[str]],
    decoded: Mapping[str, str] | None = None,
) -> Path:
    """Exports a model with `rank` as a SavedModel.

    Args:
      model: ranker.
      features: feature -> example tensor or spec of the input.
      directory: folder of the versions.
      run: identity of the run, which the contract keeps.
      vocabularies: feature -> ids that requests send as text.
      decoded: output -> vocabulary by which its indices become text.

    Returns:
      Folder of the new version.
    """
    ranker = tm.serving.Ranker(
        model, features, vocabularies=vocabularies, decoded=decoded
    )
    return tm.serving.export(ranker, directory, about={"run": run})


def print_paths(output: Path, exported: Path) -> None:
    """Prints the paths of a run's report, metrics and model."""
    print(f"\nReport   {output / 'report.html'}\nMetrics  {output / 'metrics.json'}")
    print(f"Model    {exported}")


def new_run() -> str:
    """Draws the identity that all files of one run share."""
    return uuid.uuid4().hex[:12]


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, values: object) -> None:
    """Writes values as indented JSON, whole or not at all; NaN becomes null.

    An object gets the hash of its values too, which `read_json` compares.

    Args:
      path: path of the file.
      values: values.
    """
    text = json.dumps(finite(values), indent=2, default=str, allow_nan=False)
    if isinstance(values, Mapping):
        text = json.dumps(sealed(json.loads(text)), indent=2)
    write_text(path, text + "\n")


def hashes_of(folder: Path, *names: str) -> dict[str, str]:
    """Hashes files of a run, for its metrics.json.

    Args:
      folder: output folder of the run.
      names: names of the files; those that are not there are left out.
    """
    return {n: digest(folder / n) for n in names if (folder / n).is_file()}


def check_hashes(folder: Path, metrics: Mapping) -> None:
    """Ends the program if a file is not the one that metrics.json names.

    Args:
      folder: output folder of the run.
      metrics: content of its metrics.json.
    """
    for name, then in (metrics.get("files") or {}).items():
        if (folder / name).is_file() and digest(folder / name) != then:
            raise SystemExit(
                f"{folder / name} is not as it was written by the run "
                f"{metrics.get('run')} of metrics.json beside it. Run its pipeline "
                "again."
            )


def read_json(path: Path, names: Sequence[str], advice: str) -> dict:
    """Reads a JSON object from a file, without the hash that `write_json` adds.

    Args:
      path: path of the file.
      names: names that the object must have.
      advice: sentence, without its full stop, for the error message of a damaged file.

    Raises:
      SystemExit: the file cannot be read, was edited, or holds no such object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SystemExit(
            f"{path} cannot be read: {error.strerror}. {advice}."
        ) from error
    except ValueError as error:  # no JSON, or no text
        raise SystemExit(f"{path} is damaged: {error}. {advice}.") from error
    if not isinstance(values, dict) or not values.keys() >= set(names):
        raise SystemExit(
            f"{path} must be a JSON object with {', '.join(names)}. {advice}."
        )
    if is_changed(values):
        raise SystemExit(
            f"{path} is not as it was written: it was edited, or is damaged. {advice}."
        )
    return {name: value for name, value in values.items() if name != SEAL}


def read_metrics(folder: Path, kind: type) -> dict:
    """Reads the metrics.json of a run.

    Args:
      folder: output folder of the run.
      kind: class `Config` of its pipeline.

    Raises:
      SystemExit: there is no run, or the file is damaged.
    """
    path = folder / "metrics.json"
    command = f"`{command_of(kind)} --output {folder}`"
    if not path.exists():
        raise SystemExit(
            f"There is no trained model in {folder}. Make one with {command}."
        )
    return read_json(path, ("config",), f"Make it again with {command}")


def read_config(folder: Path, kind: type) -> object:
    """Reads the flags of a run from its metrics.json.

    Args:
      folder: output folder of the run.
      kind: class `Config` of its pipeline.

    Raises:
      SystemExit: there is no run, the file is damaged, or the flags are those of
        another version of the pipeline.
    """
    values = read_metrics(folder, kind)["config"]
    try:
        config = _restored(values, kind)
    except (TypeError, AttributeError) as error:
        problem = str(error)
    else:
        problem = flags.first_problem(config)
    if problem:
        raise SystemExit(
            f"{folder / 'metrics.json'} must be of this version of the pipeline: "
            f"{problem}. Run it again."
        )
    return config


def module_of(kind: type) -> str:
    """Name of the module of a class `Config`, the same in a checkout and in a wheel."""
    if kind.__module__ != "__main__":
        return kind.__module__.removeprefix("tfrs_models.")
    return f"pipelines.{Path(sys.modules['__main__'].__file__).stem}"


def command_of(kind: type) -> str:
    """Returns what users type for the command of a class `Config`."""
    return f"tfrs-models {module_of(kind).split('.')[1].replace('_', '-')}"


def finite(value: object) -> object:
    """Replaces NaN and infinity, which JSON lacks, by None."""
    if isinstance(value, dict):
        return {str(name): finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _restored(values: dict, kind: type) -> object:
    hints = typing.get_type_hints(kind)
    fields = {}
    for name, value in values.items():
        hint = hints.get(name)
        if dataclasses.is_dataclass(hint):
            value = _restored(value, hint)
        elif isinstance(value, list):
            value = tuple(value)
        elif Path in (hint, *typing.get_args(hint)) and value is not None:
            value = Path(value)
        fields[name] = value
    return kind(**fields)
