"""The command that lists and copies notebooks; tests/notebooks runs them."""

import json

import pytest

from pipelines import notebooks
from pipelines.notebooks import Config, main


@pytest.fixture
def folder(tmp_path):
    """Two notebooks, the second of which fails when it runs."""
    for name, title, code in (
        ("01_first", "One and one", "1 + 1"),
        ("02_second", "Two", "1 / 0"),
    ):
        cells = [
            {"cell_type": "code", "source": ["# a comment, no title\n", code]},
            {"cell_type": "markdown", "source": ["Words\n", f"# {title}\n", "more"]},
        ]
        text = json.dumps({"cells": cells})
        (tmp_path / f"{name}.ipynb").write_text(text, encoding="utf-8")
    return tmp_path


def test_the_notebooks_of_the_package_are_listed_from_any_folder(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(Config(list=True)) == {}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(notebooks.FOLDER.glob("*.ipynb"))) >= 8
    assert lines[0].startswith("01_two_tower")
    for line in lines:
        name, _, title = line.partition(" ")
        assert name, line
        assert title.strip(), line


def test_copies_are_those_that_were_named_and_the_same(folder, tmp_path, capsys):
    copies = tmp_path / "mine" / "deep"
    main(Config(notebooks=folder, only=("02",), copy_to=copies))
    (copy,) = copies.iterdir()
    assert copy.name == "02_second.ipynb"
    assert copy.read_bytes() == (folder / copy.name).read_bytes()
    assert "Copied 1 of the notebooks" in capsys.readouterr().out


def test_a_copy_of_yours_is_never_replaced(folder, tmp_path):
    copies = tmp_path / "mine"
    copies.mkdir()
    (copies / "02_second.ipynb").write_text("my changes")
    with pytest.raises(SystemExit, match=r"without 02_second\.ipynb: your changes"):
        main(Config(notebooks=folder, copy_to=copies))
    assert [path.name for path in copies.iterdir()] == ["02_second.ipynb"]
    assert (copies / "02_second.ipynb").read_text() == "my changes"


def test_a_name_of_no_notebook_is_an_error_that_lists_them(folder):
    with pytest.raises(SystemExit, match="01_first, 02_second. Got '03'") as end:
        main(Config(notebooks=folder, only=("01", "03"), list=True))
    assert end.value.code == 2


def test_a_folder_without_notebooks_is_named(tmp_path):
    with pytest.raises(SystemExit, match=f"There is none in {tmp_path}"):
        main(Config(notebooks=tmp_path))


def test_titles_are_the_first_headings_outside_of_code(folder, capsys):
    main(Config(notebooks=folder, list=True))
    out = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1)[1] for line in out] == ["One and one", "Two"]
