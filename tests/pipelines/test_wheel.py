"""What a wheel holds, built from the source distribution as a registry has it."""

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ["LICENSE", "README.md", "pyproject.toml"]
FOLDERS = ["notebooks", "pipelines", "tfrs_models"]
BUILD = "import sys, setuptools.build_meta as b; getattr(b, sys.argv[1])(sys.argv[2])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The opened wheel."""
    major = int(importlib.metadata.version("setuptools").split(".")[0])
    if major < 77:
        pytest.skip(f"setuptools {major} cannot build the package, which needs 77")
    folder = tmp_path_factory.mktemp("build")
    tree = folder / "tree"
    tree.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, tree)
    for name in FOLDERS:
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / name, ignore=skipped)

    def build(step, where):
        subprocess.run(
            [sys.executable, "-c", BUILD, step, str(folder)],
            cwd=where,
            check=True,
            capture_output=True,
        )

    build("build_sdist", tree)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    build("build_wheel", folder / source.name.removesuffix(".tar.gz"))
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.mark.slow
def test_a_wheel_holds_the_package_its_commands_and_their_files(wheel):
    names = set(wheel.namelist())
    kinds = {".py", ".typed", ".ipynb", ".cc", ".html", ".css", ".js", ".svg"}
    expected = {
        path.relative_to(ROOT / "tfrs_models" if name == "tfrs_models" else ROOT)
        for name in FOLDERS
        for path in (ROOT / name).rglob("*")
        if path.suffix in kinds and "benchmarks" not in path.parts
    }
    expected = {f"tfrs_models/{path.as_posix()}" for path in expected}
    assert {"tfrs_models/py.typed", "tfrs_models/pipelines/cli.py"} < expected
    assert {name for name in names if ".dist-info/" not in name} == expected


@pytest.mark.slow
def test_a_wheel_installs_the_command(wheel):
    (entries,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    text = wheel.read(entries).decode()
    assert "tfrs-models = tfrs_models.pipelines.cli:main" in text
