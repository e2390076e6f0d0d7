from __future__ import annotations

import math

import pytest

from napari_nunext.core.errors import CalibrationError
from napari_nunext.core.image.source import Scale
from napari_nunext.images.scale import mpp_of_pixel_size, um_of_unit


@pytest.mark.parametrize("size", [0.0, -1.0, math.nan, math.inf, 0.049, 5.01, 84.7])
def test_what_no_microscope_gives_is_no_scale(size: float) -> None:
    assert mpp_of_pixel_size(size, size) == (None, ())


def test_nearly_square_pixels_have_their_mean() -> None:
    mpp, notes = mpp_of_pixel_size(0.5, 0.504)
    assert mpp == pytest.approx(0.502, abs=1e-4)
    assert notes == ()


def test_units_are_known_by_their_spellings() -> None:
    assert um_of_unit("\u00b5m") == um_of_unit("\u03bcm") == um_of_unit(" Micron ") == 1.0
    assert um_of_unit("pixel") is None


def test_an_absurd_scale_cannot_be_made() -> None:
    with pytest.raises(CalibrationError):
        Scale(1000.0, "user")
