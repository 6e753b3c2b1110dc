"""TensorFlow Recommenders, batteries included.

A part, such as `tfrs_models.layers`, is imported when it is first used, and TensorFlow
with it. Only parts that need Keras look at `tf.keras`; `data` and `baselines` do not.
"""

import os
from typing import TYPE_CHECKING

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # before `tf.keras` is first used

from tfrs_models._advice import install as _install
from tfrs_models._lazy import lookup as _lookup

if TYPE_CHECKING:
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

_MODULES = ("feature", "model", "torch_weights", "types")  # not listed, but reachable
__getattr__ = _lookup(
    __name__,
    {name: f"{__name__}.{name}" for name in (*__all__, *_MODULES)}
    | {"Model": f"{__name__}.model"},
)


def __dir__() -> list[str]:
    """Lists the parts that have not been imported yet, too."""
    return sorted({*globals(), *__all__})


_install()
