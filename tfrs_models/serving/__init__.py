"""From a trained model to answers."""

from tfrs_models.serving import client, contract, gate, tuning
from tfrs_models.serving.batching import Batching
from tfrs_models.serving.candidate_ranker import CandidateRanker
from tfrs_models.serving.contract import ContractError
from tfrs_models.serving.export import export
from tfrs_models.serving.preflight import CustomOpsError
from tfrs_models.serving.ranker import Ranker
from tfrs_models.serving.recommender import Recommender
from tfrs_models.serving.retriever import Retriever
from tfrs_models.serving.server_config import ServedModel, write_server_config
from tfrs_models.serving.vector_index import VectorIndex
from tfrs_models.serving.vector_store import VectorStore
from tfrs_models.serving.versions import list_versions

__all__ = [
    "Batching",
    "CandidateRanker",
    "ContractError",
    "CustomOpsError",
    "Ranker",
    "Recommender",
    "Retriever",
    "ServedModel",
    "VectorIndex",
    "VectorStore",
    "client",
    "contract",
    "export",
    "gate",
    "list_versions",
    "tuning",
    "write_server_config",
]
