"""Messages that pages quote are those of the code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["failures.md", "keras_3.md", "troubleshooting.md"]


def text_of(node):
    """A string of the source, with a line break for what is filled in; else None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (text_of(part) or "\n" for part in node.values)
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{text_of(node.left) or chr(10)}{text_of(node.right) or chr(10)}"
    return None


def messages():
    """All strings of the package and the commands."""
    return {
        " ".join(text.split())
        for folder in ("tfrs_models", "pipelines")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (text := text_of(node)) and len(text) > 10
    }


def quoted(page):
    """The messages of a page, one for each fence of text."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    fences = re.findall(r"^ *```text\n(.*?)\n *```$", text, re.DOTALL | re.MULTILINE)
    return [" ".join(fence.split()) for fence in fences]


@pytest.mark.parametrize("page", PAGES)
def test_messages_of_a_page_are_in_the_code(page):
    known = messages()
    found = quoted(page)
    assert found
    for message in found:
        parts = [part.strip() for part in message.split("...") if part.strip()]
        pattern = re.compile(".*".join(map(re.escape, parts)))
        assert any(pattern.search(text) for text in known), (
            f"{page} quotes {message!r}, which no string of the code holds: quote the "
            "text of today, with ... for what is filled in."
        )
