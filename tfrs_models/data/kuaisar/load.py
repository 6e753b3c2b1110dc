"""Whatever a directory holds: the raw log, UniSAR's pickles or our records."""

from pathlib import Path

from tfrs_models.data.kuaisar.convert import convert
from tfrs_models.data.kuaisar.options import Options
from tfrs_models.data.kuaisar.read_pickles import read_pickles
from tfrs_models.data.kuaisar.records import read_records
from tfrs_models.data.kuaisar.search_and_recommendation import SearchAndRecommendation


def load(
    directory: str | Path, options: Options | None = None
) -> SearchAndRecommendation:
    """Reads a directory of any of the three kinds.

    Args:
      directory: Of `rec_inter.csv` and its like, of `vocab/` and `dataset/`, or of
        records.
      options: For raw files, which are converted.

    Raises:
      FileNotFoundError: it is none of them, or a file is missing.
      ValueError: options for what has been converted, or wrong data.
    """
    directory = Path(directory)
    if (directory / "rec_inter.csv").exists():
        return convert(directory, options)
    if options is not None:
        raise ValueError(
            f"`options` are for raw files. {directory} has no rec_inter.csv."
        )
    if (directory / "vocab").is_dir():
        return read_pickles(directory)
    if (directory / "manifest.json").exists():
        return read_records(directory)
    raise FileNotFoundError(
        f"{directory} must have rec_inter.csv (raw), vocab/ (UniSAR's pickles) or "
        "manifest.json (records)."
    )
