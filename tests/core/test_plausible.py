from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.errors import CalibrationError
from napari_nunext.core.geometry import MPP_RANGE
from napari_nunext.core.plausible import scale_doubt

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
