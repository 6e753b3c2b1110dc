"""Where curves and figures of a training go: TensorBoard, MLflow, Weights & Biases."""

import contextlib
import dataclasses
import importlib.util
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import tensorflow as tf

_MODULES = {
    "tensorboard": ("tensorboard", "demo"),
    "mlflow": ("mlflow", "tracking"),
    "wandb": ("wandb", "tracking"),
}
_PROJECT = "tfrs_models"
_NOT_TAKEN = re.compile(r"[^\w\-./: ]+")  # by MLflow, in the name of a metric
_LONGEST = 250  # characters of a parameter that MLflow takes


@dataclasses.dataclass(frozen=True)
class Installed:
    """A tracker whose package is installed."""

    def problem(self, value: object) -> str | None:
        """Returns the rule that a value breaks, in words, or None."""
        if value not in _MODULES:
            return f"be of {', '.join(_MODULES)}"
        module, extra = _MODULES[value]
        if importlib.util.find_spec(module) is not None:
            return None
        return f"be installed: pip install {module} (or 'tfrs-models[{extra}]')"


@dataclasses.dataclass(frozen=True)
class TrackingConfig:
    """Flags of the tracking of trainings."""

    log_to: tuple[
        Annotated[Literal["tensorboard", "mlflow", "wandb"], Installed()], ...
    ] = ("tensorboard",)
    """Trackers of the curves and of the figures on the test rows: files of TensorBoard
    in the folder `logs` of the output, and runs of MLflow and Weights & Biases, where
    their own variables (MLFLOW_TRACKING_URI, WANDB_MODE) say. None to log nowhere."""


class Tracked:
    """Trackers of one training.

    Args:
      name: name of the training among those of all pipelines.
      folder: folder for files of TensorBoard.
      flags: name of a flag -> its value.

    Attributes:
      callbacks: callbacks of the trackers, for `model.fit`.
    """

    def __init__(self, name: str, folder: Path, flags: Mapping) -> None:
        """Initializes a training without trackers."""
        self.name, self.folder = name, folder
        self.flags = {flag: str(value) for flag, value in flat(flags).items()}
        self.callbacks: list[tf.keras.callbacks.Callback] = []
        self.writers: list[Callable[[Mapping[str, float]], object]] = []

    def log(self, figures: Mapping) -> None:
        """Hands figures of the test rows to all trackers.

        Args:
          figures: name -> number, or names and numbers below it. What is no finite
            number is left out.
        """
        numbers = {
            "test/" + _NOT_TAKEN.sub(" ", name): float(value)
            for name, value in flat(figures).items()
            if isinstance(value, (int, float))
            and not isinstance(value, bool)
            and math.isfinite(value)
        }
        for write in self.writers:
            write(numbers)


@contextlib.contextmanager
def tracked(
    config: TrackingConfig, pipeline: str, training: str = ""
) -> Iterator[Tracked]:
    """Opens a run of each tracker for a training, and closes it with the block.

    A run of MLflow or Weights & Biases whose block fails is marked as failed.

    Args:
      config: flags of the pipeline, with an `output`.
      pipeline: name of the pipeline.
      training: name of one of several trainings of a run.
    """
    made = Tracked(
        f"{pipeline} {training}".strip(),
        Path(config.output) / "logs" / training.replace("/", " "),
        dataclasses.asdict(config),
    )
    with contextlib.ExitStack() as stack:
        for tracker in dict.fromkeys(config.log_to):
            stack.enter_context(_OPEN[tracker](made))
        yield made


def flat(values: Mapping, above: str = "") -> dict[str, object]:
    """Flattens mappings in mappings: `{"a": {"b": 1}}` becomes `{"a/b": 1}`.

    Args:
      values: mapping.
      above: name of the mapping that holds it.
    """
    found = {}
    for name, value in values.items():
        path = f"{above}/{name}" if above else str(name)
        found |= flat(value, path) if isinstance(value, Mapping) else {path: value}
    return found


@contextlib.contextmanager
def _tensorboard(made: Tracked) -> Iterator[None]:
    folder = str(made.folder)
    made.callbacks.append(tf.keras.callbacks.TensorBoard(folder, write_graph=False))

    def write(numbers: Mapping[str, float]) -> None:
        with tf.summary.create_file_writer(folder + "/test").as_default():
            for name, value in numbers.items():
                tf.summary.scalar(name.removeprefix("test/"), value, step=0)

    made.writers.append(write)
    yield


@contextlib.contextmanager
def _mlflow(made: Tracked) -> Iterator[None]:
    import mlflow
    import mlflow.tensorflow

    is_inside = mlflow.active_run() is not None  # of a program that calls a pipeline
    with mlflow.start_run(run_name=made.name, nested=is_inside):
        mlflow.log_params({f: value[:_LONGEST] for f, value in made.flags.items()})
        made.callbacks.append(mlflow.tensorflow.MlflowCallback())
        made.writers.append(mlflow.log_metrics)
        yield


@contextlib.contextmanager
def _wandb(made: Tracked) -> Iterator[None]:
    import wandb
    from wandb.integration.keras import WandbMetricsLogger

    with wandb.init(project=_PROJECT, name=made.name, config=made.flags) as run:
        made.callbacks.append(WandbMetricsLogger())
        made.writers.append(run.summary.update)
        yield


_OPEN = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
