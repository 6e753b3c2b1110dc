"""Tasks: from the outputs of a model to its loss and its metrics."""

from tfrs_models.tasks.multi_task import MultiTask
from tfrs_models.tasks.regression import Regression
from tfrs_models.tasks.retrieval import Retrieval

__all__ = ["MultiTask", "Regression", "Retrieval"]
