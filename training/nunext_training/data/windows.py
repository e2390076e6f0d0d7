"""Training windows: the i-th one is a pure function of the seed and i.

So training that was cut off goes on exactly where it was, whatever the number of processes that
load data, and two runs of one recipe see the same windows.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.tiling import plan_windows
from nunext_training.data.crops import Crop, random_crop
from nunext_training.data.labelled import category_indices
from nunext_training.data.scanner import random_scanner
from nunext_training.data.stain import random_factors, scale_stains
from nunext_training.data.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.images import Tile
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.data.painted.recoloured import ColoursOfHAndE
    from nunext_training.data.painting import Painter
    from nunext_training.data.verdicts import JudgedWindow
    from nunext_training.recipes.sections import WindowOptions

BYTES_IN_MEMORY = 1_000_000_000
"""Of decoded images, that each process keeps: of a data set in memory nothing is decoded twice."""


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """The windows that a checkpoint sees."""

    window_px: int
    mpp: float
    category_names: tuple[str, ...] = ()
    """Empty for a checkpoint without categories."""

    def side_px(self, image_mpp: float) -> float:
        """Side of a window in pixels of an image."""
        return self.window_px * self.mpp / image_mpp


@dataclass(frozen=True, eq=False, slots=True)
class Example:
    """One window and every nucleus in it."""

    rgb: NDArray[np.uint8]
    """Shape (window_px, window_px, 3)."""
    points_xy: PointsXY
    """Shape (N, 2), pixels of the window, corner origin."""
    category_indices: tuple[int, ...] | None
    """One for each nucleus; None for a checkpoint without categories."""
    image_name: str
    crop: Crop
    labels: NDArray[np.int32] | None = None
    """Shape (window_px, window_px): what a painter made; None without one."""
    point_labels: tuple[int, ...] | None = None
    """What each nucleus of `points_xy` has in `labels`; None where there is nothing but those."""
    judged: JudgedWindow | None = None
    """What a model had said here, judged by people; None where nobody judged, or nobody asked."""
    known_rgb: NDArray[np.uint8] | None = None
    """The same window in colours that the parent knows; None where it is seen as it is."""
    replayed: bool = False
    """Whether it shows what the parent knew, rather than what is new."""
    told_apart: tuple[str, ...] = ()
    """Categories that it can be asked for alone; see `LabelledImage.told_apart`."""
    asked: tuple[str, ...] = ()
    """Categories that it is asked for alone: its nuclei are these. Empty: it is asked for all."""
    everything_xy: PointsXY | None = None
    """Where it is asked for some alone: every nucleus of the window, as `points_xy`; None where
    only these are known."""

    @property
    def own_labels(self) -> NDArray[np.int32] | None:
        """`labels` of the window's own nuclei: others, centred beyond it, only reach into it."""
        if self.labels is None or self.point_labels is None:
            return self.labels
        return np.where(np.isin(self.labels, self.point_labels), self.labels, 0)


class _ImageCache:
    """The images used last, decoded; always at least one."""

    def __init__(self, size_bytes: int = BYTES_IN_MEMORY) -> None:
        self._size_bytes = size_bytes
        self._held_bytes = 0
        self._images: OrderedDict[Path, Tile] = OrderedDict()

    def open(self, image: LabelledImage) -> Tile:
        if image.path not in self._images:
            opened = self._images[image.path] = image.open()
            self._held_bytes += _rgb_bytes(opened)
            while self._held_bytes > self._size_bytes and len(self._images) > 1:
                self._held_bytes -= _rgb_bytes(self._images.popitem(last=False)[1])
        self._images.move_to_end(image.path)
        return self._images[image.path]


def _rgb_bytes(image: Tile) -> int:
    return image.width_px * image.height_px * 3


