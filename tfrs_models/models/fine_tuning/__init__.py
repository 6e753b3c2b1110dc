"""Fine-tuning of two towers from searches with clicks."""

from tfrs_models.models.fine_tuning.fine_tuning import (
    FineTuningModel,
    fine_tuning_train_step,
)

__all__ = ["FineTuningModel", "fine_tuning_train_step"]
