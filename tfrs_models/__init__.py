"""TensorFlow Recommenders, batteries included."""

from tfrs_models import _keras  # noqa: F401  isort: skip  binds `tf.keras` before all else

from tfrs_models import (
    baselines,
    data,
    layers,
    losses,
    metrics,
    models,
    ops,
    serving,
    tasks,
    towers,
    training,
)
from tfrs_models._advice import install as _install
from tfrs_models.model import Model

__version__ = "0.1.0"

__all__ = [
    "Model",
    "baselines",
    "data",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "serving",
    "tasks",
    "towers",
    "training",
]

_install()
