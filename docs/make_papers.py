"""Writes docs/papers.md, the papers that docstrings cite: python docs/make_papers.py.

It reads the source and imports none of it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tfrs_models"
PAGE = ROOT / "docs" / "papers.md"

HEAD = """\
# Papers

Every paper that the code implements or builds on, by author, and where it is. The line
beside a name says what that class or function does; its docstring says what is taken
from the paper, and where this package differs on purpose.

*This page is written by `python docs/make_papers.py` from the section "Reference" of
the docstrings. Do not edit it: cite the paper where its code is, and run the script.*

Neighbours: [Choose a model](choose_a_model.md) says when to use which of them, and
[Glossary](glossary.md) explains the words.

"""

# `2019`, `2019 (the weights)` or `arXiv 1308.3432` ends a paper, `.` or `;` follows.
_END = re.compile(r"(?<=\d{4})(?:\s\((?P<note>[^)]*)\))?(?:[.;]\s+|\.?$)")
# Words before the first author, and a port of what is no paper.
_BEFORE = re.compile(r"^(Ties: |User-side transfer of |Port of a public study, .*?\. )")
_VENUE = re.compile(r"(?:(?P<title>.*), )?(?P<venue>[^,]*\d{4})$")


class Cited(NamedTuple):
    """A paper and one place that cites it."""

    authors: str
    title: str
    venue: str
    link: str
    line: str


def references(docstring: str) -> Iterator[str]:
    """Yields the papers of the section "Reference" of a docstring.

    Args:
      docstring: docstring without indentation.
    """
    found = re.search(r"^References?:\n((?:[ ].*\n?)+)", docstring, re.MULTILINE)
    if not found:
        return
    text, start = " ".join(found[1].split()), 0
    text = _BEFORE.sub("", text)
    for end in _END.finditer(text):
        yield text[start : end.start()]
        start = end.end()


def public_names() -> dict[tuple[str, str], str]:
    """Returns (module, name) of a definition -> its dotted public name."""
    found = {}
    for path in sorted(PACKAGE.rglob("__init__.py")):
        owner = ".".join(path.parent.relative_to(ROOT).parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    name = f"{owner}.{alias.name}"
                    key = node.module, alias.name
                    # The shortest name is the one that users type.
                    if key not in found or name.count(".") < found[key].count("."):
                        found[key] = name
    for (module, name), public in list(found.items()):
        inner = found.get((public.rpartition(".")[0], name))
        if inner and inner.count(".") < public.count("."):
            found[module, name] = inner
    return found


def cited() -> Iterator[Cited]:
    """Yields the papers of all modules, classes and functions of the package."""
    public = public_names()
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = (ast.ClassDef, ast.FunctionDef)
        for node in [tree, *(part for part in tree.body if isinstance(part, kinds))]:
            text = ast.get_docstring(node) or ""
            papers = list(references(text))
            if not papers:
                continue
            link = f"`{module.removeprefix('tfrs_models.')}`"
            if name := public.get((module, getattr(node, "name", ""))):
                role = "class" if isinstance(node, ast.ClassDef) else "func"
                link = f"{{py:{role}}}`{name}`"
            for paper in papers:
                authors, _, rest = paper.partition(", ")
                where = _VENUE.match(rest)
                if where is None:
                    raise ValueError(
                        f"{module}: a reference must be authors, title, venue year. "
                        f"Got {paper!r}."
                    )
                line = text.split("\n", 1)[0]
                yield Cited(authors, where["title"] or "", where["venue"], link, line)


def page() -> str:
    """Returns the content of the page."""
    papers = {}
    for one in cited():
        papers.setdefault((one.authors, one.venue), []).append(one)
    text = HEAD
    for (authors, venue), places in sorted(papers.items(), key=_order):
        title = max((place.title for place in places), key=len)
        parts = [part for part in (authors, title, venue) if part]
        text += f"**{', '.join(parts)}**\n\n"
        links = {place.link: place.line for place in places}
        text += "".join(f"- {link}: {line}\n" for link, line in links.items()) + "\n"
    return text.rstrip() + "\n"


def _order(paper: tuple[tuple[str, str], list]) -> tuple[str, str]:
    (authors, venue), _ = paper
    return authors.lower(), venue[-4:]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Wrote {PAGE.relative_to(ROOT)}.")
