"""Made-up data whose truth is known: for tests and demonstrations, never for claims."""

from tfrs_models.data.synthetic.click_sessions import make_click_sessions
from tfrs_models.data.synthetic.position_biased_clicks import (
    PositionBiasedClicks,
    examination,
    make_position_biased_clicks,
)
from tfrs_models.data.synthetic.search_and_recommendation import (
    make_search_and_recommendation,
    write_search_and_recommendation_log,
)

__all__ = [
    "PositionBiasedClicks",
    "examination",
    "make_click_sessions",
    "make_position_biased_clicks",
    "make_search_and_recommendation",
    "write_search_and_recommendation_log",
]
