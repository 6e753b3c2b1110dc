"""Code blocks of README.md and of the pages of the site."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

from pipelines.cli import find

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_NOT_RUN = re.compile(r"<!--\s*not run: (.+?)\s*-->")
_HIDDEN = re.compile(r"<!--\s*hidden\n(.*?)-->", re.DOTALL)
_COMMAND = re.compile(r"(?:^|[\s/])(tfrs-models +|python -m pipelines\.)(?!-)(\S+)(.*)")


class Block(NamedTuple):
    """A block of code.

    Args:
      language: word after the fence.
      line: line of the page on which the code begins, from 0.
      code: text of the block.
      reason: why it is not run, or "".
    """

    language: str
    line: int
    code: str
    reason: str


def blocks(text: str) -> list[Block]:
    """Returns the fenced blocks of a page in their order.

    A comment that begins with the word `hidden` is a block of Python that readers do
    not see: what they have and the test has not, such as a table of their own.
    """
    found, reason = [], ""
    for token in MarkdownIt().parse(text):
        if token.type == "html_block":
            match = _NOT_RUN.search(token.content)
            reason = match[1] if match else ""
            if match := _HIDDEN.search(token.content):
                found.append(Block("python", token.map[0] + 1, match[1], ""))
        elif token.type == "fence":
            language = token.info.strip().split(" ")[0]
            found.append(Block(language, token.map[0] + 1, token.content, reason))
            reason = ""
        else:
            reason = ""
    return found


def source_of(block: Block) -> str:
    """Returns the code of a block on the lines that it has on its page."""
    return "\n" * block.line + block.code


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """Returns (module of `pipelines`, arguments) of the commands of a shell block.

    Raises:
      SystemExit: `tfrs-models` has no such command.
    """
    found = []
    for line in block.code.replace("\\\n", " ").splitlines():
        match = _COMMAND.search(line)
        if match:
            start, name, rest = match.groups()
            arguments = shlex.split(rest, comments=True)
            for end in ("|", ">", "&&", ";", "&"):
                if end in arguments:
                    arguments = arguments[: arguments.index(end)]
            module = find(name).module if start.startswith("tfrs") else name
            found.append((module, arguments))
    return found
