"""The scales of images on the command line: whose figure counts, and which ones look wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.errors import CalibrationError, NunextError
from napari_nunext.core.image.plausible import scale_doubt
from napari_nunext.images import open_image

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.protocol import ModelInfo

    Opened: TypeAlias = ImageSource | NunextError


def open_all(paths: Sequence[Path]) -> dict[Path, Opened]:
    """Images by their files, each opened once; in the place of one that cannot be, why not."""
    images: dict[Path, Opened] = {}
    for path in paths:
        try:
            images[path] = open_image(path)
        except NunextError as error:
            images[path] = error
    return images


def scale_of(image: ImageSource, mpp: float | None, say: Callable[[str], None]) -> float:
    """Micrometres per pixel of an image: what the person says, else what its file does.

    Raises
    ------
    CalibrationError
        If neither says anything.
    """
    said = image.scale.mpp
    if mpp is None:
        if said is None:
            raise CalibrationError(
                f"{image.name} does not say its scale. Give the micrometres per pixel, "
                "for example --mpp 0.5 (20x) or --mpp 0.25 (40x)."
            )
        return said
    if said is not None and abs(said / mpp - 1) > 0.01:
        say(f"{image.name} says {said:g} um/px, but --mpp {mpp:g} is used as you asked.")
    return mpp


def check_that_some_have_scale(images: Collection[Opened]) -> None:
    """Save the user a complaint about each of a hundred images."""
    missing: list[CalibrationError] = []
    for image in images:
        if isinstance(image, NunextError):
            return  # said when its turn comes
        try:
            scale_of(image, None, lambda _: None)
        except CalibrationError as error:
            missing.append(error)
        else:
            return
    if len(missing) == 1:
        raise missing[0]
    raise CalibrationError(
        f"None of the {len(images)} images says its scale. Give the micrometres per pixel, "
        "for example --mpp 0.5 (20x) or --mpp 0.25 (40x)."
    )


def check_scales(
    images: Collection[Opened],
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
    for image in images:
        if isinstance(image, NunextError):
            continue  # said when its turn comes
        try:
            doubt = scale_doubt(
                scale_of(image, mpp, lambda _: None),
                round(image.box.width),
                round(image.box.height),
                model_mpp=model.mpp,
                window_px=model.window_px,
            )
        except NunextError:
            continue  # so is this
        if doubt:
            doubts.append(f"{image.name}: {doubt}")
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
