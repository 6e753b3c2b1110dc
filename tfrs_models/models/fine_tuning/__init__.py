"""Fine-tuning of two towers from searches with clicks."""

from tfrs_models.models.fine_tuning.fine_tuning import FineTuningModel
from tfrs_models.models.fine_tuning.train_step import fine_tuning_train_step

__all__ = ["FineTuningModel", "fine_tuning_train_step"]
