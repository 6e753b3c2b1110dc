"""What watches over the training of any model."""

from tfrs_models.training.index_negatives import IndexNegatives
from tfrs_models.training.learning_alarms import LearningAlarms, LearningWarning

__all__ = ["IndexNegatives", "LearningAlarms", "LearningWarning"]
