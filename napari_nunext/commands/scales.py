"""The scales of images on the command line: whose figure counts, and which ones look wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.errors import CalibrationError, NunextError
from napari_nunext.core.plausible import scale_doubt
from napari_nunext.images import open_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_nunext.images import TileImage
    from napari_nunext.serving.protocol import ModelInfo


def scale_of(image: TileImage, mpp: float | None, say: Callable[[str], None]) -> float:
    """Micrometres per pixel of an image: what the person says, else what its file does.

    Raises
    ------
    CalibrationError
        If neither says anything.
    """
    if mpp is None:
        if image.mpp is None:
            raise CalibrationError(
                f"{image.name} does not say its scale. Give the micrometres per pixel, "
                "for example --mpp 0.5 (20x) or --mpp 0.25 (40x)."
            )
        return image.mpp
    if image.mpp is not None and abs(image.mpp / mpp - 1) > 0.01:
        say(f"{image.name} says {image.mpp:g} um/px, but --mpp {mpp:g} is used as you asked.")
    return mpp


def check_that_some_have_scale(images: Sequence[Path]) -> None:
    """Save the user a complaint about each of a hundred images."""
    missing: list[CalibrationError] = []
    for path in images:
        try:
            scale_of(open_image(path), None, lambda _: None)
        except CalibrationError as error:
            missing.append(error)
        except NunextError:
            return  # said when its turn comes
        else:
            return
    if len(missing) == 1:
        raise missing[0]
    raise CalibrationError(
        f"None of the {len(images)} images says its scale. Give the micrometres per pixel, "
        "for example --mpp 0.5 (20x) or --mpp 0.25 (40x)."
    )


def check_scales(
    images: Sequence[Path],
    mpp: float | None,
    model: ModelInfo,
    is_meant: Callable[[str], bool],
) -> None:
    """Ask about the scales that look wrong, once for all.

    Raises
    ------
    CalibrationError
        If one is not meant.
    """
    doubts = []
    for path in images:
        try:
            image = open_image(path)
            doubt = scale_doubt(
                scale_of(image, mpp, lambda _: None),
                image.width_px,
                image.height_px,
                model_mpp=model.mpp,
                window_px=model.window_px,
            )
        except NunextError:
            continue  # said when its turn comes
        if doubt:
            doubts.append(f"{path.name}: {doubt}")
    if not doubts:
        return
    others = len(doubts) - 1
    words = doubts[0]
    if others:
        words += f" So it is with {others} other image{'' if others == 1 else 's'}."
    if not is_meant(words):
        raise CalibrationError(
            f"{words} Give the micrometres per pixel as --mpp, or search all the same with --yes."
        )
