"""Draws docs/floors.svg, the floors of the code: python docs/make_floors.py.

Arrows are the imports of the source, which is not imported itself.
"""

import ast
from collections.abc import Iterable
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "floors.svg"
PACKAGE = "tfrs_models"

# Part -> its column, which keeps lines apart from boxes, and what it holds.
PARTS = {
    "pipelines": (2, "commands: flags, runs"),
    "serving": (0, "exports, contracts, gate"),
    "training": (4, "callbacks, optimizers"),
    "models": (2, "towers and a task"),
    "tasks": (1, "scores to loss, metrics"),
    "towers": (3, "features to embedding"),
    "baselines": (0, "simple recommenders"),
    "losses": (1, "what training lowers"),
    "metrics": (2, "ranks, intervals, lists"),
    "layers": (3, "indexes, attention"),
    "data": (0, "read, split, audit"),
    "model": (4, "the one training step"),
    "ops": (2, "pure tensor functions"),
}
LEFT, TOP = 20, 20
BOX, COLUMN, HEIGHT, ROW = 172, 190, 50, 78
WIDTH = 2 * LEFT + 4 * COLUMN + BOX


def floors() -> list[list[str]]:
    """Returns the parts of each floor, from the ground up, by the test of imports."""
    path = ROOT / "tests" / "test_architecture.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "LAYERS":
            found = [
                sorted(part & PARTS.keys()) for part in ast.literal_eval(node.value)
            ]
            found = [parts for parts in found if parts]
            return [*found, ["pipelines"]]
    raise LookupError(f"{path} has no LAYERS.")


def imported(path: Path) -> set[str]:
    """Returns the parts of the package that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            if node.module == PACKAGE:
                found |= {alias.name for alias in node.names}
            elif node.module.startswith(f"{PACKAGE}."):
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "tm":
            found.add(node.attr)  # pipelines: `import tfrs_models as tm`
    return found & PARTS.keys()


def modules(part: str) -> list[Path]:
    """Returns the modules of a part of the package, or of the pipelines."""
    folder = ROOT / part if part == "pipelines" else ROOT / PACKAGE / part
    single = folder.with_suffix(".py")
    found = [single] if single.exists() else sorted(folder.rglob("*.py"))
    return [path for path in found if path.name != "__init__.py"]


def imports() -> set[tuple[str, str]]:
    """Returns the pairs of parts of which the first imports the second."""
    return {
        (part, other)
        for part in PARTS
        for path in modules(part)
        for other in imported(path) - {part}
    }


def without_shortcuts(pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leaves out the pairs that a path of other pairs connects.

    Args:
      pairs: edges of a graph without circles.
    """
    pairs = set(pairs)
    reached = dict.fromkeys({start for start, _ in pairs}, frozenset())
    for _ in PARTS:  # no path is longer
        reached = {
            start: frozenset(
                end
                for first, middle in pairs
                if first == start
                for end in {middle, *reached.get(middle, ())}
            )
            for start in reached
        }
    return {
        (start, end)
        for start, end in pairs
        if not any(
            first == start and end in reached.get(middle, ()) for first, middle in pairs
        )
    }


def picture() -> str:
    """Returns the picture as SVG."""
    rows = floors()[::-1]
    places = {}
    for row, parts in enumerate(rows):
        for part in parts:
            places[part] = LEFT + PARTS[part][0] * COLUMN, TOP + row * ROW
    drawn = []
    for part, other in sorted(without_shortcuts(imports())):
        (x, y), (to_x, to_y) = places[part], places[other]
        x, to_x, y = x + BOX // 2, to_x + BOX // 2, y + HEIGHT
        middle = (y + to_y) // 2
        drawn.append(
            f'<path d="M{x} {y} C{x} {middle} {to_x} {middle} {to_x} {to_y - 5}">'
            f"<title>{part} imports {other}</title></path>"
        )
    boxes = []
    for part, (x, y) in places.items():
        boxes.append(
            f'<g><rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="6"/>'
            f'<text x="{x + 10}" y="{y + 20}" class="name">{escape(part)}</text>'
            f'<text x="{x + 10}" y="{y + 39}">{escape(PARTS[part][1])}</text></g>'
        )
    height = 2 * TOP + ROW * (len(rows) - 1) + HEIGHT
    newline = "\n"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"
 aria-label="The floors of the code, each of which imports from those below it">
<style>
svg {{ background: #ffffff }}
rect {{ fill: #f3f6fb; stroke: #35507a; stroke-width: 1.2 }}
text {{ font: 12px sans-serif; fill: #33373d }}
.name {{ font: bold 14px monospace; fill: #10233f }}
path {{ fill: none; stroke: #8296b5; stroke-width: 1.6; marker-end: url(#arrow) }}
</style>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7"
 markerHeight="7" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 z"
 style="fill: #8296b5; stroke: none; marker-end: none"/></marker></defs>
{newline.join(drawn)}
{newline.join(boxes)}
</svg>
"""


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"Wrote {PICTURE.relative_to(ROOT)}.")
