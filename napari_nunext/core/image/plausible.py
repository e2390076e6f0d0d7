"""Whether a scale makes sense for an image, and for the model that is to look at it.

`check_mpp` refuses what no microscope could have produced. What lies within may still be a slip:
millimetres for inches, the pixel size of another file, a decimal point. Nobody can know, so the
person is asked; the window and the command line ask with the same words.
"""

from __future__ import annotations

from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.tiling import plan_grid

NUCLEUS_UM = 7.0
"""Width of a lymphocyte's nucleus: among the smallest that anybody counts."""
LEAST_NUCLEUS_PX = 4.0
"""Narrower, and a nucleus is a speck: at 5 um/px "844 nuclei" were noise."""
MOST_NUCLEUS_PX = 200.0
"""Wider than a 100x objective shows it."""
LEAST_FIELD_UM = 15.0
"""Two nuclei side by side."""
MOST_FIELD_UM = 76_000.0
"""A glass slide is 76 mm long."""
MOST_BLOWN_UP = 4.0
"""More than this, and the model looks at pixels that are not in the image."""
MOST_WINDOWS = 20_000
"""Hours on a laptop; a whole slide at its true scale may have as many."""


def scale_doubt(
    mpp: float,
    width_px: int,
    height_px: int,
    *,
    model_mpp: float | None = None,
    window_px: int | None = None,
    region: Box | None = None,
) -> str:
    """Why a scale looks wrong, as a sentence; empty where it looks right.

    Parameters
    ----------
    mpp : float
        Micrometres per pixel of the image, within `napari_nunext.core.geometry.MPP_RANGE`.
    width_px, height_px : int
        Size of the image.
    model_mpp : float, optional
        Scale at which the model looks; without it, only the image is judged.
    window_px : int, optional
        Side of the model's window, in pixels of its own scale.
    region : Box, optional
        What is searched of the image; all of it by default.

    Raises
    ------
    CalibrationError
        If `mpp` is none that a microscope could have produced.
    """
    check_mpp(mpp)
    nucleus_px = NUCLEUS_UM / mpp
    long_um, short_um = (f(width_px, height_px) * mpp for f in (max, min))
    at = f"At {mpp:g} um/px"
    if nucleus_px < LEAST_NUCLEUS_PX:
        return (
            f"{at} the nucleus of a lymphocyte ({NUCLEUS_UM:g} um) is {nucleus_px:.1f} pixels "
            "wide: too small to be told from noise."
        )
    if long_um < LEAST_FIELD_UM:
        return (
            f"{at} the whole image is {long_um:.0f} x {short_um:.0f} um: "
            "hardly a nucleus fits into it."
        )
    if nucleus_px > MOST_NUCLEUS_PX:
        return (
            f"{at} the nucleus of a lymphocyte ({NUCLEUS_UM:g} um) is {nucleus_px:.0f} pixels "
            "wide: no objective enlarges so much."
        )
    if long_um > MOST_FIELD_UM:
        return f"{at} the image is {long_um / 1000:.0f} mm long: longer than a glass slide."
    if model_mpp is None:
        return ""
    if mpp / model_mpp > MOST_BLOWN_UP:
        return (
            f"{at} the image has to be blown up {mpp / model_mpp:.1f} times for this model, which "
            f"looks at {model_mpp:g} um/px: most of what it looks for is not there to be seen."
        )
    if window_px is None:
        return ""
    image = Box.of_image(width_px, height_px)
    windows = len(
        plan_grid(
            region or image,
            image,
            window_px=window_px,
            window_mpp=model_mpp,
            halo_um=0,
            image_mpp=mpp,
        )
    )
    if windows > MOST_WINDOWS:
        what = "image" if region in (None, image) else "region"
        return f"{at} the {what} is searched in {windows:,} windows or more, which takes hours."
    return ""
