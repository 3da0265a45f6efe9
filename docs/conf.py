"""Settings of the site: ``make docs`` builds it into build/docs, without network."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate

import specsim

project = "specsim"
author = "The specsim authors"
version = release = specsim.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
]
# Text in single backticks that names something of ours becomes a link to it.
default_role = "py:obj"
autosummary_generate = True
templates_path = ["templates"]
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Pages with code are run when the site is built; one that fails stops the build. `make docs-check` runs none.
RUN = not os.environ.get("SPECSIM_DOCS_CHECK")
nb_execution_mode = "cache" if RUN else "off"
# Only a notebook that was run knows its language.
suppress_warnings = [] if RUN else ["myst-nb.lexer"]
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "remove"

html_theme = "pydata_sphinx_theme"
html_title = "specsim"
html_static_path = ["static"]
html_css_files = ["site.css"]
# Pages at the top have no section whose pages a sidebar could list.
html_sidebars = {"*": []}
html_extra_path = ["generated/extra"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "pygments_light_style": "friendly",
    "pygments_dark_style": "monokai",
}


def setup(app: object) -> None:
    """Write the pages that are made from the catalogue, the claims and the namespaces."""
    generate.write_pages(Path(__file__).parent / "generated", run=RUN)
