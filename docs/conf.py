"""How the site is built: ``pip install '.[docs]' && sphinx-build -W docs docs/_build``.

Pages are the Markdown files beside this one, which read as they are in any viewer and run as doctests. Three things are added here: the
API reference (`_ext/reference.py`), the links between equations and functions (`_ext/linking.py`), and the gallery, from examples/.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

project = "dynsim"
copyright = author = "the dynsim maintainers"
version = release = metadata.version("dynsim")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas without a network
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
    "reference",
    "linking",
]

exclude_patterns = ["_build", "_ext", "conftest.py", "sg_execution_times.rst", "**/sg_execution_times.rst"]
templates_path: list[str] = []
language = "en"
default_role = "py:obj"
highlight_language = "default"

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
suppress_warnings = ["config.cache"]  # the order of the gallery is a function, which no cache keeps

autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
bibtex_bibfiles = ["references.bib"]

mathjax3_config = {"tex": {"tagSide": "right"}}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "order.InOrder",
    "filename_pattern": r"\.py$",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "abort_on_example_error": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "dynsim"
html_static_path = ["_static"]
html_css_files = ["dynsim.css"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc", "sg_download_links"], "claims": []},  # whose tables need the room
    "footer_start": ["copyright"],
    "footer_end": [],
}
