"""The directive `flags`, which lists the flags of a configuration and their defaults.

They are read from the source, so that a page has every flag and no other::

    ```{flags} pipelines/parts/data.py DataConfig
    ```
"""

import ast
import itertools
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

REPOSITORY = Path(__file__).parents[2]


class Flag(NamedTuple):
    """A flag of a command.

    Args:
      name: name with its dashes.
      default: source of the default.
      text: sentence on what it does.
    """

    name: str
    default: str
    text: str


def flags(source: str, name: str) -> list[Flag]:
    """Returns the flags of a class and of its bases in the same module.

    Args:
      source: source of the module.
      name: name of the class.

    Raises:
      ValueError: the module has no such class.
    """
    classes = {
        node.name: node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
    }
    if name not in classes:
        raise ValueError(f"`flags` names one of {sorted(classes)}. Got {name!r}.")
    found = []
    body = classes[name].body
    for field, text in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            flag = "--" + field.target.id.replace("_", "-")
            default = ast.unparse(field.value) if field.value else ""
            found.append(Flag(flag, default, " ".join(text.value.value.split())))
    for base in classes[name].bases:
        if isinstance(base, ast.Name) and base.id in classes:
            found += flags(source, base.id)
    return found


def table(found: list[Flag]) -> str:
    """Formats flags as a Markdown table."""
    rows = ["| flag | default | what it is |", "| --- | --- | --- |"]
    for flag in found:
        default = "" if flag.default in ("None", "()") else f"`{flag.default}`"
        text = flag.text.replace("|", "\\|").replace("*", "\\*")
        default = default.replace("|", "\\|").replace("'", '"')
        rows.append(f"| `{flag.name}` | {default} | {text} |")
    return "\n".join(rows)


class Flags(SphinxDirective):
    """Lists the flags of a configuration."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Returns the table."""
        path = REPOSITORY / self.arguments[0]
        self.env.note_dependency(str(path))
        try:
            found = flags(path.read_text(encoding="utf-8"), self.arguments[1])
        except (OSError, ValueError) as error:
            raise self.error(str(error)) from error
        block = nodes.container(classes=["flags"])
        lines = StringList(table(found).splitlines(), str(path))
        self.state.nested_parse(lines, 0, block)
        return [block]


def setup(app: Sphinx) -> dict[str, object]:
    """Registers the directive."""
    app.add_directive("flags", Flags)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