class _Windows:
    """Cut windows out of labelled images."""

    def __init__(
        self,
        images: Sequence[LabelledImage],
        spec: WindowSpec,
        painter: Painter | None = None,
        *,
        verdicts: bool = False,
    ) -> None:
        if not images:
            raise InputError(
                "There is no image to cut windows from. Mark regions complete and export again, or "
                "check the split."
            )
        self.images = tuple(images)
        self.spec = spec
        self._painter = painter
        self._categories = tuple(category_indices(i, spec.category_names) for i in images)
        self._verdicts = tuple(Verdicts.of(i) if verdicts else None for i in images)
        self._cache = _ImageCache()

    def size_of(self, index: int) -> tuple[int, int]:
        """Width and height of an image, px."""
        opened = self._cache.open(self.images[index])
        return opened.width_px, opened.height_px

    def cut(self, index: int, crop: Crop) -> Example:
        """The window and the nuclei inside it (half-open, as `Box.contains`)."""
        image = self.images[index]
        inside = np.flatnonzero(crop.box.contains(image.points_xy))
        points_xy = crop.to_window(image.points_xy[inside])
        categories, verdicts = self._categories[index], self._verdicts[index]
        return Example(
            rgb=crop.turn_pixels(self._cache.open(image).read_window(crop.box, crop.window_px)),
            points_xy=points_xy,
            category_indices=(None if categories is None else tuple(categories[i] for i in inside)),
            image_name=image.name,
            crop=crop,
            labels=None if self._painter is None else self._painter(image, crop),
            point_labels=tuple((inside + 1).tolist()),
            judged=None if verdicts is None else verdicts.in_window(crop, inside, points_xy),
            told_apart=image.told_apart,
            asked=image.asked,
        )


class RandomWindows(_Windows):
    """`length` windows at random places; a map-style data set.

    Images are drawn in proportion to their area in um^2, so every piece of tissue is seen equally
    often, unless `WindowOptions.area_exponent` says otherwise.

    Parameters
    ----------
    images : sequence of LabelledImage
        Not empty.
    spec : WindowSpec
    options : WindowOptions
    length : int
        Number of windows: batch size times steps.
    seed : int
    painter : Painter, optional
        Paints `Example.labels`.
    verdicts : bool
        Cut `Example.judged` out of what people judged.
    colours : ColoursOfHAndE, optional
        Give `Example.known_rgb`.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        spec: WindowSpec,
        options: WindowOptions,
        *,
        length: int,
        seed: int,
        painter: Painter | None = None,
        verdicts: bool = False,
        colours: ColoursOfHAndE | None = None,
    ) -> None:
        super().__init__(images, spec, painter, verdicts=verdicts)
        self._options = options
        self._length = length
        self._seed = seed
        self._colours = colours
        sizes = [self.size_of(i) for i in range(len(self.images))]
        areas = np.array([w * h * i.mpp**2 for (w, h), i in zip(sizes, self.images, strict=True)])
        self._extents = tuple(Box.of_image(w, h) for w, h in sizes)
        weights = areas**options.area_exponent
        self._probability = weights / weights.sum()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self._length:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, index))
        chosen = int(rng.choice(len(self.images), p=self._probability))
        options = self._options
        crop = random_crop(
            rng,
            image=self._extents[chosen],
            side_px=self.spec.side_px(self.images[chosen].mpp),
            window_px=self.spec.window_px,
            scale_range=options.scale_range,
            turn=options.turn,
        )
        example = self.cut(chosen, crop)
        way = None if self._colours is None else self._colours.of(example.image_name, index)
        return replace(
            example,
            rgb=_of_another_laboratory(example.rgb, options, rng),
            known_rgb=None if way is None else way(example.rgb),
        )


def _of_another_laboratory(
    rgb: NDArray[np.uint8], options: WindowOptions, rng: np.random.Generator
) -> NDArray[np.uint8]:
    if options.stain_strength > 0:
        rgb = scale_stains(rgb, random_factors(rng, options.stain_strength))
    if options.scanner_strength > 0:
        rgb = random_scanner(rng, options.scanner_strength)(rgb)
    return rgb


class GridWindows(_Windows):
    """The windows that cover the images, as they are cut for detection; a map-style data set.

    For the validation loss. Without halo: each nucleus counts about once.
    """

    def __init__(
        self, images: Sequence[LabelledImage], spec: WindowSpec, painter: Painter | None = None
    ) -> None:
        super().__init__(images, spec, painter)
        self._crops = [
            (i, Crop(window.box, spec.window_px))
            for i, image in enumerate(self.images)
            for window in plan_windows(
                Box.of_image(*self.size_of(i)),
                Box.of_image(*self.size_of(i)),
                window_px=spec.window_px,
                window_mpp=spec.mpp,
                halo_um=0.0,
                image_mpp=image.mpp,
            )
        ]

    def __len__(self) -> int:
        return len(self._crops)

    def __getitem__(self, index: int) -> Example:
        return self.cut(*self._crops[index])  # a list: raises IndexError beyond the last
