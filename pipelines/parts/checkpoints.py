"""Checkpoints that record the run, flags, data and vocabularies of their weights."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models._files import digest, sealed
from tfrs_models._versions import publish, remove_folder, unfinished_version

from .artifacts import command_of, finite, module_of, read_json, read_metrics

Fingerprint = dict[str, dict[str, int | str]]
_ABOUT, _VOCABULARIES, _WEIGHTS = "about.json", "vocabularies.json", "weights"
_KEPT = 2
_AGAIN = "Train it again"
# Flags that may differ when training is resumed: the weights keep their meaning.
_MAY_DIFFER = {
    *("batch_size", "epochs", "learning_rate", "output", "patience", "resume"),
    *("checkpoint_minutes", "resume_anyway", "fall_back"),
    *("trials", "budget", "tune_query_tower", "explain", "log_to", "keep_lists"),
    *("baselines", "baseline_seconds", "serve_best", "folds", "group_column"),
}
_ROWS = ("user_id", "item_id", "rating", "timestamp", "timestamp_us", "tie_order")


@dataclasses.dataclass(frozen=True, eq=False)
class Origin:
    """Run, flags and data of a model's weights.

    Args:
      run: identity of the run, which all its files have.
      config: flags of the pipeline.
      data: fingerprint of the data and its split.
      vocabularies: feature -> `[num_values]` strings in the order of the model's rows.
    """

    run: str
    config: object
    data: Fingerprint
    vocabularies: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Weights on the disk with their origin.

    Args:
      folder: folder with the weights, about.json and vocabularies.json.
      about: content of about.json: `id` of the checkpoint, `run`, `pipeline`,
        `config`, `data`, `metric` (None, or the metric that chose the weights) and
        values that the pipeline added.
      is_older: whether it is taken because a newer one is damaged.
    """

    folder: Path
    about: dict
    is_older: bool = False

    @property
    def id(self) -> str:
        """Unique identity of the checkpoint."""
        return self.about["id"]

    @property
    def weights(self) -> Path:
        """Prefix of the files of weights and optimizer."""
        return self.folder / _WEIGHTS

    @property
    def vocabularies(self) -> dict[str, list[str]]:
        """Name of a vocabulary -> its values in the order of the model's rows.

        Raises:
          SystemExit: the file is missing or damaged.
        """
        return read_json(self.folder / _VOCABULARIES, (), "Train the model again")

    def check_data(self, data: Fingerprint) -> None:
        """Ends the program if the weights were trained on other data."""
        if found := self.other_data(data):
            raise SystemExit(
                f"The weights in {self.folder} were trained on other data: "
                f"{'; '.join(found)}. Give the data, the split and the seed of that "
                "run, or train a new model with another --output."
            )

    def other_data(self, data: Fingerprint, *, only_known: bool = False) -> list[str]:
        """Lists the differences from the data of the weights, one phrase each.

        Args:
          data: fingerprint to compare.
          only_known: whether to compare only the parts that `data` has.
        """
        then = self.about["data"]
        if only_known:
            then = {name: part for name, part in then.items() if name in data}
        return different_data(then, data)

    def check_flags(self, config: object) -> None:
        """Ends the program if the flags describe another model than the weights.

        Flags of the data are not compared: `check_data` compares the data itself.
        """
        then, now = self.about["config"], _plain(dataclasses.asdict(config))
        found = [
            f"`--{name.replace('_', '-')}` was {then.get(name)} and is {value}"
            for name, value in now.items()
            if name not in {*_MAY_DIFFER, "data"} and then.get(name) != value
        ]
        if found:
            raise SystemExit(
                f"The weights in {self.folder} are of other flags: {'; '.join(found)}. "
                "Give those of that run to --resume it, or train a new model with "
                "another --output."
            )

    def load(self, model: tm.Model) -> None:
        """Loads the weights into a model whose weights all exist.

        Raises:
          SystemExit: the weights do not fit the model.
        """
        try:
            status = model.load_weights(self.folder / _WEIGHTS)
            status.expect_partial().assert_existing_objects_matched()
        except (tf.errors.OpError, ValueError, AssertionError) as error:
            raise SystemExit(
                f"The weights in {self.folder} do not fit the model of this version "
                f"of the pipeline: {str(error).splitlines()[0]} Train it again."
            ) from error


