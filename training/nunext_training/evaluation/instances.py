"""Instances beside their truth: masks drawn from points, and images of labels to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.scores.instance_scores import InstanceCase
from napari_nunext.core.shapes.masks import label_image
from napari_nunext.models.segmenter import ScoredMask
from napari_nunext.models.whole_image.masks import draw_masks, point_prompts
from napari_nunext.models.whole_image.overlaps import resolve_overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.scores.instances import Labels
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.images import Tile
    from napari_nunext.models.segmenter import Segmenter
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.evaluation.predictions import Prediction


def draw_instances(
    image: Tile,
    points_xy: PointsXY,
    categories: Sequence[str],
    segmenter: Segmenter,
    *,
    mpp: float,
) -> tuple[tuple[Mask, str], ...]:
    """Prompt a segmenter with each point, and choose the masks to paint, as PromptNucSeg does.

    Points outside the image prompt nothing.

    Returns
    -------
    tuple of (Mask, str)
        Masks and the categories of their points, in the order in which they are painted.
    """
    inside = np.flatnonzero(image.box.contains(points_xy))
    prompts = point_prompts(points_xy[inside])
    drawn = [mask for batch in draw_masks(image, prompts, segmenter, mpp=mpp) for mask in batch]
    kept = resolve_overlaps([ScoredMask(mask.mask, mask.score) for mask in drawn])
    return tuple((drawn[i].mask, categories[inside[drawn[i].index]]) for i in kept)


def instance_case(
    image: LabelledImage, prediction: Prediction, *, width_px: int, height_px: int
) -> InstanceCase | None:
    """What to score of an image; None where its truth has not the masks of all nuclei.

    A prediction without instances is one that found none. Of a truth whose masks overlap, later
    nuclei cover earlier ones.
    """
    masks = image.complete_masks
    if masks is None:
        return None
    found = prediction.instances or ()
    painted, names = [mask for mask, _ in found], [name for _, name in found]
    size_px = height_px, width_px
    return InstanceCase(
        pred=label_image(painted, *size_px),
        true=label_image(list(masks), *size_px),
        pred_categories=_by_label(names),
        true_categories=_by_label(image.categories),
        tissue=image.tissue,
        pred_by_category=_channels(painted, names, size_px),
        true_by_category=_channels(list(masks), image.categories, size_px),
    )


def _channels(
    masks: list[Mask], categories: Sequence[str], size_px: tuple[int, int]
) -> dict[str, Labels]:
    """A label image of each category: each mask has the label that it has among all."""
    channels: dict[str, Labels] = {}
    for name in set(categories):
        labels = [n for n, of in enumerate(categories, start=1) if of == name]
        alone = label_image([masks[n - 1] for n in labels], *size_px)
        channels[name] = np.array([0, *labels], dtype=np.int64)[alone]
    return channels


def _by_label(categories: Sequence[str]) -> dict[int, str] | None:
    """Category of each label; None where none is known."""
    if not set(categories) - {UNCATEGORISED}:
        return None
    return dict(enumerate(categories, start=1))
