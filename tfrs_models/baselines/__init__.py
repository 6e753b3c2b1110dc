"""Simple recommenders, to compare with and to serve where they win.

All have one interface: `fit` on interactions, `score` users at times. `choose` finds
their parameters on validation rows. `ClickRate` is for sessions: it scores what was
shown.
"""

from tfrs_models.baselines.als import ALS
from tfrs_models.baselines.baseline import Baseline
from tfrs_models.baselines.choosing import Choice, choose
from tfrs_models.baselines.click_rate import ClickRate
from tfrs_models.baselines.ease import EASE
from tfrs_models.baselines.item_knn import ItemKNN
from tfrs_models.baselines.popularity import Popularity
from tfrs_models.baselines.recent_popularity import RecentPopularity
from tfrs_models.baselines.transitions import transitions
from tfrs_models.baselines.user_history import UserHistory
from tfrs_models.baselines.weighted_sum import WeightedSum

__all__ = [
    "ALS",
    "Baseline",
    "Choice",
    "ClickRate",
    "EASE",
    "ItemKNN",
    "Popularity",
    "RecentPopularity",
    "UserHistory",
    "WeightedSum",
    "choose",
    "transitions",
]
