"""One nucleus is one piece: what of a mask a prompt means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.shapes.masks import Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.models.segmenter import Prompt


def piece_at(mask: NDArray[np.bool_], prompt: Prompt) -> Mask:
    """The piece that a prompt points at, with its holes filled.

    Pixels belong to one piece if they touch by an edge. Clicks on the nucleus keep the pieces that
    they hit, or, where they hit none, the piece nearest to any of them; a box alone keeps the
    largest piece. A hole with a click beside the nucleus in it stays open.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        May be empty.
    prompt : Prompt
        In pixels of `mask`.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return Mask.from_array(mask)
    x0, y0 = int(columns[0]), int(rows[0])
    pieces, _ = scipy.ndimage.label(mask[y0 : rows[-1] + 1, x0 : columns[-1] + 1])
    clicks_xy = prompt.points_xy - (x0, y0)
    on_it = np.array(prompt.positive, dtype=bool)
    kept = np.isin(pieces, _meant(pieces, clicks_xy[on_it]))
    # A margin, so that all that surrounds the pieces is connected.
    gaps, _ = scipy.ndimage.label(np.pad(~kept, 1, constant_values=True))
    still_open = [int(gaps[0, 0]), *_labels_at(gaps, clicks_xy[~on_it] + 1)]
    filled = kept | ~np.isin(gaps[1:-1, 1:-1], still_open)
    return Mask.from_array(filled, x0, y0)


def _meant(pieces: NDArray[np.int32], clicks_xy: NDArray[np.float64]) -> list[int]:
    """Labels of the pieces to keep."""
    if len(clicks_xy) == 0:
        return [int(np.argmax(np.bincount(pieces.ravel())[1:])) + 1]
    hit = _labels_at(pieces, clicks_xy)
    if hit:
        return hit
    y, x = np.nonzero(pieces)
    away = np.hypot(x[:, None] + 0.5 - clicks_xy[:, 0], y[:, None] + 0.5 - clicks_xy[:, 1]).min(
        axis=1
    )
    nearest = int(np.argmin(away))
    return [int(pieces[y[nearest], x[nearest]])]


def _labels_at(labels: NDArray[np.int32], points_xy: NDArray[np.float64]) -> list[int]:
    """Labels, without the background's, of the pixels that hold a point."""
    height, width = labels.shape
    x, y = np.floor(points_xy).astype(int).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return [label for label in np.unique(labels[y[inside], x[inside]]).tolist() if label]
