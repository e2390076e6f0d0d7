"""Prompt text and its replies in words.

The instruction is NuNext's own. Models of this project reply in coordinate tokens
(`napari_nunext.core.codec`); `points_text` is the same reply in plain words, for the records that
other trainers read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.answers.budget import SentPicture
    from napari_nunext.core.geometry import PointsXY

NUCLEUS_INSTRUCTION = "Point to nucleus. Output the coordinates in [x, y] format."
"""NuNext, Fig. 2; the prompt that a checkpoint is trained with unless it declares another."""

MOST_NUCLEI = 512
"""That one prompt may name: some 3,000 tokens (ours)."""
MOST_CATEGORY_CHARACTERS = 100
"""Of a category that a prompt names, so that its length is known (ours)."""


def points_text(points_xy: PointsXY) -> str:
    """Points as ``[x, y], [x, y]`` in raster order, whole pixels of the image they lie in.

    A pixel is the one that contains the point (floor). No point gives the empty string.
    """
    pixels = np.floor(points_xy).astype(int)
    order = np.lexsort((pixels[:, 0], pixels[:, 1]))
    return ", ".join(f"[{x}, {y}]" for x, y in pixels[order].tolist())


def nuclei_text(points_xy: PointsXY, categories: Sequence[str]) -> str:
    """Nuclei as an answerer reads them before its question: points as thought (ours).

    ``Nuclei (x y category): 12 40 Lymphocyte; 30 41 Stromal;`` in raster order, whole pixels of the
    picture that is sent, as `points_text` has them; ``none;`` where there are none.

    Parameters
    ----------
    points_xy : ndarray, shape (N, 2)
        Pixels of the picture that is sent.
    categories : sequence of str
        One for each.

    Raises
    ------
    InputError
        If there are more than `MOST_NUCLEI`, a category is longer than `MOST_CATEGORY_CHARACTERS`,
        or there are not as many categories as points.
    """
    if len(points_xy) != len(categories):
        raise InputError(
            f"{len(points_xy)} nuclei have {len(categories)} categories; expected one for each."
        )
    if len(points_xy) > MOST_NUCLEI:
        raise InputError(
            f"There are {len(points_xy)} nuclei in the region, and the answerer reads "
            f"{MOST_NUCLEI} or fewer. Ask about a smaller region."
        )
    if (length := max(map(len, categories), default=0)) > MOST_CATEGORY_CHARACTERS:
        raise InputError(
            f"A category has {length} characters, and an answerer reads names of "
            f"{MOST_CATEGORY_CHARACTERS} or fewer. Give it a shorter name."
        )
    pixels = np.floor(np.reshape(points_xy, (-1, 2))).astype(int)
    order = np.lexsort((pixels[:, 0], pixels[:, 1])).tolist()
    named = (f"{pixels[i, 0]} {pixels[i, 1]} {_one_line(categories[i])};" for i in order)
    return f"Nuclei (x y category): {' '.join(named) or 'none;'}"


def nuclei_of_picture(sent: SentPicture, points_xy: PointsXY, categories: Sequence[str]) -> str:
    """Those of some nuclei that lie in the region of a picture, as its answerer reads them.

    Parameters
    ----------
    sent : SentPicture
    points_xy : ndarray, shape (N, 2)
        Level-0 px. Those beyond the region are left out.
    categories : sequence of str
        One for each.

    Raises
    ------
    InputError
        As `nuclei_text`, by the nuclei of the region.
    """
    points_xy = np.reshape(points_xy, (-1, 2))
    rows = np.flatnonzero(sent.region.contains(points_xy))
    # What lies in the region lies in the picture: only calculating may round it to the edge.
    edge_px = np.nextafter((sent.width_px, sent.height_px), 0.0)
    places_xy = np.minimum(sent.from_level0(points_xy[rows]), edge_px)
    return nuclei_text(places_xy, [categories[row] for row in rows.tolist()])


def _one_line(category: str) -> str:
    """A name that cannot be taken for the end of its entry."""
    return " ".join(category.replace(";", ",").split())