class Checkpoints:
    """Numbered checkpoints of a folder; the newest two are kept.

    A checkpoint gets its number in one step when all its files are on the disk, so that
    a killed process leaves the earlier ones. `best.index` and
    `best.data-00000-of-00001` are links to the newest weights.
    """

    def __init__(self, folder: Path) -> None:
        """Initializes the checkpoints of a folder, which need not exist."""
        self.folder = folder

    def save(
        self,
        model: tm.Model,
        origin: Origin,
        *,
        metric: Mapping[str, float | str] | None = None,
        **more: object,
    ) -> Checkpoint:
        """Writes the weights of a model as the next checkpoint.

        Args:
          model: model to save.
          origin: run, flags and data of the weights.
          metric: `name`, `value` and `epoch` of the metric that chose the weights.
          **more: values that the pipeline needs to build the model again.
        """
        with unfinished_version(self.folder) as unfinished:
            model.save_weights(unfinished / _WEIGHTS)
            words = {k: [*map(str, v)] for k, v in origin.vocabularies.items()}
            text = json.dumps(words, ensure_ascii=False)
            (unfinished / _VOCABULARIES).write_text(text, encoding="utf-8")
            about = {
                "id": uuid.uuid4().hex[:12],
                "run": origin.run,
                "pipeline": module_of(type(origin.config)),
                "metric": metric,
                **more,
                "config": dataclasses.asdict(origin.config),
                "data": origin.data,
                "files": {
                    path.name: digest(path) for path in sorted(unfinished.iterdir())
                },
            }
            about = _plain(about)
            text = json.dumps(sealed(about), indent=2)
            (unfinished / _ABOUT).write_text(text + "\n", encoding="utf-8")
            path = publish(unfinished, self.folder)
        self._point_to(path)
        for number in self._numbers()[:-_KEPT]:
            shutil.rmtree(self.folder / str(number), ignore_errors=True)
        return Checkpoint(path, about)

    def newest(self, *, fall_back: bool = False) -> Checkpoint | None:
        """Returns the newest checkpoint, None if there is none.

        Args:
          fall_back: whether to take an older one, with a line, if it is damaged.

        Raises:
          SystemExit: one of its files is missing or has changed.
        """
        numbers = self._numbers()
        if not numbers:
            if (self.folder / "best.index").exists():
                raise SystemExit(
                    f"{self.folder} has weights of an earlier version of the "
                    "pipelines, which did not say what they are of: train them again."
                )
            return None
        if not fall_back:
            return self._read(numbers[-1])
        try:
            return _read(self.folder / str(numbers[-1]))
        except SystemExit as damaged:
            problem = str(damaged)
        older = self._older(numbers[-1])
        if older is None:
            raise SystemExit(problem)
        problem = problem.removesuffix(f"{_AGAIN}.")
        print(f"{problem}{older.folder} is used in its place.", file=sys.stderr)
        return older

    def of_id(self, found: str) -> Checkpoint | None:
        """Returns the checkpoint of an id, None if it is not among those that stay.

        Raises:
          SystemExit: one of its files is missing or has changed.
        """
        for number in reversed(self._numbers()):
            if self._said(number).get("id") == found:
                return self._read(number)
        return None

    def remove_after(self, kept: Checkpoint | None, run: str) -> None:
        """Removes the checkpoints of a run that are newer than one of them.

        A training that goes on makes them again. If they stayed, saving them a second
        time would remove the one that its state names.

        Args:
          kept: checkpoint that stays; None for none of the run.
          run: identity of the run.
        """
        for number in self._numbers():
            is_newer = kept is None or number > int(kept.folder.name)
            if is_newer and self._said(number).get("run") == run:
                remove_folder(self.folder / str(number))
        if numbers := self._numbers():
            self._point_to(self.folder / str(numbers[-1]))

    def _read(self, number: int) -> Checkpoint:
        """Reads and checks a checkpoint; the error names an older one that is whole."""
        folder = self.folder / str(number)
        try:
            return _read(folder)
        except SystemExit as damaged:
            problem = str(damaged)
        if older := self._older(number):
            problem = problem.removesuffix(f"{_AGAIN}.")
            problem += f"Remove {folder} to go back to {older.folder}, which is whole, "
            problem += "or give --fall-back."
        raise SystemExit(problem)

    def _said(self, number: int) -> dict:
        """Returns about.json of a checkpoint, nothing if that is damaged."""
        with contextlib.suppress(SystemExit):
            return read_json(self.folder / str(number) / _ABOUT, (), _AGAIN)
        return {}

    def _older(self, number: int) -> Checkpoint | None:
        """Returns the newest checkpoint before a number that is whole."""
        for other in reversed([n for n in self._numbers() if n < number]):
            with contextlib.suppress(SystemExit):
                found = _read(self.folder / str(other))
                return dataclasses.replace(found, is_older=True)
        return None

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(
            int(path.name) for path in self.folder.iterdir() if path.name.isdecimal()
        )

    def _point_to(self, checkpoint: Path) -> None:
        """Lets the links `best.*`, which no code reads, point to a checkpoint."""
        targets = {"current": checkpoint.name} | {
            f"best.{part}": f"current/{_WEIGHTS}.{part}"
            for part in ("index", "data-00000-of-00001")
        }
        for name, target in targets.items():
            path, link = self.folder / name, self.folder / f".unfinished-{name}"
            try:
                if path.is_dir() and not path.is_symlink():  # a copy that followed it
                    shutil.rmtree(path)
                link.unlink(missing_ok=True)
                link.symlink_to(target)
                os.replace(link, path)
            except OSError:  # a file system without links
                return


