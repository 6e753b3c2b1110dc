"""What is optimised."""

from tfrs_models.tasks.multi_task import MultiTask
from tfrs_models.tasks.retrieval import Retrieval

__all__ = ["MultiTask", "Retrieval"]
