"""Embeddings of hashed ids."""

from tfrs_models._advice import advise as _advise
from tfrs_models.layers.embedding.hashed import HashedEmbedding

__all__ = ["HashedEmbedding"]

__getattr__ = _advise(__name__)
