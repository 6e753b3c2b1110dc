"""Known formats of files, recognised by name and by look."""

from tfrs_models.data.formats.known import FORMATS
from tfrs_models.data.formats.reading import read_format
from tfrs_models.data.formats.recognition import Recognised, recognise, unknown_text

__all__ = ["FORMATS", "Recognised", "read_format", "recognise", "unknown_text"]
