"""Lesions of an image with instance masks: its tiles, and the box of each instance in them.

"We divide the slices into 1024 x 1024 images and generate bounding boxes based on the instance
mask" (arXiv 2505.15687, Appendix B). Ours, because the paper does not say: tiles are spread evenly
and stay inside the image, so that neighbours overlap a little; an image that is smaller is one tile
of its own size; tiles without an instance stay, with no box; and what is left of an instance with
less than `SLIVER_PX` a side is nothing to find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import masks_of
from napari_nunext.core.tiling import plan_windows
from nunext_training.data.importers.questions.base import AnsweredImage, known_boxes
from nunext_training.data.importers.reading import check_fits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

    from napari_nunext.core.formats.records import Split
    from napari_nunext.images import Tile

TILE_PX = 1024
SLIVER_PX = 8
"""Of 1024 px shown in 256 tokens of 28 px, it is 3.5 px that a model sees."""
_ANY_MPP = 1.0
"""Windows are of as many pixels as the image has: the scale does not matter."""


def tiles_with_boxes(
    image: Tile,
    labels: NDArray[Any],
    what: str,
    *,
    name: str,
    category: str,
    organ: str,
    split: Split,
    patient: str,
) -> Iterator[AnsweredImage]:
    """Each tile of an image, and where the instances are in it.

    Parameters
    ----------
    image : Tile
    labels : ndarray of int, shape (H, W)
        A number for each instance, 0 for background.
    what : str
        Names the labels' file.
    name : str
        Of the image; a tile's tells its corner, too.
    category, organ : str
        As the question asks for them.
    split, patient : str

    Raises
    ------
    RecordError
        If the labels are of another size, or no labels.
    """
    check_fits(labels, image, what)
    for window in plan_windows(
        image.box,
        image.box,
        window_px=TILE_PX,
        window_mpp=_ANY_MPP,
        halo_um=0.0,
        image_mpp=_ANY_MPP,
    ):
        region = window.box.clipped_to(image.box)
        x0, y0, x1, y1 = map(int, region.as_tuple())
        rgb = image.rgb[y0:y1, x0:x1]
        boxes = boxes_of_labels(labels[y0:y1, x0:x1])
        yield AnsweredImage(
            name=f"{name}-x{x0}-y{y0}",
            rgb=rgb,
            split=split,
            answers=(known_boxes(category, organ, boxes, (x1 - x0, y1 - y0)),),
            patient=patient,
            image_sha256=image.id,
            region=region,
            tissue=organ.capitalize(),
        )


def boxes_of_labels(labels: NDArray[Any]) -> tuple[Box, ...]:
    """The box of each instance of a label image (H, W), but slivers; in the order of labels."""
    masks = (mask for label, mask in masks_of(labels).items() if label)
    return tuple(
        Box(m.x0_px, m.y0_px, m.x0_px + m.width_px, m.y0_px + m.height_px)
        for m in masks
        if min(m.width_px, m.height_px) >= SLIVER_PX
    )
