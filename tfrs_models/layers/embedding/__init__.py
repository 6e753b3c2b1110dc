"""Embeddings of hashed ids."""

from tfrs_models.layers.embedding.hashed import HashedEmbedding

__all__ = ["HashedEmbedding"]
