"""Tiles of H&E in a data set, as sections that were stained otherwise."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import default_categories
from napari_nunext.core.shapes.masks import label_image
from napari_nunext.core.stains.telling import NEGATIVE, POSITIVE
from napari_nunext.images.tile import image_from_pixels
from napari_nunext.models.whole_image.masks import draw_masks, point_prompts
from nunext_training.data.painted.ihc import paint_ihc
from nunext_training.data.painted.pas import paint_pas

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_nunext.core.nuclei import Category
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.models.segmenter import Segmenter
    from nunext_training.data.labelled import LabelledImage


@dataclass(frozen=True, slots=True)
class PaintedStain:
    """A stain that sections can be painted in."""

    name: str
    """What ``nunext-train import`` and an export's origin call it."""
    suffix: str
    """Of names of sections, before their number."""
    title: str
    """For help: the H&E of an export, ..."""
    about: str
    """For help, of its options."""
    categories: tuple[Category, ...] | None
    """Of its nuclei; None: those of the tile."""
    paint: Callable[..., tuple[NDArray[np.uint8], NDArray[np.bool_] | None]]
    """Takes what `paint_ihc` takes. A picture of shape (H, W, 3), and which of the nuclei with a
    mask are positive; None where the stain says nothing of nuclei."""


def _ihc(
    rng: np.random.Generator, rgb: NDArray[np.uint8], labels: NDArray[np.int32], *, mpp: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    painted = paint_ihc(rng, rgb, labels, mpp=mpp)
    return painted.rgb, painted.positive


def _pas(
    rng: np.random.Generator, rgb: NDArray[np.uint8], labels: NDArray[np.int32], *, mpp: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    return paint_pas(rng, rgb, labels, mpp=mpp), None


IHC = PaintedStain(
    name="painted-ihc",
    suffix="ihc",
    title="the H&E of an export, painted as immunohistochemistry",
    about="immunohistochemistry painted over H&E whose nuclei are known; takes an export",
    categories=default_categories((POSITIVE, NEGATIVE)),
    paint=_ihc,
)
PAS = PaintedStain(
    name="painted-pas",
    suffix="pas",
    title="the H&E of an export, painted as periodic acid-Schiff",
    about="periodic acid-Schiff painted likewise, with the same options",
    categories=None,
    paint=_pas,
)
PAINTED_STAINS = {stain.name: stain for stain in (IHC, PAS)}


class PaintedSections(Sequence["LabelledImage"]):
    """Every tile of a data set, painted several times when it is asked for.

    A section is a function of the seed, the tile's name and its number. It keeps the tile's split
    and patient: no tissue is on two sides of a split because it was painted.

    Parameters
    ----------
    images : sequence of LabelledImage
        H&E. Nuclei without a mask are drawn by `segmenter`.
    stain : PaintedStain
    sections : int
        Of each tile.
    seed : int
        0 or more.
    segmenter : Segmenter, optional
        Needed where nuclei have no masks.

    Raises
    ------
    InputError
        If a number is out of range; of a tile without masks when it is painted, if there is no
        segmenter.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        *,
        stain: PaintedStain,
        sections: int,
        seed: int,
        segmenter: Segmenter | None = None,
    ) -> None:
        if sections < 1 or seed < 0:
            raise InputError(
                f"{sections} sections of seed {seed}; expected at least 1 section and a seed from "
                "0 up."
            )
        self._images, self._sections, self._stain = tuple(images), sections, stain
        self._seed, self._segmenter = seed, segmenter
        self._drawn: dict[int, list[Mask | None]] = {}

    def __len__(self) -> int:
        return len(self._images) * self._sections

    @overload
    def __getitem__(self, index: int) -> LabelledImage: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[LabelledImage]: ...

    def __getitem__(self, index: int | slice) -> LabelledImage | Sequence[LabelledImage]:
        """Paint one section, or each of a slice."""
        if isinstance(index, slice):
            return [self._paint(i) for i in range(len(self))[index]]
        return self._paint(range(len(self))[index])

    def _paint(self, index: int) -> LabelledImage:
        number, section = divmod(index, self._sections)
        image = self._images[number]
        masks = self._masks_of(number)
        rgb = image.open().rgb
        known = [mask for mask in masks if mask is not None]
        painted, is_positive = self._stain.paint(
            np.random.default_rng([self._seed, zlib.crc32(image.name.encode()), section]),
            rgb,
            label_image(known, *rgb.shape[:2]),
            mpp=image.mpp,
        )
        categories = image.categories
        if is_positive is not None:
            positive = np.zeros(len(masks), dtype=bool)
            positive[[mask is not None for mask in masks]] = is_positive
            categories = tuple(POSITIVE if each else NEGATIVE for each in positive)
        name, path = image.named_with(f"-{self._stain.suffix}{section}")
        height, width = rgb.shape[:2]
        return replace(
            image,
            name=name,
            path=path,
            categories=categories,
            masks=tuple(masks),
            image_sha256=None,
            uids=(),
            marks=(),
            rejected=(),
            rollout=None,
            unsorted=(),
            notes=(),
            opener=lambda: image_from_pixels(path, width, height, painted.copy),
        )

    def _masks_of(self, number: int) -> list[Mask | None]:
        """Of each nucleus of a tile; drawn once for all its sections."""
        image = self._images[number]
        if image.complete_masks is not None:
            return list(image.complete_masks)
        if number not in self._drawn:
            if self._segmenter is None:
                raise InputError(
                    f"{image.name} has nuclei without masks, and there is no segmenter to draw "
                    "them; name one."
                )
            masks: list[Mask | None] = [None] * len(image.points_xy)
            prompts = point_prompts(image.points_xy)
            for batch in draw_masks(image.open(), prompts, self._segmenter, mpp=image.mpp):
                for each in batch:
                    masks[each.index] = each.mask
            self._drawn = {number: masks}  # sections follow each other: one tile is enough
        return self._drawn[number]
