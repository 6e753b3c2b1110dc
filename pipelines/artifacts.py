"""The folder that a pipeline writes to."""

import dataclasses
import json
import tempfile
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

import tfrs_models as tm


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


def export_ranker(
    model: tm.Model,
    features: Mapping,
    directory: Path,
    *,
    vocabularies: Mapping[str, Sequence[str]],
    decoded: Mapping[str, str] | None = None,
) -> Path:
    """Writes a model with `rank` as a SavedModel; ids of the vocabularies are text."""
    ranker = tm.serving.Ranker(
        model, features, vocabularies=vocabularies, decoded=decoded
    )
    return tm.serving.export(ranker, directory)


def print_places(output: Path, exported: Path) -> None:
    """Says where a run's report, metrics and model are."""
    print(f"\nReport   {output / 'report.html'}\nMetrics  {output / 'metrics.json'}")
    print(f"Model    {exported}")


def check_at_least(least: int, **flags: int | None) -> None:
    """Ends the program for a flag that is given and below `least`."""
    for name, value in flags.items():
        if value is not None and value < least:
            flag = name.replace("_", "-")
            raise SystemExit(f"`--{flag}` must be at least {least}. Got {value}.")


def write_json(path: Path, values: object) -> None:
    """Writes values as indented JSON, NaN as null."""
    text = json.dumps(_finite(values), indent=2, default=str, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_config(folder: Path, kind: type) -> object:
    """The flags of the run that wrote a folder's metrics.json.

    Args:
      folder: Of the run.
      kind: The `Config` of its pipeline.

    Raises:
      SystemExit: no run, or flags of another version of the pipeline.
    """
    path = folder / "metrics.json"
    pipeline = kind.__module__
    if not path.exists():
        raise SystemExit(
            f"There is no trained model in {folder}. Make one with `python -m "
            f"{pipeline} --output {folder}`."
        )
    values = json.loads(path.read_text(encoding="utf-8"))["config"]
    try:
        return _restored(values, kind)
    except TypeError as error:
        raise SystemExit(
            f"{path} must be of this version of the pipeline: {error}. Run it again."
        ) from error


def load_checkpoint(model: tm.Model, folder: Path) -> None:
    """Fills a model, whose weights all are made, from the checkpoint of a run.

    Raises:
      SystemExit: there is none.
    """
    path = folder / "checkpoint" / "best"
    if not path.with_suffix(".index").exists():
        raise SystemExit(
            f"There is no checkpoint in {path.parent}: run the pipeline that writes to "
            f"{folder} again."
        )
    model.load_weights(path).expect_partial().assert_existing_objects_matched()


def _restored(values: dict, kind: type) -> object:
    hints = typing.get_type_hints(kind)
    fields = {}
    for name, value in values.items():
        hint = hints.get(name)
        if dataclasses.is_dataclass(hint):
            value = _restored(value, hint)
        elif isinstance(value, list):
            value = tuple(value)
        elif hint is Path:
            value = Path(value)
        fields[name] = value
    return kind(**fields)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and value != value:
        return None
    return value
