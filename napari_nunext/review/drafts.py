"""The outline that is being drawn by hand: it is seen, and in no journal yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_nunext.core.shapes.painting import NOTHING

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.shapes.masks import Mask

    Place = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """An outline that is being drawn."""

    image_sha256: str
    uid: UUID
    kind: Literal["painting", "erasing", "polygon"]
    mask: Mask
    """The outline as it would be now, level-0 px."""
    room: Box
    """Where it may lie, level-0 px."""
    places_xy: tuple[Place, ...] = ()
    """Corners of the polygon, or where the brush was last; level-0 px."""
    stroke: Mask = NOTHING
    """What the brush has passed."""
    chose: bool = False
    """Whether the nucleus was selected as the stroke began."""
