"""The site of the documents: every page is in its navigation, and nothing comes from elsewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from nunext_training.recipes.recipe import recipe_keys, recipe_names
from scripts.offline import loaded_from_elsewhere

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "build" / "site"
CONF = runpy.run_path(str(ROOT / "docs" / "conf.py"))


def linked_by(page: str) -> set[Path]:
    """Pages and notebooks in the lists of a page."""
    path = ROOT / f"{page}.md"
    lists = CONF["lists_of"](path.read_text("utf-8"))
    return {(path.parent / link).resolve() for links in lists.values() for link in links}


def pages() -> set[Path]:
    return {path for pattern in CONF["include_patterns"] for path in ROOT.glob(pattern)}


def test_the_lists_of_the_home_page_lead_to_every_page() -> None:
    home = ROOT / "docs" / "README.md"
    led_to = linked_by(CONF["HOME"]) | linked_by(CONF["DECISIONS"])
    assert len(led_to) > 70
    assert {str(path.relative_to(ROOT)) for path in pages() - led_to - {home}} == set()
    assert {str(path) for path in led_to if not path.is_file()} == set()


def test_every_document_of_the_repository_is_a_page() -> None:
    written = {
        path
        for pattern in ("*.md", "docs/**/*.md", "docs/**/*.ipynb", "training/*.md")
        for path in ROOT.glob(pattern)
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    }
    assert written - pages() == set()


def test_the_navigation_has_the_captions_of_the_lists() -> None:
    text = "# T\n\n- [A](a.md): x.\n\n**B c**\n\n- [D](d.md#e), [F](f.ipynb), [G](g.py).\n"
    assert CONF["lists_of"](text) == {"": ["a.md"], "B c": ["f.ipynb"]}
    assert CONF["with_navigation"]("docs/README", text) == text + (
        "\n```{toctree}\n:hidden:\n/docs/a\n```\n"
        "\n```{toctree}\n:hidden:\n:caption: B c\n/docs/f\n```\n"
    )


def test_the_page_of_recipes_has_every_key_and_names_every_recipe() -> None:
    page = CONF["with_recipe_keys"]((ROOT / "docs" / "recipes.md").read_text("utf-8"))
    for key in recipe_keys():
        assert f"| `{key.name.rpartition('.')[2]}` |" in page
        assert key.meaning.replace("|", " or ") in page
    rows = re.findall(r"^\| [^|]+ \|", page, flags=re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {name for name in recipe_names() if not name.startswith("segmenter_")} <= told
    assert page.count("\n## ") == len({key.name.rpartition(".")[0] for key in recipe_keys()})


def test_the_reference_has_every_public_name() -> None:
    page = CONF["with_docstrings"]("")
    import napari_nunext as nn

    assert nn.__all__
    for name in nn.__all__:
        assert f".. auto{'class' if isinstance(getattr(nn, name), type) else 'function'}:: " in page
        assert f"napari_nunext.{name}\n" in page


def test_a_link_to_a_folder_is_its_words_and_others_stay() -> None:
    text = "[a](decisions) [b](install.md) [c](https://x.y) [d](#e)"
    assert CONF["without_folders"]("docs/README", text) == (
        "a [b](install.md) [c](https://x.y) [d](#e)"
    )


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.x/y.js"></script>',
        '<script src="//cdn.x/y.js"></script>',
        '<link rel="stylesheet" href="https://fonts.x/css">',
        '<link rel="preconnect" href="https://fonts.x">',
        '<img src="http://x.y/z.png">',
        '<img srcset="a.png 1x, https://x.y/b.png 2x">',
        '<p style="background: url(https://x.y/z.png)">',
        "<style>@import 'https://x.y/z.css';</style>",
        "<style>@font-face { src: url('https://x.y/z.woff2') }</style>",
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_found(html: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(html, "utf-8")
    assert len(loaded_from_elsewhere(tmp_path)) == 1


def test_what_is_here_and_what_is_only_linked_is_let_be(tmp_path: Path) -> None:
    page = '<a href="https://x.y">x</a><img src="a.png"><link rel="canonical" href="https://x.y">'
    (tmp_path / "page.html").write_text(page, "utf-8")
    (tmp_path / "style.css").write_text("a { src: url(b.woff2) } /* url(https://x) */", "utf-8")
    assert loaded_from_elsewhere(tmp_path) == []
    (tmp_path / "style.css").write_text("@import url(https://x.y/z.css);", "utf-8")
    assert loaded_from_elsewhere(tmp_path) == ["style.css: https://x.y/z.css"]


def test_the_built_site_loads_nothing_from_elsewhere() -> None:
    if not (BUILT / "docs" / "README.html").is_file():
        pytest.skip("no site was built here: `make site`")
    assert len(list(BUILT.rglob("*.html"))) > 70
    assert loaded_from_elsewhere(BUILT) == []