class KeepBest(tf.keras.callbacks.Callback):
    """Saves a checkpoint after every epoch whose metric is the best so far."""

    def __init__(self, checkpoints: Checkpoints, origin: Origin, monitor: str) -> None:
        """Initializes the callback.

        Args:
          checkpoints: folder of the checkpoints.
          origin: run, flags and data of the weights.
          monitor: name of the metric; larger is better.
        """
        super().__init__()
        self.checkpoints = checkpoints
        self.origin = origin
        self.monitor = monitor
        self.kept = None

    @property
    def best(self) -> float | None:
        """Metric of the best checkpoint so far, None without one."""
        if self.kept is None or self.kept.about["metric"] is None:
            return None
        return self.kept.about["metric"]["value"]

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the model if the epoch is the best so far."""
        value = float((logs or {}).get(self.monitor, np.nan))
        if value > (-np.inf if self.best is None else self.best):
            metric = {"name": self.monitor, "value": value, "epoch": epoch + 1}
            self.kept = self.checkpoints.save(self.model, self.origin, metric=metric)

    def resume_state(self) -> dict:
        """Returns which checkpoint is the best, for a training that goes on later."""
        return {"kept": None if self.kept is None else self.kept.id}

    def restore_state(self, state: dict) -> None:
        """Finds the best checkpoint so far of a training that goes on.

        Args:
          state: result of `resume_state`.

        Raises:
          SystemExit: the checkpoint is gone or damaged.
        """
        found = state["kept"]
        self.kept = None if found is None else self.checkpoints.of_id(found)
        if found is not None and self.kept is None:
            raise SystemExit(
                f"{self.checkpoints.folder} no longer has the best weights of the "
                f"training to --resume, checkpoint {found}: train again, without it."
            )
        self.checkpoints.remove_after(self.kept, self.origin.run)


def fingerprint(data: tm.data.Interactions) -> Fingerprint:
    """Computes sizes and hashes of the data that weights and metrics depend on."""
    parts = {
        "users": (data.num_users, data.vocabularies["user_id"]),
        "items": (data.num_items, data.vocabularies["item_id"]),
        "features of users": (data.num_users, data.users),
        "features of items": (data.num_items, data.items),
    }
    for name, words in data.vocabularies.items():
        if name not in ("user_id", "item_id"):
            parts[f"values of {name}"] = (len(words), words)
    for split, columns in data.splits.items():
        rows = {name: columns[name] for name in _ROWS if name in columns}
        parts[f"{split} rows"] = (len(rows["user_id"]), rows)
    return {name: sized(size, arrays) for name, (size, arrays) in parts.items()}


def sized(
    size: int, arrays: np.ndarray | Mapping[str, np.ndarray]
) -> dict[str, int | str]:
    """Computes one part of a fingerprint.

    Args:
      size: number of users, items, values or rows.
      arrays: their values.

    Returns:
      `size` and `sha256` of the arrays.
    """
    if not isinstance(arrays, Mapping):
        arrays = {"": arrays}
    hashed = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        if array.dtype == object:
            array = array.astype(str)
        hashed.update(f"{name} {array.dtype} {array.shape} ".encode())
        hashed.update(np.ascontiguousarray(array).tobytes())
    return {"size": int(size), "sha256": hashed.hexdigest()}


def finished(folder: Path, kind: type, *, fall_back: bool = False) -> Checkpoint:
    """Returns the checkpoint of a finished run.

    Args:
      folder: output folder of the run.
      kind: class `Config` of its pipeline.
      fall_back: whether to take an older checkpoint of the run, with a line, if the
        newest one is damaged.

    Raises:
      SystemExit: there is no run, it did not finish, or its files are damaged or
        belong to two runs.
    """
    checkpoint = Checkpoints(folder / "checkpoint").newest(fall_back=fall_back)
    if checkpoint and not (folder / "metrics.json").exists():
        raise SystemExit(
            f"The run in {folder} did not finish. Finish it (--resume, where the "
            f"pipeline has it): `{command_of(kind)} --output {folder}`."
        )
    metrics = read_metrics(folder, kind)
    if checkpoint is None:
        raise SystemExit(
            f"There is no checkpoint in {folder / 'checkpoint'}: run "
            f"`{command_of(kind)} --output {folder}` again."
        )
    if checkpoint.about.get("pipeline") != module_of(kind):
        raise SystemExit(
            f"{checkpoint.folder} is of {checkpoint.about.get('pipeline')}, not of "
            f"{module_of(kind)}: give the folder of one of its runs."
        )
    is_of_run = checkpoint.is_older and metrics.get("run") == checkpoint.about["run"]
    if metrics.get("checkpoint") != checkpoint.id and not is_of_run:
        raise SystemExit(
            f"{folder} holds files of two runs: metrics.json is of run "
            f"{metrics.get('run')}, {checkpoint.folder} of run "
            f"{checkpoint.about['run']}, which did not finish. Finish it (--resume, "
            "where the pipeline has it), or train again."
        )
    return checkpoint


def different_data(then: Fingerprint, now: Fingerprint) -> list[str]:
    """Lists the differences of two fingerprints, one phrase each.

    Args:
      then: fingerprint of the data of an earlier run.
      now: fingerprint to compare.
    """
    return [
        _difference(name, then.get(name), now.get(name))
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]


def is_empty(folder: Path) -> bool:
    """Returns True if a folder has no files of a run, finished or not."""
    return not (folder / "metrics.json").exists() and not any(
        (folder / "checkpoint").glob("*")
    )


def _read(folder: Path) -> Checkpoint:
    """Reads what a checkpoint is of.

    Raises:
      SystemExit: one of its files is missing or has changed.
    """
    about = read_json(folder / _ABOUT, ("id", "run", "pipeline", "metric"), _AGAIN)
    if not all(
        isinstance(about.get(name), dict) for name in ("files", "config", "data")
    ):
        raise SystemExit(f"{folder / _ABOUT} is damaged. {_AGAIN}.")
    for name, then in about["files"].items():
        try:
            found = digest(folder / name)
        except OSError as error:
            raise SystemExit(
                f"{folder / name} cannot be read: {error.strerror}. {_AGAIN}."
            ) from error
        if found != then:
            raise SystemExit(
                f"{folder / name} is not as it was written: {found[:12]} in place of "
                f"{then[:12]}. {_AGAIN}."
            )
    return Checkpoint(folder, about)


def _difference(name: str, then: dict | None, now: dict | None) -> str:
    sizes = [None if part is None else part["size"] for part in (then, now)]
    if None in sizes:
        return f"{name} are {'new' if then is None else 'gone'}"
    if sizes[0] == sizes[1]:
        return f"the {sizes[0]:,} {name} are others"
    return f"{sizes[0]:,} {name} then, {sizes[1]:,} now"


def _plain(values: dict) -> dict:
    """Converts values to those that a JSON file returns."""
    return json.loads(json.dumps(finite(values), default=str))
