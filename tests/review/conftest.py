"""A review without threads or windows: a real project, a fake server, everything at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.review.fakes import FakeServer, review_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController


@pytest.fixture
def tile_path(tmp_path: Path, rng: np.random.Generator) -> Callable[[str], Path]:
    """Write a tile of 80 x 64 px that differs from every other, and return its path."""

    def make(name: str) -> Path:
        path = tmp_path / "tiles" / name
        path.parent.mkdir(exist_ok=True)
        rgb = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
        Image.fromarray(rgb).save(path)
        return path

    return make


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def controller(tmp_path: Path, server: FakeServer) -> Iterator[ReviewController]:
    """A controller that does everything at once, on a project in a fresh folder."""
    made = review_on(tmp_path, server)
    yield made
    made.close()


@pytest.fixture
def opened(controller: ReviewController, tile_path: Callable[[str], Path]) -> ReviewController:
    """The same with one tile open and a model chosen."""
    controller.find.connect()
    controller.open.paths([tile_path("TCGA-A1-A0SP tile.png")])
    assert controller.images.model.open_field is not None
    return controller
