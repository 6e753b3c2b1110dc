"""Clicks in a recommender and a search engine over one catalogue, such as KuaiSAR.

`load` reads the raw log, UniSAR's pickles or records; `write_pickles` and
`write_records` store converted data. The package ships nothing of the data set.
"""

from tfrs_models.data.kuaisar.pickles import write_pickles
from tfrs_models.data.kuaisar.samples import Options
from tfrs_models.data.kuaisar.search_and_recommendation import SearchAndRecommendation
from tfrs_models.data.kuaisar.storage import load, write_records

__all__ = [
    "Options",
    "SearchAndRecommendation",
    "load",
    "write_pickles",
    "write_records",
]
