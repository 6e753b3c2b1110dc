"""Lists, copies or runs the notebooks: tfrs-models notebooks --list.

`--copy-to DIR` copies them to a folder of yours, to open them in Jupyter. Otherwise
they are run, all or those of `--only`, and executed copies are written to
`artifacts/notebooks`; the notebooks themselves have no outputs.
"""

import dataclasses
import json
import shutil
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from .parts.artifacts import prepare_folder, written_whole
from .parts.command import command, ending, start

# Beside the folder of this file, in a checkout and in an installed package.
FOLDER = Path(__file__).parents[1] / "notebooks"


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the run."""

    notebooks: Path = FOLDER
    """Folder of the notebooks; by default that of the package."""
    only: tuple[str, ...] = ()
    """Names of notebooks, or beginnings of names such as 01; by default all."""
    list: bool = False
    """Print the names and titles of the notebooks, and nothing else."""
    copy_to: Path | None = None
    """Folder to copy the notebooks to, in place of running them. No file of it is
    replaced."""
    output: Path = Path("artifacts/notebooks")
    """Folder of the executed copies."""
    timeout: int = 900
    """Time limit of one cell, in seconds."""


@command
def main(config: Config) -> dict[str, float]:
    """Lists, copies or runs the notebooks; returns the seconds of each that ran."""
    paths = chosen(config)
    if config.list:
        for path in paths:
            print(f"{path.stem:<28} {title_of(path)}")
        return {}
    if config.copy_to is not None:
        copy(paths, config.copy_to)
        return {}
    output = prepare_folder(config.output)
    seconds = {}
    for path in paths:
        begin = time.perf_counter()
        executed = run(path, timeout=config.timeout)
        with written_whole(output / path.name) as unfinished:
            nbformat.write(executed, unfinished)
        seconds[path.name] = time.perf_counter() - begin
        print(f"{path.name}: {seconds[path.name]:.0f} s", flush=True)
    return seconds


def chosen(config: Config) -> list[Path]:
    """Returns the files of the notebooks that the flags name.

    Raises:
      SystemExit: there is none.
    """
    paths = sorted(config.notebooks.glob("*.ipynb"))
    if not paths:
        raise SystemExit(
            f"`--notebooks` must be a folder of notebooks. There is none in "
            f"{config.notebooks}."
        )
    for name in config.only:
        if not any(path.stem.startswith(name) for path in paths):
            names = ", ".join(path.stem for path in paths)
            raise ending(f"`--only` must be some of {names}. Got {name!r}.", 2)
    return [path for path in paths if path.stem.startswith(config.only or "")]


def title_of(path: Path) -> str:
    """Returns the first heading of a notebook, or ""."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    lines = [line for text in texts for line in text.splitlines()]
    return next((line[2:] for line in lines if line.startswith("# ")), "")


def copy(paths: list[Path], folder: Path) -> None:
    """Copies notebooks to a folder.

    Raises:
      SystemExit: the folder has one of them already, or cannot be written to.
    """
    there = [path.name for path in paths if (folder / path.name).exists()]
    if there:
        raise ending(
            f"`--copy-to` must be a folder without {', '.join(there)}: your changes "
            f"would be lost. Got {folder}.",
            2,
        )
    prepare_folder(folder, flag="--copy-to")
    for path in paths:
        shutil.copyfile(path, folder / path.name)
    print(f"Copied {len(paths)} of the notebooks. Open them: jupyter lab {folder}")


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
    start(main, Config, __doc__)
