"""The site of the documents: ``make site``.

The pages are the markdown of the repository, where it lies; nothing is copied or written twice.
[README.md](README.md) of this folder is the home page, and its lists are the navigation: a page
that they do not name is a warning, and a warning ends the build. So does a link that leads nowhere
and a picture that is missing. The reference comes from the docstrings.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "training")]

import napari_nunext as nn  # noqa: E402
from nunext_training.recipes.recipe import Key, recipe_keys  # noqa: E402

HOME = "docs/README"
DECISIONS = "docs/decisions/README"
REFERENCE = "docs/reference"
RECIPES = "docs/recipes"

project = "napari-nunext"
author = "napari-nunext contributors"
release = version = nn.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = HOME
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/**/*.md",
    "docs/notebooks/*.ipynb",
    "training/README.md",
    "napari_nunext/weights/*/README.md",
]
exclude_patterns = [".*", "build", "dist", "tests", "**/__pycache__"]

myst_heading_anchors = 4  # named as GitHub names them
myst_enable_extensions = ["fieldlist", "html_image"]
nb_execution_mode = "off"  # tests/api/test_notebooks.py runs them
default_role = "code"
suppress_warnings = ["misc.highlighting_failure"]

napoleon_google_docstring = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "napari-nunext"
html_copy_source = False
html_show_sphinx = False
html_extra_path = ["site"]


def lists_of(markdown: str) -> dict[str, list[str]]:
    """What the lists of a page link to, by the bold line that stands above each list."""
    found: dict[str, list[str]] = {}
    caption = ""
    for line in markdown.splitlines():
        bold = re.fullmatch(r"\*\*(.+)\*\*", line)
        caption = bold[1] if bold else caption
        if line.startswith("- "):
            links = re.findall(r"\]\(([^)#\s:]+\.(?:md|ipynb))\)", line)
            found.setdefault(caption, []).extend(links)
    return found


def with_navigation(name: str, markdown: str) -> str:
    """A page that lists others, with its lists as what Sphinx takes for the navigation."""
    here = (ROOT / name).parent
    for caption, links in lists_of(markdown).items():
        entries = [
            "/" + str((here / link).resolve().relative_to(ROOT).with_suffix("")) for link in links
        ]
        options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
        markdown += "\n".join(["", "```{toctree}", *options, *dict.fromkeys(entries), "```", ""])
    return markdown


def with_docstrings(markdown: str) -> str:
    """The page of the reference, with what each public name says of itself."""
    for name in nn.__all__:
        directive = "autoclass" if isinstance(getattr(nn, name), type) else "autofunction"
        options = ["   :members:"] if directive == "autoclass" else []
        lines = [f"## {name}", "", "```{eval-rst}", f".. {directive}:: napari_nunext.{name}"]
        markdown += "\n".join(["", *lines, *options, "```", ""])
    return markdown


def with_recipe_keys(markdown: str) -> str:
    """The page of recipes, with a table of the keys of each section."""
    sections: dict[str, list[Key]] = {}
    for key in recipe_keys():
        sections.setdefault(key.name.rpartition(".")[0], []).append(key)
    for section, keys in sections.items():
        title = f"[{section}]" if section else "Of the run"
        rows = [
            f"| `{key.name.rpartition('.')[2]}` | `{json.dumps(key.default)}` | {key.expected} | "
            f"{key.meaning.replace('|', ' or ')} |"
            for key in keys
        ]
        head = ["| key | default | may be | meaning |", "|---|---|---|---|"]
        markdown += "\n".join(["", f"## {title}", "", *head, *rows, ""])
    return markdown


def without_folders(name: str, markdown: str) -> str:
    """A page whose links to folders are their words alone: a site does not show folders."""
    here = (ROOT / name).parent

    def words(link: re.Match[str]) -> str:
        return link[1] if (here / link[2]).is_dir() else link[0]

    return re.sub(r"\[([^\]\n]+)\]\(([^)#\s:]+)\)", words, markdown)


def on_source_read(app: Sphinx, name: str, source: list[str]) -> None:
    """Add to a page what the repository says elsewhere."""
    if (ROOT / f"{name}.md").is_file():
        source[0] = without_folders(name, source[0])
    if name in (HOME, DECISIONS):
        source[0] = with_navigation(name, source[0])
    if name == REFERENCE:
        source[0] = with_docstrings(source[0])
    if name == RECIPES:
        source[0] = with_recipe_keys(source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", on_source_read)
