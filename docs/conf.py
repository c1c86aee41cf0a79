"""The documentation's site: the README and its relatives, longer pages, and a reference from the docstrings."""

import inspect
import sys
from pathlib import Path

from sphinx.util.inspect import stringify_signature

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bert4keras3  # noqa: E402

project = "bert4keras3"
release = version = bert4keras3.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "pydata_sphinx_theme"
html_title = "bert4keras3"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "header_links_before_dropdown": 5,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
}
html_sidebars = {"*": [], "api/*": ["sidebar-nav-bs"]}  # other pages have nothing beside them
html_show_sourcelink = False
html_copy_source = False
smartquotes = False
highlight_language = "none"
default_role = "literal"  # a name in single backticks is code
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
myst_heading_anchors = 3

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # Keras's own docstrings of `call` and `build` say nothing about ours
autodoc_typehints = "none"

# Links between the files that the pages include, as they are in the repository → as they are in the site.
LINKS = {
    "README.md": "index.md",
    "README.zh-CN.md": "chinese.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def rewrite_links(app, path, page, content):
    """In a file of the repository that a page includes, point links at the pages of the site."""
    text = content[0].replace("](docs/", "](")
    for file, target in LINKS.items():
        text = text.replace(f"]({file}", f"]({target}")
    content[0] = text


def rewrite_page_links(app, page, content):
    """The same for links from pages in docs/ to the files around them."""
    for file, target in LINKS.items():
        content[0] = content[0].replace(f"](../{file}", f"]({target}")


def signature_of_init(app, what, name, obj, options, signature, return_annotation):
    """What a class takes: Keras's `__new__`, which Sphinx would show, takes everything."""
    if what != "class" or "__init__" not in {key for one in obj.__mro__[:-1] for key in vars(one)}:
        return None
    found = inspect.signature(obj.__init__)
    found = found.replace(parameters=list(found.parameters.values())[1:])
    return stringify_signature(found, show_annotation=False), return_annotation


def setup(app):
    app.connect("include-read", rewrite_links)
    app.connect("source-read", rewrite_page_links)
    app.connect("autodoc-process-signature", signature_of_init)
