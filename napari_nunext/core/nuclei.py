"""Nuclei, categories and their colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import numpy as np

from napari_nunext.core.sentences import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask

UNCATEGORISED = "Nucleus"
"""Category of a nucleus when the model that found it knows none."""

OKABE_ITO = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermilion
    (204, 121, 167),  # reddish purple
)
"""Colours that the colour-blind can tell apart (Okabe and Ito, 2008), RGB in 0..255."""


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of nucleus and the colour it is drawn in (RGB, 0..255)."""

    name: str
    color: tuple[int, int, int]

    def to_json(self) -> dict[str, Any]:
        """``{"name": ..., "color": [r, g, b]}``."""
        return {"name": self.name, "color": list(self.color)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Category:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is no category."""
        red, green, blue = (int(value) for value in data["color"])
        return cls(str(data["name"]), (red, green, blue))


def default_categories(names: Iterable[str]) -> tuple[Category, ...]:
    """Give each name a colour of `OKABE_ITO`, in order, starting over after the last."""
    return tuple(Category(name, OKABE_ITO[i % len(OKABE_ITO)]) for i, name in enumerate(names))


@dataclass(frozen=True, slots=True)
class Nucleus:
    """One nucleus, with an identity for life."""

    uid: UUID
    x_px: float
    """Centroid, level-0 pixels, corner origin."""
    y_px: float
    category: str = UNCATEGORISED
    confidence: float | None = None
    """From the model, in [0, 1]; None where a person placed the nucleus."""
    mask: Mask | None = None
    position_error_um: float | None = None
    """Root mean square distance from the centre, expected of points like this one that are a
    nucleus; None where nobody says, or a person placed or moved it."""


def identity_of(said: object, seen: set[UUID]) -> tuple[UUID, bool]:
    """The uid of a nucleus that a file says, and that it does so; else a new one.

    Parameters
    ----------
    said : object
        What the file has in the place of a uid.
    seen : set of UUID
        Those of the nuclei before, none of which has it again; the new one is added.
    """
    try:
        uid = UUID(str(said))
    except ValueError:
        uid = None
    identified = uid is not None and uid not in seen
    kept = uid if uid is not None and identified else uuid4()
    seen.add(kept)
    return kept, identified


def measured_um(said: object) -> float | None:
    """A length that a file says, in um; None for a blank, and for what is none."""
    try:
        value = float(str(said))
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def nuclei_in_words(count: int) -> str:
    """``1 nucleus``, ``2 nuclei``."""
    return counted(count, "nucleus", "nuclei")


def points_of(nuclei: Sequence[Nucleus]) -> PointsXY:
    """Centroids of `nuclei` in their order, shape (N, 2)."""
    return np.array([(n.x_px, n.y_px) for n in nuclei], dtype=np.float64).reshape(-1, 2)
