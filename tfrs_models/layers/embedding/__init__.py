"""Embeddings of hashed ids."""

from tfrs_models.layers.embedding.deep_hash_code import DeepHashCode
from tfrs_models.layers.embedding.hashed import HashedEmbedding

__all__ = ["DeepHashCode", "HashedEmbedding"]
