"""The controller makes and connects the parts of a review; whoever wants something asks a part."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_nunext.review.controller import ReviewController

if TYPE_CHECKING:
    from pathlib import Path

OUTSIDE = ("napari_nunext/ui", "napari_nunext/demo.py", "benchmarks")


def test_the_controller_passes_nothing_on() -> None:
    own = {name for name in vars(ReviewController) if not name.startswith("__")}
    assert own == {"close"}


def test_every_part_is_public_and_named_in_the_documentation(controller: ReviewController) -> None:
    _, _, attributes = (ReviewController.__doc__ or "").partition("Attributes\n")
    named = dict(re.findall(r"^    (\w+) : (\w+)$", attributes, re.MULTILINE))
    public = {k: type(v).__name__ for k, v in vars(controller).items() if not k.startswith("_")}
    assert public == named


def test_nobody_reaches_past_the_parts(repo_root: Path) -> None:
    files = [p for place in OUTSIDE for p in _files(repo_root / place)]
    past = re.compile(r"controller(?:\.\w+)?\._\w+")
    found = {str(p): past.findall(p.read_text("utf-8")) for p in files}
    assert len(files) > 20
    assert {path: names for path, names in found.items() if names} == {}


def _files(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]
