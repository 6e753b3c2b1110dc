"""HTML pages of the reports, without links to other files."""

import base64
import io
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

from ..parts.artifacts import write_text

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, target: Path, *, run: str, **values: object) -> Path:
    """Fills a template and writes the page.

    Args:
      template: file name below `templates`.
      target: path of the page.
      run: identity of the run, which all its files have.
      **values: values of the template's names; figures become inline images.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["image"] = _image
    page = environment.get_template(template).render(run=run, **values)
    write_text(target, page)
    return target


def _image(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/svg+xml;base64,{encoded}"
