"""How Sphinx builds the documentation: `make docs`. What it shows of runs and code is made by `pages.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import auricle

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "Auricle"
author = "The Auricle authors"
copyright = "the Auricle authors; the code is under Apache-2.0, each recording under its own licence"
version = release = auricle.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "pages"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"Auricle {version}"
default_role = "py:obj"  # `name` in a docstring is a link where the name is known

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {
    "members": True,
    "ignore-module-all": True,  # a room's re-exports are documented where they are defined
    "exclude-members": "model_config, model_post_init",
}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes are listed once, in the docstring of their class
