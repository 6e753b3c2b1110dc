"""UniSAR: joint search and recommendation, and the layers of its paper."""

from tfrs_models.models.unisar.bilinear_target_attention import BilinearTargetAttention
from tfrs_models.models.unisar.cross_fusion import CrossFusion
from tfrs_models.models.unisar.entity_encoder import EntityEncoder
from tfrs_models.models.unisar.query_encoder import QueryEncoder
from tfrs_models.models.unisar.service_transitions import ServiceTransitions
from tfrs_models.models.unisar.typed_transition import TypedTransition
from tfrs_models.models.unisar.unisar import UniSAR

__all__ = [
    "BilinearTargetAttention",
    "CrossFusion",
    "EntityEncoder",
    "QueryEncoder",
    "ServiceTransitions",
    "TypedTransition",
    "UniSAR",
]
