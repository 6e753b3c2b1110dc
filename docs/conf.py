"""Configuration of the documentation site: `make docs` builds it into `build/docs`."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "extensions"), str(DOCS.parent)]

import tfrs_models  # noqa: E402  binds Keras 2 before autodoc imports any module

project = "tfrs_models"
author = "The tfrs_models authors"
project_copyright = author
version = release = tfrs_models.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.extlinks",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "api_pages",
    "flags",
    "notebook_pages",
    "results",
]
exclude_patterns = ["extensions"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
default_role = "code"  # `x` in our docstrings is code
nitpicky = True
smartquotes_action = "qe"  # two dashes begin a flag

# Docstrings.
autodoc_default_options = {
    "members": True,
    "member-order": "groupwise",
    # Members of these bases and of what they derive from are theirs, not ours.
    "inherited-members": (
        "BaseException,Callback,Enum,Layer,Loss,Metric,Model,Module,Optimizer,"
        "dict,object,tuple"
    ),
}
autodoc_inherit_docstrings = False  # of Keras, which is documented elsewhere
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autoclass_content = "both"
maximum_signature_line_length = 80
python_use_unqualified_type_names = True
add_module_names = False
napoleon_custom_sections = [
    "Reference",
    ("Args", "params_style"),
    ("Attributes", "params_style"),
]
napoleon_numpy_docstring = False

# Markdown and notebooks.
myst_enable_extensions = ["colon_fence", "deflist", "smartquotes"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # `make notebooks` executes them
nb_ipywidgets_js = {}  # nothing is loaded from elsewhere
nb_merge_streams = True
nb_output_stderr = "remove"  # notes of TensorFlow on its own work
extlinks = {
    "source": ("https://github.com/tfrs-models/tfrs_models/blob/main/%s", "%s"),
}

html_theme = "furo"
html_title = "tfrs_models"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": True,
    "footer_icons": [],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
