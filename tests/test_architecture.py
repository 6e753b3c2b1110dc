"""The rules of the house that a parser can check."""

import ast
import pathlib
import subprocess
import warnings

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "tfrs_models"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(
    path
    for folder in ("tfrs_models", "pipelines", "tests")
    for path in (ROOT / folder).rglob("*.py")
)

# From the ground up. A layer may use what is below it; the parts of one layer are
# siblings and know nothing of each other.
LAYERS = [
    {"_advice", "_keras", "feature", "torch_weights", "types"},
    {"_fit_checks", "ops"},
    {"model"},
    {"layers", "data"},
    {"losses", "metrics"},
    {"towers"},
    {"tasks"},
    {"models"},
    {"serving", "training"},
    {"compat"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
NEVER = {
    ("serving", "models"): "take any tfrs.Model, layer or index as an argument",
    ("training", "models"): "take any tfrs.Model, layer or index as an argument",
}


def part_of(module):
    """`tfrs_models.ops.masks` is of the part `ops`."""
    return module.split(".")[1] if "." in module else "__init__"


def module_of(path):
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree):
    """Dotted names of everything that is imported, wherever it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide which layer is meant"
            yield node.module
            if node.module in ("tfrs_models", "pipelines"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def complaint(importer, imported):
    """Why one module may not import the other; None where it may."""
    part, other = part_of(importer), part_of(imported)
    if part in (other, "__init__") or imported == "tfrs_models":
        return None
    for name in (part, other):
        if name not in LEVEL:
            return (
                f"`{name}` is no part of the house that test_architecture knows: add "
                "it to LAYERS, above everything that it uses."
            )
    where = f"{importer} imports {imported}"
    if (part, other) in NEVER:
        return f"{where}: {part} must not name one; {NEVER[part, other]}."
    if other == "data":
        return (
            f"{where}: only pipelines and notebooks import datasets. Pass the values "
            "in, or declare them with tfrs_models.feature.Feature."
        )
    if LEVEL[part] == LEVEL[other]:
        below = sorted(LAYERS[max(LEVEL[part] - 1, 0)])
        return (
            f"{where}: siblings do not know each other. What both need moves down, "
            f"to one of {below} or further."
        )
    if LEVEL[part] < LEVEL[other]:
        return (
            f"{where}: arrows point down. The code belongs into {other} or above, or "
            f"what it needs of {other} moves down, to {part} or below."
        )
    return None


def report(complaints):
    """Fails with one line for each complaint."""
    complaints = [line for line in complaints if line]
    assert not complaints, "\n" + "\n".join(complaints)


def test_imports_point_down_and_siblings_do_not_know_each_other():
    report(
        complaint(module_of(path), name)
        for path in MODULES
        for name in imports(parse(path))
        if name.split(".")[0] == "tfrs_models"
    )


@pytest.mark.parametrize(
    ("importer", "imported", "words"),
    [
        ("tfrs_models.ops.ranks", "tfrs_models.layers.index", "moves down, to ops"),
        ("tfrs_models.layers.mlp", "tfrs_models.data.files", "only pipelines"),
        ("tfrs_models.layers.mlp", "tfrs_models.towers.feature", "arrows point down"),
        ("tfrs_models.losses.a", "tfrs_models.metrics.b", "siblings"),
        ("tfrs_models.serving.a", "tfrs_models.models.b", "as an argument"),
        ("tfrs_models.models.a", "tfrs_models.data.files", "only pipelines"),
        ("tfrs_models.helpers.a", "tfrs_models.ops.b", "add it to LAYERS"),
        ("tfrs_models.towers.a", "tfrs_models.feature", None),
        ("tfrs_models.metrics.a", "tfrs_models.layers.b", None),
        ("tfrs_models.tasks.a", "tfrs_models.metrics.b", None),
    ],
)
def test_a_wrong_import_is_told_where_its_code_belongs(importer, imported, words):
    message = complaint(importer, imported)
    assert (message is None) if words is None else (words in message)


def test_the_package_imports_no_pipeline_and_no_flags():
    report(
        f"{module_of(path)} imports {name}: the package knows tensors, never flags. "
        "What reads flags or runs a script belongs into pipelines."
        for path in MODULES
        for name in imports(parse(path))
        if name.split(".")[0] in {"pipelines", "tests", "argparse", "tyro", "absl"}
    )


def test_data_knows_no_keras_object():
    def names(tree):
        yield from (name.split(".")[0] for name in imports(tree))
        yield from (n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute))

    report(
        f"{module_of(path)} uses {name}: data builds datasets and plain values. What "
        "needs Keras belongs into layers or towers."
        for path in sorted((PACKAGE / "data").rglob("*.py"))
        for name in names(parse(path))
        if name in {"keras", "tf_keras", "tensorflow_recommenders"}
    )


# Of the scripts, from the ground up. A command is a module of `pipelines` itself.
PIPELINE_LAYERS = ["parts", "reporting", "command", "benchmarks"]


def pipeline_level(module):
    """Index in `PIPELINE_LAYERS` of a module of `pipelines`."""
    part = module.split(".")[1]
    return PIPELINE_LAYERS.index(part if part in PIPELINE_LAYERS else "command")


def test_parts_of_pipelines_import_no_command_and_commands_no_benchmark():
    report(
        f"{importer} imports {name}: arrows point down, from benchmarks to commands "
        "to reporting to parts. What both need moves down."
        for path in sorted((ROOT / "pipelines").rglob("*.py"))
        for name in imports(parse(path))
        if name.startswith("pipelines.")
        and (importer := module_of(path))
        and pipeline_level(importer) < pipeline_level(name)
    )


def code_lines(source):
    """Lines that are neither blank nor a comment nor part of a docstring."""
    prose = set()
    for node in ast.walk(ast.parse(source)):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            text = node.body[0]
            prose |= set(range(text.lineno, text.end_lineno + 1))
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in prose
        for number, line in enumerate(source.splitlines(), 1)
    )


def test_lines_of_code_are_counted_without_prose():
    assert code_lines('"""A module.\n\nIt is long."""\n\n# why\nx = """\ny"""\n') == 2


@pytest.mark.filterwarnings("default::UserWarning")
def test_no_file_of_the_package_is_longer_than_five_hundred_lines_of_code():
    lengths = {
        module_of(path): code_lines(path.read_text(encoding="utf-8"))
        for path in MODULES
    }
    for module, lines in lengths.items():
        if 300 < lines <= 500:
            warnings.warn(
                f"{module} has {lines} lines of code: is it two?", stacklevel=1
            )
    report(
        f"{module} has {lines} lines of code: cut it where its second idea begins."
        for module, lines in lengths.items()
        if lines > 500
    )


def test_there_is_one_generation_of_everything():
    report(
        f"{path.relative_to(ROOT)}: {node.name}: replace the old one, and say so in "
        "CHANGELOG.md."
        for path in SCRIPTS
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        and node.name.lower().rstrip("0123456789").endswith(("_v", "v"))
        and node.name[-1].isdigit()
    )


def exports(tree):
    """What a module says is public, and what it binds."""
    public, bound = None, set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            bound |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            public = ast.literal_eval(node.value)
    return public, {name for name in bound if not name.startswith("_")}


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name == "__init__.py"], ids=module_of
)
def test_every_init_says_sorted_what_is_public(path):
    public, bound = exports(parse(path))
    if not bound:
        return
    assert "*" not in bound, "name what you export"
    assert public is not None, "imports without `__all__`"
    assert public == sorted(public)
    assert set(public) == bound


def test_no_default_argument_is_an_object_that_can_change():
    report(
        f"{module_of(path)}, line {node.lineno}: a default is made once and shared by "
        "all calls. Default to None and make it in the body."
        for path in MODULES
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.FunctionDef, ast.Lambda))
        for default in [*node.args.defaults, *node.args.kw_defaults]
        if isinstance(default, (ast.Call, ast.List, ast.Dict, ast.Set))
    )


def test_the_root_holds_nothing_more_than_it_should():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {name.split("/")[0] for name in files.stdout.splitlines()} <= {
        ".ci",
        ".gitignore",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "constraints.txt",
        "notebooks",
        "pipelines",
        "pyproject.toml",
        "tests",
        "tfrs_models",
    }
