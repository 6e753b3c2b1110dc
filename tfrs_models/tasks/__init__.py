"""What is optimised."""

from tfrs_models.tasks.retrieval import Retrieval

__all__ = ["Retrieval"]
