"""Factorisation machines over declared features."""

from tfrs_models.layers.interaction.factorization_machine import FactorizationMachine
from tfrs_models.layers.interaction.field_aware_factorization_machine import (
    FieldAwareFactorizationMachine,
)

__all__ = ["FactorizationMachine", "FieldAwareFactorizationMachine"]
