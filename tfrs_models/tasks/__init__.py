"""Tasks: from the outputs of a model to its loss and its metrics."""

from tfrs_models import _keras  # noqa: F401  isort: skip  `tf.keras` must be Keras 2

from tfrs_models._advice import advise as _advise
from tfrs_models.tasks.multi_task import MultiTask
from tfrs_models.tasks.regression import Regression
from tfrs_models.tasks.retrieval import Retrieval

__all__ = ["MultiTask", "Regression", "Retrieval"]

__getattr__ = _advise(__name__)
