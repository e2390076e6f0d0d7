"""For scripts of transformers: to import this makes its Auto classes know our architectures.

Afterwards ``AutoModelForImageTextToText``, ``AutoProcessor`` and ``pipeline`` read the bundled
folder and every checkpoint of ``nunext-train``, ``AutoModelForMaskGeneration`` the segmenters; no
code comes from the folder. `conversation` and
`points_in` are what lies between a window, a reply and points.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.codec import latent_token
from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.families import family_names, get_family
from napari_nunext.places import BUNDLED_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from napari_nunext.core.geometry import PointsXY

BUNDLED_DETECTOR = BUNDLED_WEIGHTS / "nunext-small"
"""Folder of the detector that comes with the package."""


def conversation(folder: Path | str, window: Image.Image) -> list[dict[str, Any]]:
    """The chat that asks the detector in `folder` for the points of one window.

    Parameters
    ----------
    folder : Path or str
    window : PIL.Image.Image
        RGB, with the side and the scale of the checkpoint (``window_px`` and ``mpp`` of its
        ``nunext.json``).

    Returns
    -------
    list of dict
        For ``pipeline`` and for ``apply_chat_template``. The last turn is the model's own: its
        reply begins after the latent tokens. Without them its points mean nothing.

    Raises
    ------
    CheckpointError
        If the folder is not a detector's checkpoint.
    InputError
        If the window has another side or mode: it would be resized, and points shift.
    """
    description = read_description(Path(folder))
    side = description.window_px
    if window.size != (side, side) or window.mode != "RGB":
        raise InputError(
            f"A window is {window.mode} of {window.width} x {window.height} px; expected RGB of "
            f"{side} x {side}. Cut it to that size at {description.mpp:g} um/px, or use "
            "napari_nunext.detect, which takes any image."
        )
    content = [{"type": "image", "image": window}, {"type": "text", "text": description.prompt}]
    turns: list[dict[str, Any]] = [{"role": "user", "content": content}]
    latents = "".join(latent_token(i) for i in range(len(description.codec.latent_ids)))
    if latents:
        turns += [{"role": "assistant", "content": [{"type": "text", "text": latents}]}]
    return turns


def points_in(folder: Path | str, reply_ids: Sequence[int]) -> tuple[PointsXY, tuple[str, ...]]:
    """What a reply of the detector in `folder` says, as far as it follows the grammar.

    Parameters
    ----------
    folder : Path or str
    reply_ids : sequence of int
        Tokens after those of `conversation`.

    Returns
    -------
    points_xy : ndarray, shape (N, 2), float64
        In px of the window, the corner of its first pixel at (0, 0), in the order of the reply.
    categories : tuple of str
        N names; empty strings where the checkpoint has no categories.
    """
    codec = read_description(Path(folder)).codec
    parsed = codec.parse(reply_ids)
    names = (codec.category_names[i] if i >= 0 else "" for i in parsed.category_indices)
    return codec.to_points(parsed.bins_xy), tuple(names)


def _register() -> None:
    from napari_nunext.models.sam import trunk_sam  # noqa: F401 (it registers itself)

    for name in family_names():
        try:
            get_family(name).register()
        except CheckpointError as error:  # of a package that is not ours: the others are there
            logging.getLogger(__name__).warning("%s", error)


_register()
