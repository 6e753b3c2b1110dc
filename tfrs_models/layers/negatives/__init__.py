"""Layers between the scores of a batch and its loss."""

from tfrs_models.layers.negatives.candidate_queue import CandidateQueue
from tfrs_models.layers.negatives.hard_negative_mining import HardNegativeMining
from tfrs_models.layers.negatives.remove_accidental_hits import RemoveAccidentalHits
from tfrs_models.layers.negatives.sampling_probability_correction import (
    SamplingProbabilityCorrection,
)

__all__ = [
    "CandidateQueue",
    "HardNegativeMining",
    "RemoveAccidentalHits",
    "SamplingProbabilityCorrection",
]
