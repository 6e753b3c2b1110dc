"""KuaiSAR, and every log of clicks in a recommender and a search engine like it.

`load` reads the raw log, UniSAR's pickles or records; `write_pickles` and
`write_records` keep what a conversion cost. Nothing of the data set is shipped.
"""

from tfrs_models.data.kuaisar.convert import convert
from tfrs_models.data.kuaisar.histories import Histories
from tfrs_models.data.kuaisar.load import load
from tfrs_models.data.kuaisar.options import Options
from tfrs_models.data.kuaisar.read_pickles import read_pickles
from tfrs_models.data.kuaisar.records import read_records, write_records
from tfrs_models.data.kuaisar.search_and_recommendation import SearchAndRecommendation
from tfrs_models.data.kuaisar.write_pickles import write_pickles

__all__ = [
    "Histories",
    "Options",
    "SearchAndRecommendation",
    "convert",
    "load",
    "read_pickles",
    "read_records",
    "write_pickles",
    "write_records",
]
