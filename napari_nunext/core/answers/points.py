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

    from napari_nunext.core.geometry import PointsXY

NUCLEUS_INSTRUCTION = "Point to nucleus. Output the coordinates in [x, y] format."
"""NuNext, Fig. 2; the prompt that a checkpoint is trained with unless it declares another."""

MOST_NUCLEI = 512
"""That one prompt may name: some 3,000 tokens (ours)."""


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
        If there are more than `MOST_NUCLEI`, or not as many categories as points.
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
    pixels = np.floor(np.reshape(points_xy, (-1, 2))).astype(int)
    order = np.lexsort((pixels[:, 0], pixels[:, 1])).tolist()
    named = (f"{pixels[i, 0]} {pixels[i, 1]} {_one_line(categories[i])};" for i in order)
    return f"Nuclei (x y category): {' '.join(named) or 'none;'}"


def _one_line(category: str) -> str:
    """A name that cannot be taken for the end of its entry."""
    return " ".join(category.replace(";", ",").split())
