"""An open tile with three nuclei, and answerers that say what a test tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from napari_nunext.review.asking.asker import Asker
    from napari_nunext.review.controller import ReviewController


@pytest.fixture
def ask(opened: ReviewController) -> Asker:
    """The part that asks; `server.fake.says` is what the answerer vlm says."""
    for x, y in ((10, 10), (30, 20), (60, 50)):
        opened.correct.add(x, y)
    opened.ask.answerers.look()
    return opened.ask
