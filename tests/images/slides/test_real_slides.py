"""The slide that is at hand, as SVS and as its recompressed twin in DICOM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openslide
import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.images import find_images, open_image
from napari_nunext.images.slides.slide import slide_of
from napari_nunext.images.slides.tiff import TiffReader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def wsi(data_root: Path) -> Path:
    folder = data_root / "wsi"
    if not folder.is_dir():
        pytest.skip("the slides are not there")
    return folder


def test_both_open_at_their_scale_and_show_the_same_place(wsi: Path) -> None:
    svs = open_image(wsi / "CMU-1-Small-Region.svs")
    (volume,) = find_images([wsi / "CMU-1-Small-Region"])
    dicom = open_image(volume)
    for image in (svs, dicom):
        assert (image.scale.mpp, image.scale.source) == (0.499, "file")
        assert image.box == Box(0, 0, 2220, 2967)
    difference = np.abs(svs.read_region(svs.box).astype(int) - dicom.read_region(dicom.box))
    assert difference.mean() < 4  # recompressed; a shift of a pixel is 9


def test_our_tile_reader_reads_what_openslide_does(wsi: Path) -> None:
    path = wsi / "CMU-1-Small-Region.svs"
    ours, theirs = slide_of(path, lambda: TiffReader(path)), openslide.OpenSlide(path)
    whole = theirs.read_region((0, 0), 0, theirs.dimensions).convert("RGB")
    np.testing.assert_array_equal(ours.read_region(ours.box), np.asarray(whole))
    assert ours.scale.mpp == 0.499
