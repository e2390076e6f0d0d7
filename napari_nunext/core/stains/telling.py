"""Which stain an image shows, and the categories that nuclei have under it.

A window of 32 um may hold nothing but pale blue nuclei, which both stains have; the image around it
tells. So a model that knows the categories of both is given those of one, for all of an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_nunext.core.image.pen import pen_of
from napari_nunext.core.stains.optical_density import OD_OF_LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

Stain: TypeAlias = Literal["H&E", "H-DAB"]

POSITIVE, NEGATIVE = "Positive", "Negative"
"""Categories of nuclei in immunohistochemistry."""

STAINED_OD = 0.3
"""From this optical density on, red, green and blue together, a pixel says something of a stain."""
PIXELS_MIN = 200
"""Fewer that do say nothing."""
H_AND_E_MIN = 0.9
"""Of an image of H&E, this share of them at least absorbs green most. ..."""
H_DAB_MAX = 0.5
"""... Of immunohistochemistry, this share at most. Between the two the stain is in doubt. At hand
were 87 images of H&E, of which the least had 0.99, and 12 of immunohistochemistry: 0.44 at most.
PAS is like H&E by this: 18 tiles of kidney had 0.997 at least."""


def stain_of(green_share: float | None) -> Stain | None:
    """The stain of an image, by what `green_share` says of it; None where that is in doubt."""
    if green_share is None or H_DAB_MAX < green_share < H_AND_E_MIN:
        return None
    return "H&E" if green_share >= H_AND_E_MIN else "H-DAB"


def green_share(pictures: Iterable[NDArray[np.uint8]]) -> float | None:
    """Share of the stained pixels that absorb green more than red and blue.

    Eosin absorbs green, and so does haematoxylin in its company. Without eosin, haematoxylin is
    blue or grey, and DAB is brown.

    Parameters
    ----------
    pictures : iterable of ndarray of uint8, shape (H, W, 3)
        Bright field, 1 to 4 um a pixel. Ink of a pen counts as little as glass.

    Returns
    -------
    float or None
        None where hardly anything is stained.
    """
    stained = green = 0
    for rgb in pictures:
        density = OD_OF_LEVEL[rgb]
        seen = (density.sum(axis=2) > STAINED_OD) & ~pen_of(rgb)
        stained += int(seen.sum())
        others = np.maximum(density[..., 0], density[..., 2])
        green += int((seen & (density[..., 1] > others)).sum())
    return green / stained if stained >= PIXELS_MIN else None


def stain_in_decoding(stain: Stain | None, among: Sequence[str]) -> dict[str, object]:
    """What a run remembers of the stain that its categories were chosen under; else nothing."""
    return {"stain": stain, "among": list(among)} if among else {}


def among_in(decoding: Mapping[str, Any]) -> tuple[str, ...]:
    """The categories that a run chose from by the stain of its image; empty for all."""
    return tuple(map(str, decoding.get("among", ())))


def without_stain(decoding: Mapping[str, Any]) -> dict[str, Any]:
    """How a run decoded, whatever its image: without what `stain_in_decoding` says of that."""
    return {name: said for name, said in decoding.items() if name not in ("stain", "among")}


def stain_words(decoding: Mapping[str, Any]) -> str:
    """What people are told of the stain that an image was taken for; empty where it was not."""
    named = ", ".join(among_in(decoding))
    if not named:
        return ""
    return f"Taken for {decoding['stain']} by its colours, so categories are {named}."


def categories_under(
    stain: Stain | None, known: Sequence[str], *, taught_on_dab: Sequence[str] = ()
) -> tuple[str, ...]:
    """Which of the categories that a model knows nuclei may have under a stain.

    Parameters
    ----------
    stain : "H&E", "H-DAB" or None
    known : sequence of str
        Of a model.
    taught_on_dab : sequence of str
        Those beside positive and negative that people taught it on images like H-DAB: what they
        call nuclei there counts for more than names do.

    Returns
    -------
    tuple of str
        In the order of `known`; empty for all of them: where the stain is in doubt, and where the
        model knows the categories of one stain alone.

    >>> categories_under("H-DAB", ["Lymphocyte", "Positive", "Negative"])
    ('Positive', 'Negative')
    >>> categories_under("H-DAB", ["CD8+", "Positive", "Negative"], taught_on_dab=["CD8+"])
    ('CD8+', 'Positive', 'Negative')
    """
    of_dab = tuple(name for name in known if name in (POSITIVE, NEGATIVE))
    others = tuple(name for name in known if name not in of_dab)
    if stain is None or len(of_dab) < 2 or not others:
        return ()
    if stain == "H&E":
        return others
    return tuple(name for name in known if name in of_dab or name in taught_on_dab)
