"""How much better outlines get with each click of somebody who corrects them, simulated.

As interactive segmentation is customarily measured (Sofiiuk et al., RITM, 2022): the next click
goes to the innermost pixel of the largest region that is wrong, and says whether it belongs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.shapes.masks import Mask, in_common_crop
from napari_nunext.models.whole_image.masks import draw_masks, halo_um, point_prompts
from nunext_training.data.painting import check_masks
from nunext_training.data.prompts import depth_of_largest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_nunext.models.segmenter import Prompt, Segmenter
    from nunext_training.data.labelled import LabelledImage

EMPTY = Mask(0, 0, 0, 0, ())


def ious_by_clicks(
    segmenter: Segmenter,
    images: Sequence[LabelledImage],
    *,
    clicks: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, ...]:
    """Mean IoU of the nuclei, each by itself, after none, one, ... `clicks` corrections.

    Parameters
    ----------
    segmenter : Segmenter
        Is first prompted with the true centroids.
    images : sequence of LabelledImage
        Every nucleus has a mask. Nuclei whose centroid is not in the image are left out.
    clicks : int
    progress : callable
        Told how many images are done, of how many.

    Returns
    -------
    tuple of float
        ``clicks + 1`` means; empty where there is no nucleus.
    """
    check_masks(images)
    ious: list[NDArray[np.float64]] = []
    for done, image in enumerate(images, start=1):
        ious.append(_ious(segmenter, image, clicks))
        progress(done, len(images))
    together = np.concatenate(ious) if ious else np.empty((0, clicks + 1))
    return tuple(together.mean(axis=0).tolist()) if len(together) else ()


def _ious(segmenter: Segmenter, image: LabelledImage, clicks: int) -> NDArray[np.float64]:
    """Shape (N, clicks + 1)."""
    opened = image.open()
    inside = np.flatnonzero(opened.box.contains(image.points_xy))
    true = [(image.complete_masks or ())[i] for i in inside]
    prompts = list(point_prompts(image.points_xy[inside]))
    reach_px = halo_um(segmenter.info.window_px * segmenter.info.mpp) / image.mpp
    outlines = [EMPTY] * len(true)
    ious = np.zeros((len(true), clicks + 1))
    for turn in range(clicks + 1):
        drawn = [EMPTY] * len(true)
        for batch in draw_masks(opened, prompts, segmenter, mpp=image.mpp):
            for answer in batch:
                drawn[answer.index] = answer.mask
        for i, (mask, truth) in enumerate(zip(drawn, true, strict=True)):
            if turn:
                x, y = prompts[i].points_xy[-1]
                on_it = prompts[i].positive[-1]
                outlines[i] = outlines[i].corrected_by(mask, x, y, inside=on_it)
            else:
                outlines[i] = mask
            ious[i, turn], corrected = _corrected(prompts[i], outlines[i], truth, reach_px)
            prompts[i] = replace(corrected, outline=outlines[i])
    return ious


def _corrected(prompt: Prompt, drawn: Mask, true: Mask, reach_px: float) -> tuple[float, Prompt]:
    """IoU of an outline, and the prompt with the click that corrects it most.

    No click is farther than `reach_px` from the first: that much a segmenter sees around it.
    """
    ours, truth, (x0_px, y0_px) = in_common_crop(drawn, true)
    wrong = ours != truth
    union_px = (ours | truth).sum()
    iou = 1 - float(wrong.sum() / union_px) if union_px else 1.0
    height_px, width_px = wrong.shape
    x, y = np.arange(width_px) + x0_px + 0.5, np.arange(height_px) + y0_px + 0.5
    first_x, first_y = prompt.points_xy[0]
    wrong &= np.hypot(x - first_x, (y - first_y)[:, None]) < reach_px
    if not wrong.any():
        return iou, prompt
    depth = depth_of_largest(wrong)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return iou, replace(
        prompt,
        points_xy=np.vstack([prompt.points_xy, (x[column], y[row])]),
        positive=(*prompt.positive, bool(truth[row, column])),
    )
