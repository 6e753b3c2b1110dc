"""Exports trained models for a server, and checks, tunes and compares the exports."""

from tfrs_models import _keras  # noqa: F401  isort: skip  `tf.keras` must be Keras 2

from tfrs_models.serving import client, contract, gate, tuning
from tfrs_models.serving.baseline_recommender import baseline_recommender
from tfrs_models.serving.candidate_ranker import CandidateRanker
from tfrs_models.serving.exporting import export
from tfrs_models.serving.live_trends import LiveTrends
from tfrs_models.serving.ranker import Ranker
from tfrs_models.serving.recommender import Recommender
from tfrs_models.serving.request_history import RequestHistory
from tfrs_models.serving.retriever import Retriever
from tfrs_models.serving.server_config import Batching, ServedModel, write_server_config
from tfrs_models.serving.snapshots import Restored, load_snapshot, save_snapshot
from tfrs_models.serving.vector_collections import VectorIndex
from tfrs_models.serving.vector_store import VectorStore
from tfrs_models.serving.versions import list_versions

__all__ = [
    "Batching",
    "CandidateRanker",
    "LiveTrends",
    "Ranker",
    "Recommender",
    "RequestHistory",
    "Restored",
    "Retriever",
    "ServedModel",
    "VectorIndex",
    "VectorStore",
    "baseline_recommender",
    "client",
    "contract",
    "export",
    "gate",
    "list_versions",
    "load_snapshot",
    "save_snapshot",
    "tuning",
    "write_server_config",
]
