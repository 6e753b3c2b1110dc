"""Docstrings and comments are plain English: what a parser can check of it.

`python tests/test_docstrings.py tfrs_models/layers` lists the complaints of a folder.
"""

import ast
import io
import pathlib
import re
import sys
import tokenize

import pytest

ROOT = pathlib.Path(__file__).parent.parent
ENTRY = re.compile(r"^ {2}(\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)")
# An entry says what the argument is; a pointer to another text says nothing.
NO_ENTRY = re.compile(
    r"^(Of |As (there|in|of|above|for|before|with|`)|See |Like (there|in|`)|Ditto|"
    r"The same|Those of|That of|From there)"
)
# A first line says what the thing is or does; these words open a riddle.
RIDDLE = re.compile(r"^(What|Where|How|Whom|Whose|Who|Whether|That|Why|When|If)\b")
BANNED = {
    r"\bplaces?\b": "POI, position, rank, index or path",
    r"\blonely\b": "without negatives",
    r"\bthe own\b": "name the noun",
    r"\bwhat not\b": "say what it is",
    r"\btold\b": "scored, given",
    r"\basked\b": "queried",
    r"\b(?<!no )promises?\b": "upper bound, guarantees",
    r"\bladders?\b": "grid",
    r"\bspools?\b": "temporary file",
    r"\bmass\b": "log-sum-exp",
    r"\bpatience\b": "retry policy",
    r"\bfurther\b": "additional",
    r"\bthinks?\b": "tensors compute",
    r"\bsays?\b": "tensors and files do not speak: is, holds, names",
    r"\bknows? (nobody|nothing)\b": "name what is unknown",
    r"\bnobody\b": "no user, no caller",
    r"\b(everybody|somebody)\b": "all users, a user",
    r"\b[Kk]ept are\b": "name the noun",
}


def documented(tree):
    """Every (name, line, docstring) of a module."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, ast.get_docstring(node)
        elif isinstance(node, ast.Module):
            yield "module", 1, ast.get_docstring(node)


def public_definitions(tree):
    kinds = (ast.ClassDef, ast.FunctionDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node


def entries(docstring):
    """(name, text) of every argument and attribute."""
    section, name, text = None, None, ""
    for line in [*docstring.splitlines(), "End:"]:
        heading = re.match(r"^(\w+):$", line)
        entry = ENTRY.match(line)
        if heading or (section and entry) or (section and not line.startswith("  ")):
            if name:
                yield name, text.strip()
            name, text = (entry[1], entry[2]) if entry and not heading else (None, "")
        elif name:
            text += " " + line.strip()
        if heading:
            section = heading[1] if heading[1] in ("Args", "Attributes") else None


def prose(source):
    """(line, text) of docstrings and comments, without the code in them."""
    for name, line, docstring in documented(ast.parse(source)):
        if docstring:
            text = re.sub(r"``?[^`]+``?", "``", docstring)
            text = "\n".join(
                re.sub(ENTRY, r"\2", part)
                for part in text.splitlines()
                if not part.strip().startswith((">>>", "..."))
            )
            yield line, name, text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], "comment", re.sub(r"`[^`]+`", "``", token.string)


def complaints(source):
    """What is wrong with the prose of one module, as sentences."""
    tree = ast.parse(source)
    for name, line, docstring in documented(tree):
        for argument, text in entries(docstring or ""):
            if NO_ENTRY.match(text):
                yield (
                    f"{line}: {name}: `{argument}: {text}` does not say what the "
                    "argument is. Give its meaning, shape and unit."
                )
    for node in public_definitions(tree):
        first = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
        if not first.endswith((".", "...")) or len(first.split()) < 3:
            yield f"{node.lineno}: {node.name}: begin with a full sentence: {first!r}"
        elif RIDDLE.match(first):
            yield (
                f"{node.lineno}: {node.name}: say what it is or does, subject and "
                f"verb: {first!r}"
            )
    for line, name, text in prose(source):
        for word, instead in BANNED.items():
            if found := re.search(word, text):
                yield f"{line}: {name}: not {found[0]!r} but: {instead}"


def modules(folders):
    for folder in folders:
        path = ROOT / folder
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def report(folders):
    return [
        f"{path.relative_to(ROOT).as_posix()}:{complaint}"
        for path in modules(folders)
        for complaint in complaints(path.read_text(encoding="utf-8"))
    ]


def test_docstrings_and_comments_are_plain_english():
    found = report(["tfrs_models", "pipelines"])
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("docstring", "words"),
    [
        ("Computes a sum.\n\n    Args:\n      x: Of the batch.\n", "does not say what"),
        ("Computes a sum.\n\n    Args:\n      x: As there.\n", "does not say what"),
        ("Computes a sum.\n\n    Args:\n      x: See `g`.\n", "does not say what"),
        (
            "Computes a sum.\n\n    Args:\n      y: `[batch]`\n        values.\n"
            "      x, z: As in `g`.\n    ",
            "`x, z: As in `g`.`",
        ),
        ("Sum of parts", "full sentence"),
        ("A sum.", "full sentence"),
        ("What is summed and what is not.", "subject and verb"),
        ("Computes the sum of every place.", "POI, position"),
        ("Computes what the lonely rows add.", "without negatives"),
        ("Computes what a step says of a candidate.", "do not speak"),
    ],
)
def test_the_lint_catches(docstring, words):
    assert words in "\n".join(complaints(f'def f(x):\n    """{docstring}"""\n'))


def test_the_lint_catches_comments_and_missing_docstrings():
    source = "def f(x):\n    return x  # whom the ladder serves\n"
    found = "\n".join(complaints(source))
    assert "full sentence" in found
    assert "'ladder'" in found


def test_the_lint_leaves_code_and_plain_sentences_alone():
    source = '''
def pick(x, places):
    """Picks the rows of `places`.

    Args:
      x: `[batch, embedding_dim]` query embeddings.
      places: positions of the rows, `[k]`.

    Returns:
      `[k, embedding_dim]`.

    Example:
      >>> pick(x, places)
    """
    return x[places]  # `places` is sorted
'''
    assert not list(complaints(source))


if __name__ == "__main__":
    print("\n".join(report(sys.argv[1:])))  # noqa: T201
