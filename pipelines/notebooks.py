"""Runs all notebooks: python -m pipelines.notebooks.

Writes executed copies to `artifacts/notebooks`; the notebooks in git have no outputs.
"""

import dataclasses
import time
from pathlib import Path

import nbformat
import tyro
from nbclient import NotebookClient

from .parts.artifacts import prepare_folder, written_whole
from .parts.command import command


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the run."""

    notebooks: Path = Path("notebooks")
    """Folder of the notebooks."""
    output: Path = Path("artifacts/notebooks")
    """Folder of the executed copies."""
    timeout: int = 900
    """Time limit of one cell, in seconds."""


@command
def main(config: Config) -> dict[str, float]:
    """Runs the notebooks and returns the seconds of each."""
    output = prepare_folder(config.output)
    seconds = {}
    paths = sorted(config.notebooks.glob("*.ipynb"))
    if not paths:
        raise SystemExit(
            f"`--notebooks` must be a folder of notebooks. There is none in "
            f"{config.notebooks}."
        )
    for path in paths:
        start = time.perf_counter()
        executed = run(path, timeout=config.timeout)
        with written_whole(output / path.name) as unfinished:
            nbformat.write(executed, unfinished)
        seconds[path.name] = time.perf_counter() - start
        print(f"{path.name}: {seconds[path.name]:.0f} s")
    return seconds


def run(path: Path, *, timeout: int) -> nbformat.NotebookNode:
    """Executes a notebook.

    Raises:
      SystemExit: the file is no notebook.
      CellExecutionError: a cell failed.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, nbformat.reader.NotJSONError) as error:
        raise SystemExit(f"{path} is no notebook: {error}") from error
    client = NotebookClient(notebook, timeout=timeout, kernel_name="python3")
    return client.execute()


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
