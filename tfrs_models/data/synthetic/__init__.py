"""Made-up data whose truth is known: for tests and demonstrations, never for claims."""

from tfrs_models.data.synthetic.click_sessions import make_click_sessions
from tfrs_models.data.synthetic.position_biased_clicks import (
    PositionBiasedClicks,
    examination,
    make_position_biased_clicks,
)

__all__ = [
    "PositionBiasedClicks",
    "examination",
    "make_click_sessions",
    "make_position_biased_clicks",
]
