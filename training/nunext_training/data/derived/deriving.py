"""From annotated tiles to pictures of windows, with questions and what an answerer is told.

Everything is a function of the tile, the seed and the window's number: other tiles beside it change
nothing, and the same call writes the same bytes.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.stains.positivity import suggested_cut_off
from nunext_training.data.crops import Crop, random_crop
from nunext_training.data.derived import pixels, points
from nunext_training.data.derived.evidence import Mix, disturbed, named_points
from nunext_training.data.derived.pixels import Stained, stain_at
from nunext_training.data.derived.window import AnnotatedWindow, Spoken
from nunext_training.data.importers.questions.base import (
    AnsweredImage,
    known_answer,
    known_boxes,
)
from nunext_training.data.importers.reading import pseudonym
from nunext_training.data.stain import random_factors, scale_stains

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_nunext.core.formats.answer_records import NamedPoint
    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.images import Tile
    from nunext_training.data.derived.pixels import Stain
    from nunext_training.data.derived.window import DerivedQuestion
    from nunext_training.data.importers.questions.base import KnownAnswer, Member
    from nunext_training.data.labelled import LabelledImage

ORIGIN = "derived"
"""Begins the id of every record: nobody asked these questions."""
LEAST_SIDE_PX = 16
DARK_ABOVE = 2 / 3
"""Share of the nuclei to learn from that is not dark."""
NOT_BROWN_OD = 0.46
"""Amount of DAB under which nobody calls a nucleus brown: 0.2 by decimal logarithms, from where
on QuPath usually calls a cell positive."""


@dataclass(frozen=True, slots=True)
class Deriving:
    """How questions are derived."""

    window_um: float = 64.0
    windows_per_tile: int = 16
    """Of a tile to learn from, at random places."""
    grid: int = 4
    """Windows along each side of a tile that is held out."""
    seed: int = 0
    turn: bool = True
    """Mirror and turn windows to learn from."""
    scale: float = 1.1
    """These show up to so many times more or less than `window_um`."""
    stain_strength: float = 0.1
    """Of these the stains vary in ``exp(-strength)..exp(strength)``."""
    stain: Stain = "haematoxylin"
    """Which one questions about pixels ask for."""
    threshold: float | None = None
    """Over which a nucleus is stained; None asks no such question."""
    kinds: tuple[str, ...] = ()
    """Of questions; empty for all."""
    mix: Mix = field(default_factory=Mix)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, for a manifest."""
        return {**asdict(self), "kinds": list(self.kinds)}


@dataclass(frozen=True, eq=False, slots=True)
class Evidence:
    """What is known of the nuclei of a tile beside the truth."""

    points_xy: PointsXY
    """Shape (N, 2), pixels of the tile."""
    categories: tuple[str, ...]


def threshold_of(tiles: Sequence[LabelledImage], stain: Stain) -> float:
    """Over which amount a nucleus is stained, from the nuclei of tiles to learn from.

    Of haematoxylin a third of them is (`DARK_ABOVE`). Of DAB the threshold divides the logarithms
    best (Otsu, 1979), since staining multiplies, and nothing is brown under `NOT_BROWN_OD`. That of
    the amounts themselves divides strong from weak: on ten tiles of EndoNuke it is 1.59, that of
    logarithms 1.17, and to the eye brown begins at some 1.1.

    Raises
    ------
    InputError
        If these tiles have no nucleus.
    """
    found = [
        stain_at(opened.rgb, tile.points_xy, stain, tile.mpp)
        for tile in tiles
        for opened in (tile.open(),)
    ]
    amounts = np.concatenate(found) if found else np.zeros(0)
    if not len(amounts):
        raise InputError(
            "No nucleus in the train split tells which ones are dark. Give --threshold, or data to "
            "learn from."
        )
    if stain == "dab":
        return suggested_cut_off(amounts, NOT_BROWN_OD)
    return float(np.quantile(amounts, DARK_ABOVE))


def derive(
    tiles: Sequence[LabelledImage],
    names: Sequence[str],
    evidence: Sequence[Evidence] | Literal["true"] | None,
    options: Deriving,
) -> list[Member]:
    """Pictures and questions of tiles, each to be read when it is wanted.

    Parameters
    ----------
    tiles : sequence of LabelledImage
    names : sequence of str
        The categories that are told apart, in a fixed order.
    evidence : sequence of Evidence, ``"true"`` or None
        What was found in each tile; the truth is all that is told; or nothing is.
    options : Deriving
    """
    if unknown := sorted(set(options.kinds) - set(kinds_of(options.stain))):
        raise InputError(
            f"There is no kind of question {unknown[0]!r}; expected some of "
            f"{', '.join(kinds_of(options.stain))}."
        )
    spoken = Spoken.of(names)
    told = [evidence] * len(tiles) if evidence is None or evidence == "true" else evidence
    return [
        partial(_windows, tile, spoken, known, options)
        for tile, known in zip(tiles, told, strict=True)
    ]


def kinds_of(stain: Stain) -> tuple[str, ...]:
    """Every kind of question, in the order in which they are made."""
    return (*points.MAKERS, *pixels.MAKERS[stain])


