"""Writes a page for each public module and links names to the page that has them.

What is public is what `__all__` names, from `tfrs_models` down. An object that several
modules export is documented where its dotted name is shortest; the others link to it.
"""

import importlib
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.inspect import stringify_signature

ROOT = "tfrs_models"


def modules(name: str = ROOT) -> Iterator[types.ModuleType]:
    """Yields the module of a name and the public modules below it."""
    module = importlib.import_module(name)
    yield module
    for member in module.__all__:
        value = getattr(module, member)
        if isinstance(value, types.ModuleType):
            yield from modules(f"{name}.{member}")


def homes(found: list[types.ModuleType]) -> dict[str, str]:
    """Returns dotted name of an export -> dotted name under which it is documented."""
    exports = [
        (f"{module.__name__}.{name}", getattr(module, name))
        for module in found
        for name in module.__all__
        if not isinstance(getattr(module, name), types.ModuleType)
    ]
    shortest = {}
    for name, value in sorted(exports, key=lambda export: export[0].count(".")):
        shortest.setdefault(id(value), name)
    return {name: shortest[id(value)] for name, value in exports}


def page_of(module: str) -> str:
    """Returns the page of a public module, without folder and suffix."""
    return module.removeprefix(ROOT).removeprefix(".") or "index"


def page(module: types.ModuleType, home: dict[str, str], children: list[str]) -> str:
    """Formats the page of a module."""
    name = module.__name__
    text = inspect.cleandoc(module.__doc__ or "")
    lines = [f"# {name}", "", "```{eval-rst}", f".. py:module:: {name}", "", text, ""]
    own, linked = [], []
    for member in module.__all__:
        full = f"{name}.{member}"
        if full in home:
            (own if home[full] == full else linked).append(member)
    if own or linked:
        lines += [".. list-table::", "   :widths: auto", "   :class: names", ""]
    for member in [*own, *linked]:
        full = home[f"{name}.{member}"]
        value = getattr(module, member)
        role = "class" if inspect.isclass(value) else "func"
        role = role if callable(value) else "data"
        lines += [f"   * - :py:{role}:`~{full}`", f"     - {_first(value)}"]
    lines += ["", "```", ""]
    if children:
        lines += ["```{toctree}", ":maxdepth: 1", "", *children, "```", ""]
    for member in own:
        value = getattr(module, member)
        kind = "class" if inspect.isclass(value) else "function"
        kind = kind if callable(value) else "data"
        lines += [
            f"## {member}",
            "",
            "```{eval-rst}",
            f".. auto{kind}:: {name}.{member}",
            "```",
            "",
        ]
    return "\n".join(lines)


def _first(value: object) -> str:
    """Returns the first sentence of an object's docstring, in one line."""
    if not callable(value):
        return "A constant."
    first = inspect.cleandoc(value.__doc__ or "").split("\n\n")[0]
    return " ".join(first.split())


def write_pages(app: Sphinx) -> None:
    """Writes the pages that changed and removes those without a module."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    found = list(modules())
    home = homes(found)
    names = [module.__name__ for module in found]
    app.env.tfrs_public = _implementations(home)
    written = set()
    for module in found:
        name = module.__name__
        children = names[1:] if name == ROOT else []
        path = folder / f"{page_of(name)}.md"
        text = page(module, home, [page_of(child) for child in sorted(children)])
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        written.add(path)
    for path in set(folder.glob("*.md")) - written:
        path.unlink()


def _implementations(home: dict[str, str]) -> dict[str, str]:
    """Returns other dotted names of objects -> the documented ones."""
    others = dict(home)
    for name in home.values():
        module, _, member = name.rpartition(".")
        value = getattr(importlib.import_module(module), member)
        others[f"{value.__class__.__module__}.{name}"] = name
        if callable(value):
            others[f"{value.__module__}.{value.__qualname__}"] = name
            others.setdefault(value.__qualname__, name)
    return others


def link_to_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """Links a name of the implementation to its public name.

    Names on pages made from docstrings that stay unknown are text: they are of other
    libraries or private. On written pages they are errors.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].removeprefix("tm.")
    public = app.env.tfrs_public
    stem, _, attribute = target.rpartition(".")
    names = [
        public.get(target),
        public.get(f"{ROOT}.{target}"),
        f"{public[stem]}.{attribute}" if stem in public else None,
    ]
    domain = env.domains["py"]
    for name in filter(None, names):
        found = domain.find_obj(env, None, None, name, None, 0)
        if found:
            node["reftarget"] = found[0][0]
            return domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", found[0][0], node, content
            )
    return content if node["refdoc"].startswith("api/") else None


def skip_what_others_document(
    app: Sphinx, kind: str, name: str, value: object, skip: bool, options: object
) -> bool | None:
    """Leaves out members of other libraries, and what every Keras object has."""
    del app, kind, skip, options
    if name in ("get_config", "from_config", "build"):
        return True
    value = getattr(value, "fget", None) or getattr(value, "__func__", value)
    module = getattr(value, "__module__", None) or ROOT
    return None if module.startswith(ROOT) else True


def write_signature(
    app: Sphinx,
    kind: str,
    name: str,
    value: object,
    options: object,
    arguments: str | None,
    result: str | None,
) -> tuple[str | None, str | None] | None:
    """Shows the arguments of `__init__`, which those of Keras' `__new__` would hide."""
    del app, name, options, arguments
    if kind != "class" or not inspect.isfunction(value.__init__):
        return None
    signature = inspect.signature(value.__init__)
    own = [entry for key, entry in signature.parameters.items() if key != "self"]
    signature = signature.replace(parameters=own, return_annotation=signature.empty)
    return stringify_signature(signature, unqualified_typehints=True), result


_COLON = "\ue000"  # stands for a colon that napoleon must not read


def mark_up(
    app: Sphinx, kind: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Turns our docstrings' Markdown into what napoleon and docutils read.

    Text between backticks is code, also across lines. What is indented below a
    paragraph that ends with a colon is a formula. A colon in the first line of
    `Returns:` ends no type.
    """
    del app, kind, name, value, options
    text = re.sub(r"\AInitializes the [^.]*\.\n", "", "\n".join(lines))
    text = re.sub(
        r"(?<![`:])`([^`]+)`(?!`)(?=(\w?))",  # a letter may follow: `Layer`s
        lambda match: (
            "``" + re.sub(r"\s*\n\s*", " ", match[1]) + "``" + "\\ " * bool(match[2])
        ),
        text,
    )
    text = re.sub(r"(?m)^(\S.*[^:]):\n\n(?= {4}[^\s>*-])", r"\1::\n\n", text)
    text = re.sub(
        r"(?m)^((?:Returns|Yields):\n.*)$",
        lambda match: match[1][:9] + match[1][9:].replace(":", _COLON),
        text,
    )
    lines[:] = text.split("\n")


def unmark(
    app: Sphinx, kind: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Brings back the colons after napoleon."""
    del app, kind, name, value, options
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def setup(app: Sphinx) -> dict[str, object]:
    """Registers the extension."""
    app.connect("builder-inited", write_pages)
    app.connect("missing-reference", link_to_public_name)
    app.connect("autodoc-skip-member", skip_what_others_document)
    app.connect("autodoc-process-signature", write_signature)
    app.connect("autodoc-process-docstring", mark_up, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", unmark, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
