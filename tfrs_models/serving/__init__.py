"""From a trained model to answers."""

from tfrs_models.serving.export import export, list_versions
from tfrs_models.serving.ranker import Ranker
from tfrs_models.serving.recommender import Recommender

__all__ = ["Ranker", "Recommender", "export", "list_versions"]
