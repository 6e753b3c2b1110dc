"""The directive `results`, which includes measured tables from RESULTS.md.

A figure has one home, `pipelines/benchmarks/RESULTS.md`, and pages include it::

    ```{results} yardstick
    :table: 1
    ```

shows the first table of the section, and below it how it was measured. Without `table`
it shows all tables of the section, each below its heading. `:heading: groceries` takes
only the tables below headings with this text, and `table` counts these: a page then
stays right when other data are measured too.
"""

import re
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "pipelines/benchmarks/RESULTS.md"


class Table(NamedTuple):
    """A table of a section.

    Args:
      heading: heading of the third level above it, or "".
      lead: paragraph directly above it if that ends with a colon, or "".
      text: Markdown of the table.
    """

    heading: str
    lead: str
    text: str


class Section(NamedTuple):
    """A section of RESULTS.md.

    Args:
      tables: tables in their order.
      commit: commit that was measured, or "".
      command: command that measures it again, or "".
    """

    tables: list[Table]
    commit: str
    command: str


def sections(text: str) -> dict[str, Section]:
    """Returns name -> section of the text of RESULTS.md."""
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        tables, heading = [], ""
        for match in re.finditer(r"^### (.*)\n|((?:^\|.*(?:\n|\Z))+)", body, re.M):
            if match[2]:
                above = body[: match.start()].rstrip().rsplit("\n\n", 1)[-1]
                lead = above if above.endswith(":") else ""
                tables.append(Table(heading, lead, match[2]))
            else:
                heading = match[1].strip()
        commit = re.search(r"^Commits? (.+?)(?:, Python|;|\.$|$)", body, re.MULTILINE)
        command = re.search(r"^Command: (`[^`]+`)", body, re.MULTILINE)
        found[name.strip()] = Section(
            tables, commit[1] if commit else "", command[1] if command else ""
        )
    return found


def select(
    text: str, name: str, number: int | None, heading: str = ""
) -> tuple[list[Table], Section]:
    """Returns the tables that a page wants and their section.

    Args:
      text: text of RESULTS.md.
      name: name of a section.
      number: which of its tables, from 1; None for all of them.
      heading: part of the heading above the tables; "" for all tables.

    Raises:
      ValueError: there is no such section, heading or table.
    """
    known = sections(text)
    if name not in known:
        raise ValueError(
            f"`results` names a section of RESULTS.md: one of {sorted(known)}. Got "
            f"{name!r}."
        )
    section = known[name]
    tables = [table for table in section.tables if heading in table.heading]
    if heading and not tables:
        raise ValueError(
            f"`heading` is a part of a heading of {name!r}: one of "
            f"{sorted({table.heading for table in section.tables})}. Got {heading!r}."
        )
    count = len(tables)
    if not count or (number is not None and not 1 <= number <= count):
        raise ValueError(
            f"`table` is one of the {count} tables of {name!r}, from 1. Got {number}."
        )
    chosen = tables if number is None else [tables[number - 1]]
    return chosen, section


def stamp(name: str, section: Section) -> str:
    """Formats how a section was measured, as Markdown."""
    parts = [
        f"Measured by {section.command}" if section.command else "Measured",
        f"commit {section.commit}" if section.commit else "",
        f"[all of it](/measured.md#{name})",
    ]
    return "; ".join(filter(None, parts)) + "."


class Results(SphinxDirective):
    """Includes tables of a section of RESULTS.md with their stamp."""

    required_arguments = 1
    option_spec = {
        "table": directives.positive_int,
        "heading": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Returns the tables and their caption."""
        self.env.note_dependency(str(RESULTS))
        text = RESULTS.read_text(encoding="utf-8")
        name, number = self.arguments[0], self.options.get("table")
        heading = self.options.get("heading", "")
        try:
            tables, section = select(text, name, number, heading)
        except ValueError as error:
            raise self.error(str(error)) from error
        lines, heading = [], ""
        for table in tables:
            if table.heading != heading and len(tables) > 1:
                lines += [f"**{table.heading}**", ""]
            heading = table.heading
            if table.lead and len(tables) > 1:
                lines += [*table.lead.splitlines(), ""]
            lines += [*table.text.splitlines(), ""]
        block = nodes.container(classes=["measured"])
        self.state.nested_parse(StringList(lines, str(RESULTS)), 0, block)
        caption = nodes.container(classes=["stamp"])
        self.state.nested_parse(
            StringList([stamp(name, section)], str(RESULTS)), 0, caption
        )
        return [block, caption]


def setup(app: Sphinx) -> dict[str, object]:
    """Registers the directive."""
    app.add_directive("results", Results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
