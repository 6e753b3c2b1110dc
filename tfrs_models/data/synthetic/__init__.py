"""Synthetic data with a known truth, for tests and demonstrations only."""

from tfrs_models.data.synthetic.check_ins import make_check_ins
from tfrs_models.data.synthetic.click_sessions import make_click_sessions
from tfrs_models.data.synthetic.position_biased_clicks import (
    make_position_biased_clicks,
)
from tfrs_models.data.synthetic.search_and_recommendation import (
    make_search_and_recommendation,
    write_search_and_recommendation_log,
)

__all__ = [
    "make_check_ins",
    "make_click_sessions",
    "make_position_biased_clicks",
    "make_search_and_recommendation",
    "write_search_and_recommendation_log",
]
