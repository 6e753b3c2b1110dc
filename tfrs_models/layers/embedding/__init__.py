"""Layers from ids and words to vectors."""

from tfrs_models.layers.embedding.deep_hash_code import DeepHashCode
from tfrs_models.layers.embedding.entity_encoder import EntityEncoder
from tfrs_models.layers.embedding.hashed import HashedEmbedding
from tfrs_models.layers.embedding.query_encoder import QueryEncoder

__all__ = ["DeepHashCode", "EntityEncoder", "HashedEmbedding", "QueryEncoder"]
