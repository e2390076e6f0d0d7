from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import ImageError
from napari_nunext.images import ImageFinder, open_image
from napari_nunext.store import ImageEntry

if TYPE_CHECKING:
    from pathlib import Path


def saved(path: Path, seed: int = 0, width_px: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.random.default_rng(seed).integers(0, 256, (30, width_px, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(path)
    return path


@pytest.fixture
def known(tmp_path) -> ImageEntry:
    image = open_image(saved(tmp_path / "first" / "a.png"))
    return ImageEntry(image.id, str(image.path), image.name, 40, 30, 0.5, "user")


def test_an_image_is_where_it_was_last_opened(known):
    assert str(ImageFinder().find(known).path) == known.path
    assert (ImageFinder().find(known).rgb == open_image(known.path).rgb).all()


@pytest.mark.parametrize("width_px", [40, 41], ids=["same size", "another size"])
def test_another_image_in_its_place_is_named_even_where_the_right_one_is_near(
    known, tmp_path, width_px
):
    saved(tmp_path / "first" / "b.png")
    saved(tmp_path / "first" / "a.png", seed=1, width_px=width_px)
    with pytest.raises(ImageError, match=r"first.a\.png is not the image that was reviewed"):
        ImageFinder(beside=tmp_path / "first").find(known)


def test_a_moved_image_is_found_by_its_name_then_by_its_pixels(known, tmp_path):
    (tmp_path / "first" / "a.png").unlink()
    saved(tmp_path / "new" / "deep" / "a.png", seed=1)
    renamed = saved(tmp_path / "new" / "z.png")
    (tmp_path / "new" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    assert ImageFinder([tmp_path / "new"]).find(known).path == renamed
    assert ImageFinder(beside=tmp_path / "new").find(known).path == renamed
    named = saved(tmp_path / "new" / "deeper" / "a.png")
    assert ImageFinder([tmp_path / "new"]).find(known).path == named


def test_what_is_not_found_is_said_with_what_to_do(known, tmp_path):
    (tmp_path / "first" / "a.png").unlink()
    with pytest.raises(ImageError, match=r"a\.png is not found.*--images"):
        ImageFinder(beside=tmp_path / "nowhere").find(known)
    saved(tmp_path / "new" / "a.png", seed=1)
    with pytest.raises(ImageError, match="holds other pixels"):
        ImageFinder([tmp_path / "new"]).find(known)
    with pytest.raises(ImageError, match="not a folder"):
        ImageFinder([tmp_path / "none"])
