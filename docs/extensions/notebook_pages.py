"""Puts the notebooks among the pages, with outputs where `make notebooks` made them."""

import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

REPOSITORY = Path(__file__).parents[2]
SOURCES = REPOSITORY / "notebooks"
EXECUTED = REPOSITORY / "build/notebooks"
_logger = logging.getLogger(__name__)


def choose(source: Path, executed: Path) -> Path:
    """Returns the executed copy of a notebook if it is newer than its source."""
    if executed.exists() and executed.stat().st_mtime >= source.stat().st_mtime:
        return executed
    return source


def copy_notebooks(app: Sphinx) -> None:
    """Copies every notebook that changed to the folder of the pages."""
    folder = Path(app.srcdir) / "notebooks"
    folder.mkdir(exist_ok=True)
    sources = sorted(SOURCES.glob("*.ipynb"))
    stripped = []
    for source in sources:
        chosen = choose(source, EXECUTED / source.name)
        if chosen == source:
            stripped.append(source.name)
        copy = folder / source.name
        if not copy.exists() or copy.read_bytes() != chosen.read_bytes():
            shutil.copyfile(chosen, copy)
    for copy in folder.glob("*.ipynb"):
        if not (SOURCES / copy.name).exists():
            copy.unlink()
    if stripped:
        _logger.info(
            "notebooks without outputs, for `make notebooks` has not run since they "
            "changed: %s",
            ", ".join(stripped),
        )


def setup(app: Sphinx) -> dict[str, object]:
    """Registers the extension."""
    app.connect("builder-inited", copy_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
