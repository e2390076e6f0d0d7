"""Positive or negative, where nobody said it, by how brown the nuclei are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.stains.measuring import dab_od_of
from napari_nunext.core.stains.positivity import check_cut_off
from napari_nunext.core.stains.telling import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from nunext_training.data.labelled import LabelledImage


def told_by_stain(image: LabelledImage, cut_off: float) -> LabelledImage:
    """Call nuclei without a category positive from `cut_off` on, and negative below.

    A nucleus beyond the image's edge, which cannot be measured, stays without one.

    Parameters
    ----------
    image : LabelledImage
        Immunohistochemistry with haematoxylin and diaminobenzidine (DAB).
    cut_off : float
        Mean optical density of DAB, base 10; see `napari_nunext.core.stains`.

    Raises
    ------
    InputError
        If the cut-off is none.
    """
    check_cut_off(cut_off)
    masks = image.masks or (None,) * len(image.points_xy)
    dab_od = dab_od_of(image.open(), image.points_xy, masks, mpp=image.mpp)
    told = np.where(dab_od >= cut_off, POSITIVE, NEGATIVE)
    said = np.array(image.categories, dtype=object)
    asked = (said == UNCATEGORISED) & ~np.isnan(dab_od)
    return replace(image, categories=tuple(np.where(asked, told, said).tolist()))
