"""Pages and pictures that scripts make from the source are those of the source."""

import ast
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def made_by(script):
    return runpy.run_path(str(DOCS / script))


def papers_of(text):
    """Paper -> the names beside it."""
    parts = re.split(r"^\*\*(.+)\*\*$", text, flags=re.MULTILINE)[1:]
    return {
        paper: re.findall(r"^- (\S+):", names, re.MULTILINE)
        for paper, names in zip(parts[::2], parts[1::2], strict=True)
    }


def test_the_page_of_papers_has_what_docstrings_cite():
    """The sentences beside the names may be older: they are no links."""
    page = papers_of((DOCS / "papers.md").read_text(encoding="utf-8"))
    source = papers_of(made_by("make_papers.py")["page"]())
    assert len(source) > 50
    assert page == source, "run `python docs/make_papers.py`"


def test_references_are_told_apart_and_notes_are_left_out():
    references = made_by("make_papers.py")["references"]
    text = """A tower.

    Reference:
      Yin et al., Long tails, VLDB 2012; Cho and
      Ba, On trees, arXiv 1308.3432 (the roots). Ziegler et al., Lists, WWW 2005.
    """
    found = list(references(text.replace("\n    ", "\n")))
    assert found == [
        "Yin et al., Long tails, VLDB 2012",
        "Cho and Ba, On trees, arXiv 1308.3432",
        "Ziegler et al., Lists, WWW 2005",
    ]
    assert not list(references("A tower without."))


def test_the_picture_of_the_floors_shows_the_imports_of_today():
    picture = (DOCS / "floors.svg").read_text(encoding="utf-8")
    assert picture == made_by("make_floors.py")["picture"](), (
        "run `python docs/make_floors.py`"
    )


def test_shortcuts_of_a_graph_are_left_out():
    without_shortcuts = made_by("make_floors.py")["without_shortcuts"]
    pairs = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d"), ("b", "e")]
    assert without_shortcuts(pairs) == {("a", "b"), ("b", "c"), ("c", "d"), ("b", "e")}


def test_every_name_with_advice_is_on_the_page_of_migrating():
    page = (DOCS / "migrating.md").read_text(encoding="utf-8")
    tree = ast.parse((ROOT / "tfrs_models/_advice.py").read_text(encoding="utf-8"))
    (advice,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "ADVICE"
    )
    names = {key.value for key in advice.keys}
    assert len(names) > 30
    assert not {name for name in names if f"`{name}`" not in page}
