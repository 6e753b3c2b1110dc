"""The command `tfrs-models`: its table, its help pages and its ends."""

import ast
import dataclasses
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tomllib

import pytest

import tfrs_models
from pipelines import cli

ROOT = pathlib.Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def ended(arguments, capsys):
    """Exit code, output and errors of the program."""
    try:
        cli.main(arguments)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_table_names_every_command_with_a_sentence(arguments, capsys):
    code, out, errors = ended(arguments, capsys)
    assert (code, errors) == (0, "")
    for command in cli.COMMANDS:
        assert f"  {command.name} " in out
        assert command.summary in out
        assert command.summary.endswith(".")


def test_every_module_with_flags_and_a_main_is_in_the_table_or_has_a_reason():
    without = {"tutorials": "needs a checkout of TensorFlow Recommenders"}
    modules = {
        path.stem
        for path in (ROOT / "pipelines").glob("*.py")
        if "Config"
        in {
            node.name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ClassDef)
        }
    }
    rows = {command.module for command in cli.COMMANDS} - {"native.__main__"}
    assert rows | without.keys() == modules


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_help_is_that_of_the_command_under_the_name_that_was_typed(command, capsys):
    code, out, errors = ended([command.name, "--help"], capsys)
    assert (code, errors) == (0, "")
    assert f"usage: tfrs-models {command.name} " in out
    module = importlib.import_module(f"pipelines.{command.module}")
    assert module.__doc__.split(".")[0].split(":")[0] in out
    for field in dataclasses.fields(module.Config):
        if field.type in (int, float, bool, str, pathlib.Path):
            assert f"--{field.name.replace('_', '-')}" in out


HELP_PAGES = """
import contextlib, io, json, sys
from pipelines import cli
pages = {}
for command in cli.COMMANDS:
    sys.argv = ["tfrs-models", command.name, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as page:
        with contextlib.suppress(SystemExit):
            cli.main()
    pages[command.name] = page.getvalue()
packages = ("tensorflow", "pandas", "matplotlib", "scipy")
files = [getattr(sys.modules.get(name), "__file__", None) for name in packages]
print(json.dumps({"pages": pages, "files": files}))
"""


@pytest.fixture(scope="module")
def quick_help():
    """Help pages, as the program makes them, and files of the large packages."""
    done = subprocess.run(
        [sys.executable, "-c", HELP_PAGES],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_help_page_imports_no_tensorflow_and_no_other_large_package(quick_help):
    assert quick_help["files"] == [None] * 4


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_a_help_page_without_tensorflow_says_the_same(
    command, quick_help, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = ended([command.name, "--help"], capsys)
    assert quick_help["pages"][command.name] == out
    assert "ANYTHING" not in out


def test_underscores_name_a_command_too(capsys):
    code, out, _ = ended(["joint_ranking", "--help"], capsys)
    assert code == 0
    assert "usage: tfrs-models joint-ranking " in out


@pytest.mark.parametrize(
    ("typed", "near"),
    [("retreival", "`retrieval`"), ("recomend", "`recommend`"), ("rank", "`ranking`")],
)
def test_an_unknown_command_names_the_nearest_in_one_line(typed, near, capsys):
    code, out, errors = ended([typed, "--epochs", "1"], capsys)
    assert (code, out) == (2, "")
    assert errors.startswith(f"`tfrs-models` has no command `{typed}`. Did you mean ")
    assert near in errors
    assert errors.count("\n") == 1


def test_a_command_that_is_like_none_leads_to_the_table(capsys):
    code, _, errors = ended(["xyz"], capsys)
    assert code == 2
    assert "Did you mean" not in errors
    assert "`tfrs-models --help`" in errors


def test_a_wrong_flag_ends_with_code_2_and_is_named(capsys):
    code, _, errors = ended(["recommend", "--usr", "1"], capsys)
    assert code == 2
    assert "--usr" in errors
    assert "--user" in errors


def test_a_missing_extra_is_named_with_the_line_that_installs_it(monkeypatch, capsys):
    find_spec = cli.importlib.util.find_spec
    monkeypatch.setattr(
        cli.importlib.util,
        "find_spec",
        lambda name: None if name == "jinja2" else find_spec(name),
    )
    code, out, errors = ended(["retrieval", "--epochs", "1"], capsys)
    assert (code, out) == (1, "")
    assert errors == (
        "`tfrs-models retrieval` needs jinja2, which the extra `demo` installs: "
        "pip install 'tfrs-models[demo]'\n"
    )


def test_extras_of_commands_are_extras_of_the_package():
    extras = PROJECT["project"]["optional-dependencies"]
    for extra, modules in cli.EXTRAS.items():
        if extra:
            needed = " ".join(extras[extra]).lower()
            assert all(module in needed for module in modules), extra
    assert {command.extra for command in cli.COMMANDS} <= cli.EXTRAS.keys()


def imported(module, found):
    """Adds to `found` all modules that importing one of `pipelines` imports."""
    path = ROOT / "pipelines" / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if module in found or not path.exists():
        return found
    found[module] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found[module] |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found[module].add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1].relative_to(ROOT / "pipelines").parts
            owner = ".".join([*folder, *([node.module] if node.module else [])])
            for name in [owner, *(f"{owner}.{alias.name}" for alias in node.names)]:
                imported(name.lstrip("."), found)
    return found


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_a_command_imports_what_its_extra_installs_and_the_core(command):
    names = set().union(*imported(command.module, {}).values())
    project = PROJECT["project"]
    needed = list(project["dependencies"])
    if command.extra:
        needed += project["optional-dependencies"][command.extra]
        needed += project["optional-dependencies"]["demo"]
    needed = " ".join(needed).lower().replace("-", "_")
    assert {"tyro", "tfrs_models"} & names
    for name in sorted(names - sys.stdlib_module_names - {"tfrs_models"}):
        assert name in needed, f"`{name}` is in neither: import it in a function"


def test_the_version_is_printed(capsys):
    code, out, _ = ended(["--version"], capsys)
    assert (code, out) == (0, f"tfrs-models {tfrs_models.__version__}\n")
    assert tfrs_models.__version__ == PROJECT["project"]["version"]


def test_the_installed_program_is_this_one():
    target = PROJECT["project"]["scripts"]["tfrs-models"]
    assert target == "tfrs_models.pipelines.cli:main"
    mapped = PROJECT["tool"]["setuptools"]["package-dir"]["tfrs_models.pipelines"]
    assert (ROOT / mapped / "cli.py").samefile(cli.__file__)


def test_every_package_is_installed_and_no_test_and_no_benchmark():
    def packages(folder):
        for path in (ROOT / folder).rglob("__init__.py"):
            yield ".".join(path.parent.relative_to(ROOT).parts)

    ours = set(packages("tfrs_models"))
    commands = {
        f"tfrs_models.{name}"
        for name in packages("pipelines")
        if not name.startswith("pipelines.benchmarks")
    }
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert listed == sorted(ours | commands | {"tfrs_models.notebooks"}), (
        "a package of the tree is not in the list of pyproject.toml, or the other way"
    )
