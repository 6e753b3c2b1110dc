"""Negatives of sampled losses: corrections, masks, queues and mined candidates."""

from tfrs_models.layers.negatives.candidate_queue import CandidateQueue
from tfrs_models.layers.negatives.frequency_estimator import FrequencyEstimator
from tfrs_models.layers.negatives.hard_negative_mining import HardNegativeMining
from tfrs_models.layers.negatives.mined_negatives import MinedNegatives
from tfrs_models.layers.negatives.remove_accidental_hits import RemoveAccidentalHits
from tfrs_models.layers.negatives.sampling_probability_correction import (
    SamplingProbabilityCorrection,
)

__all__ = [
    "CandidateQueue",
    "FrequencyEstimator",
    "HardNegativeMining",
    "MinedNegatives",
    "RemoveAccidentalHits",
    "SamplingProbabilityCorrection",
]
