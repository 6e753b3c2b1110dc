"""AutoMTN: next points of interest from auto-correlated traces."""

from tfrs_models.models.automtn.attention_predictor import AttentionPredictor
from tfrs_models.models.automtn.automtn import AutoMTN
from tfrs_models.models.automtn.cross_modal_stack import CrossModalStack
from tfrs_models.models.automtn.past_visits import PastVisits
from tfrs_models.models.automtn.poi_closeness import POICloseness
from tfrs_models.models.automtn.request_time import RequestTime

__all__ = [
    "AttentionPredictor",
    "AutoMTN",
    "CrossModalStack",
    "POICloseness",
    "PastVisits",
    "RequestTime",
]
