"""How declared features act together."""

from tfrs_models.layers.interaction.factorization_machine import FactorizationMachine
from tfrs_models.layers.interaction.field_aware_factorization_machine import (
    FieldAwareFactorizationMachine,
)
from tfrs_models.layers.interaction.field_embedding import FieldEmbedding

__all__ = ["FactorizationMachine", "FieldAwareFactorizationMachine", "FieldEmbedding"]