def _windows(
    tile: LabelledImage,
    spoken: Spoken,
    evidence: Evidence | Literal["true"] | None,
    options: Deriving,
) -> Iterator[AnsweredImage]:
    opened = tile.open()
    identity = tile.image_sha256 or opened.id
    key = f"{identity}/{tile.region.as_tuple() if tile.region else ''}"
    crops = (_random if tile.split == "train" else _grid)(opened, tile.mpp, options, key)
    for number, crop in enumerate(crops):
        rng = _rng(key, number, options.seed, "window")
        rgb = crop.turn_pixels(opened.read_window(crop.box, crop.window_px))
        if tile.split == "train" and options.stain_strength > 0:
            rgb = scale_stains(rgb, random_factors(rng, options.stain_strength))
        inside = np.flatnonzero(crop.box.contains(tile.points_xy))
        categories = tuple(tile.categories[i] for i in inside)
        window = AnnotatedWindow(
            Box.of_image(crop.window_px, crop.window_px),
            crop.to_window(tile.points_xy[inside]),
            spoken.indices(categories),
            spoken,
            tile.mpp * crop.box.width / crop.window_px,
            rgb,
            (tile.tissue or "tissue").lower(),
        )
        draws = random.Random(f"{options.seed}/{key}/{number}")
        made = _questions(window, options, draws)
        if not made:
            continue
        yield AnsweredImage(
            name=pseudonym(f"{key}/{number}/{crop}"),
            rgb=rgb,
            split=tile.split,
            answers=tuple(_known(each, window) for each in made),
            patient=tile.patient,
            image_sha256=identity,
            region=_in_original(crop.box, tile, opened),
            tissue=tile.tissue,
            nuclei=_told(tile, window, categories, crop, evidence, options, rng),
            mpp=window.mpp,
        )


def _rng(key: str, number: int, seed: int, what: str) -> np.random.Generator:
    digest = int(pseudonym(f"{key}/{what}"), 16)
    return np.random.default_rng((seed, digest, number))


def _sides(opened: Tile, mpp: float, options: Deriving) -> tuple[int, int, int]:
    """Width and height of a tile, and the side of a window in it, px: no window leaves its tile."""
    width, height = opened.width_px, opened.height_px
    side = min(round(options.window_um / mpp), width, height)
    if side < LEAST_SIDE_PX:
        raise InputError(
            f"A window of {opened.name} would have {side} px a side; expected {LEAST_SIDE_PX} or "
            "more. Give larger windows, or leave out the tile."
        )
    return width, height, side


def _random(opened: Tile, mpp: float, options: Deriving, key: str) -> Iterator[Crop]:
    width, height, side = _sides(opened, mpp, options)
    # A hair less than the tile, which rounding must not leave.
    most = min(options.scale, min(width, height) / side * (1 - 1e-9))
    for number in range(options.windows_per_tile):
        yield random_crop(
            _rng(key, number, options.seed, "crop"),
            image=opened.box,
            side_px=side,
            window_px=side,
            scale_range=(min(1 / options.scale, most), max(1 / options.scale, most)),
            turn=options.turn,
        )


def _grid(opened: Tile, mpp: float, options: Deriving, key: str) -> Iterator[Crop]:
    width, height, side = _sides(opened, mpp, options)
    last = max(1, options.grid - 1)
    places = dict.fromkeys(
        ((width - side) * column / last, (height - side) * row / last)
        for row in range(options.grid)
        for column in range(options.grid)
    )
    for x0, y0 in places:
        yield Crop(Box(x0, y0, x0 + side, y0 + side), side)


def _questions(
    window: AnnotatedWindow, options: Deriving, rng: random.Random
) -> list[DerivedQuestion]:
    made = [make(window, rng) for make in points.MAKERS.values()]
    if options.threshold is not None and window.rgb is not None:
        amounts = stain_at(window.rgb, window.points_xy, options.stain, window.mpp)
        stained = Stained(window, amounts, options.threshold)
        made += [make(stained, rng) for make in pixels.MAKERS[options.stain].values()]
    return [
        each
        for each in made
        if each is not None and (not options.kinds or each.kind in options.kinds)
    ]


def _known(made: DerivedQuestion, window: AnnotatedWindow) -> KnownAnswer:
    asked = made.question
    if isinstance(made.answer, tuple):
        size_px = (round(window.region.width), round(window.region.height))
        known = known_boxes(asked.text, asked.organ, made.answer, size_px)
    else:
        known = known_answer(made.kind, str(made.answer), text=asked.text, options=asked.options)
    return replace(known, kind=made.kind)


def _told(
    tile: LabelledImage,
    window: AnnotatedWindow,
    categories: tuple[str, ...],
    crop: Crop,
    evidence: Evidence | Literal["true"] | None,
    options: Deriving,
    rng: np.random.Generator,
) -> tuple[NamedPoint, ...] | None:
    if evidence is None:
        return None
    told = options.mix.drawn(rng) if tile.split == "train" else "found"
    if evidence == "true" or told == "true":
        return named_points(window.points_xy, categories)
    inside = np.flatnonzero(crop.box.contains(evidence.points_xy))
    found_xy = crop.to_window(evidence.points_xy[inside])
    said = tuple(evidence.categories[i] for i in inside)
    if told == "disturbed":
        found_xy, said = disturbed(found_xy, said, window.spoken.names, rng)
    return named_points(found_xy, said)


def _in_original(box: Box, tile: LabelledImage, opened: Tile) -> Box:
    """In level-0 px of the image that the tile is cut from."""
    if tile.region is None:
        return box
    x, y = tile.region.width / opened.width_px, tile.region.height / opened.height_px
    x0, y0 = tile.region.x0, tile.region.y0
    return Box(x0 + x * box.x0, y0 + y * box.y0, x0 + x * box.x1, y0 + y * box.y1)
