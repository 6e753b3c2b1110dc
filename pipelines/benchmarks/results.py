"""Sections, tables and plots of RESULTS.md."""

import importlib.metadata
import os
import platform
import re
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipelines.parts.artifacts import write_text, written_whole
from tfrs_models.metrics import bootstrap_interval

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"
PLOTS = FOLDER / "plots"
_INTRODUCTION = """\
# Measured

`make bench` writes this file; `python -m pipelines.benchmarks.<name>` rewrites one
section. Times are medians (lowest..highest) of runs that took turns in one process, on
a shared virtual machine: read the ratios, not the seconds.
"""
_PACKAGES = ("tensorflow", "tf_keras", "tensorflow-recommenders", "implicit", "numpy")


def write_rows(path: Path, rows: Mapping[str, np.ndarray]) -> None:
    """Writes arrays of a seed that a later run may read, whole or not at all.

    Args:
      path: path of the file, which ends in .npz.
      rows: name -> array.
    """
    with written_whole(path) as unfinished:
        np.savez(unfinished, **rows)


def read_rows(path: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a seed.

    Args:
      path: file that `write_rows` wrote.

    Raises:
      SystemExit: the file is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SystemExit(
            f"{path} is damaged: {error}. Remove it, and this seed is measured again."
        ) from error


def write_section(name: str, body: str, *, path: Path = RESULTS) -> Path:
    """Replaces a section of the results, or appends it.

    Args:
      name: module of the benchmark, which is the name of the section.
      body: Markdown without headings of the first two levels.
      path: path of the results.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else _INTRODUCTION
    head, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    sections = {part.partition("\n")[0].strip(): part for part in parts}
    sections[name] = f"{name}\n\n{_provenance()}\n\n{body.strip()}\n\n"
    ordered = "".join(f"## {sections[key]}" for key in sorted(sections))
    write_text(path, f"{head.rstrip()}\n\n{ordered}".rstrip() + "\n")
    return path


def write_part(
    name: str, introduction: str, heading: str, body: str, *, path: Path = RESULTS
) -> Path:
    """Replaces one part of a section, or appends it; the other parts stay.

    Args:
      name: module of the benchmark, which is the name of the section.
      introduction: Markdown before the parts, without headings.
      heading: heading of the part.
      body: Markdown of the part without headings of the first three levels.
      path: path of the results.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    section = re.search(
        rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE
    )
    written = re.split(r"^### ", section[1] if section else "", flags=re.MULTILINE)[1:]
    parts = {part.partition("\n")[0].strip(): part.strip() for part in written}
    parts[heading] = f"{heading}\n\n{body.strip()}"
    whole = "\n\n".join([introduction.strip(), *(f"### {p}" for p in parts.values())])
    return write_section(name, whole, path=path)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Formats a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def with_spread(values: np.ndarray, groups: np.ndarray | None = None) -> str:
    """Formats mean, ± standard deviation over seeds and [bootstrap interval].

    Args:
      values: `[num_seeds, num_rows]` values; one seed has no deviation.
      groups: `[num_rows]` groups of the bootstrap; None for each row by itself.
    """
    mean, low, high = bootstrap_interval(values.mean(axis=0), groups)
    spread = f" ± {values.mean(axis=1).std(ddof=1):.4f}" if len(values) > 1 else ""
    return f"{mean:.4f}{spread} [{low:.3f}, {high:.3f}]"


def gain(differences: np.ndarray, groups: np.ndarray | None = None) -> str:
    """Formats the mean of paired differences and its bootstrap interval.

    Args:
      differences: `[num_rows]` differences.
      groups: `[num_rows]` groups of the bootstrap; None for each row by itself.
    """
    mean, low, high = bootstrap_interval(differences, groups)
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"


def save_plot(figure: Figure, name: str, *, folder: Path = PLOTS) -> str:
    """Writes a figure as a PNG and returns Markdown that shows it."""
    folder.mkdir(exist_ok=True)
    with (
        mpl.rc_context({"svg.hashsalt": name}),
        written_whole(folder / f"{name}.png") as unfinished,
    ):
        figure.savefig(unfinished, format="png", dpi=110, metadata={"Software": None})
    return f"![{name}]({folder.name}/{name}.png)"


def _provenance() -> str:
    """Returns commit, versions and processor of the measurement."""
    versions = ", ".join(f"{p} {_version(p)}" for p in _PACKAGES)
    return (
        f"Commit `{commit()}`, Python {platform.python_version()}, {versions}; "
        f"{os.cpu_count()} cores ({platform.machine()}), a shared virtual machine."
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """Describes the commit that measures."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
