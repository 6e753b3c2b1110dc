"""From a trained model to answers."""

from tfrs_models.serving.export import export, list_versions
from tfrs_models.serving.ranker import Ranker
from tfrs_models.serving.recommender import Recommender
from tfrs_models.serving.retriever import Retriever

__all__ = ["Ranker", "Recommender", "Retriever", "export", "list_versions"]
