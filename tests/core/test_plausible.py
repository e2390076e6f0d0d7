from __future__ import annotations

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.errors import CalibrationError
from napari_nunext.core.geometry import MPP_RANGE, Box
from napari_nunext.core.image.plausible import MOST_WINDOWS, scale_doubt
from napari_nunext.core.tiling import plan_grid

MODEL = {"model_mpp": 0.5, "window_px": 128}


@pytest.mark.parametrize("mpp", [0.11, 0.23, 0.25, 0.4964, 0.5, 0.88, 1.0])
@pytest.mark.parametrize("side_px", [200, 256, 1000, 5000])
def test_what_microscopes_and_scanners_give_is_not_questioned(mpp: float, side_px: int) -> None:
    assert scale_doubt(mpp, side_px, side_px, **MODEL) == ""


@pytest.mark.parametrize(
    ("mpp", "size_px", "said"),
    [
        (5.0, (200, 200), "1.4 pixels wide"),
        (20.0, (2650, 2650), "too small to be told from noise"),
        (0.05, (200, 250), "whole image is 12 x 10 um"),
        (0.02, (4000, 4000), "350 pixels wide"),
        (1.0, (80_000, 1000), "80 mm long"),
        (0.5, (60_000, 60_000), "windows or more"),
    ],
)
def test_a_slip_is_said_in_words(mpp: float, size_px: tuple[int, int], said: str) -> None:
    doubt = scale_doubt(mpp, *size_px, **MODEL)
    assert said in doubt
    assert doubt.startswith(f"At {mpp:g} um/px")
    assert doubt.endswith(".")


def test_a_model_of_fine_detail_doubts_a_coarse_image() -> None:
    assert "blown up 5.0 times" in scale_doubt(1.0, 500, 500, model_mpp=0.2, window_px=128)
    assert scale_doubt(1.0, 500, 500) == ""


def test_what_no_microscope_gives_is_refused() -> None:
    with pytest.raises(CalibrationError):
        scale_doubt(1000, 100, 100)


@given(
    st.floats(*MPP_RANGE),
    st.integers(1, 100_000),
    st.integers(1, 100_000),
    st.floats(*MPP_RANGE),
    st.integers(32, 1024),
)
def test_every_scale_of_the_range_gets_an_answer(
    mpp: float, width: int, height: int, model_mpp: float, window_px: int
) -> None:
    without = scale_doubt(mpp, width, height)
    doubt = scale_doubt(mpp, width, height, model_mpp=model_mpp, window_px=window_px)
    if without:
        assert doubt == without


def test_a_field_or_a_search_at_the_limit_is_not_questioned() -> None:
    assert scale_doubt(0.25, 60, 60) == ""  # 15 um
    assert "hardly a nucleus" in scale_doubt(0.25, 59, 59)
    assert scale_doubt(1.0, 76_000, 1000) == ""
    assert "longer than a glass slide" in scale_doubt(1.0, 76_001, 1000)


def test_as_many_windows_as_a_slide_has_are_not_questioned() -> None:
    def windows(px: int) -> int:
        image = Box.of_image(px, px)
        return len(plan_grid(image, image, window_px=128, window_mpp=0.5, halo_um=0, image_mpp=0.5))

    widest = bisect_right(range(100_000), MOST_WINDOWS, lo=1, key=windows) - 1
    assert scale_doubt(0.5, widest, widest, **MODEL) == ""
    assert "the image is searched in" in scale_doubt(0.5, widest + 1, widest + 1, **MODEL)
    view = Box(90_000, 90_000, 91_000, 90_800)
    assert scale_doubt(0.5, 100_000, 100_000, **MODEL, region=view) == ""
    most = Box.of_image(90_000, 90_000)
    assert "the region is searched in" in scale_doubt(0.5, 100_000, 100_000, **MODEL, region=most)
