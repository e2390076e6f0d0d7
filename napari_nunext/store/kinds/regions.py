"""What a person does to the regions of an image: draws, changes, renames and deletes them.

They are places, and no opinion on a nucleus: everybody's count, whoever's corrections are chosen.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from napari_nunext.core.errors import MALFORMED
from napari_nunext.core.geometry import as_points_xy
from napari_nunext.core.shapes.regions import KINDS as REGION_KINDS
from napari_nunext.core.shapes.regions import LONGEST_NAME, Region, check_polygon, corners_of
from napari_nunext.store import checks
from napari_nunext.store.event import EventKind, declare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.regions import RegionKind
    from napari_nunext.store.event import Event
    from napari_nunext.store.state.folding import Fold
    from napari_nunext.store.state.state import FieldState

REGIONS = "regions"
"""The mark of an image that they are kept in."""


def regions_of(state: FieldState) -> Mapping[UUID, Region]:
    """The regions of an image, by their identity, in the order in which they were drawn."""
    return MappingProxyType(state.said.get(REGIONS, {}))


def _is_name(value: Any) -> bool:
    return checks.is_words(value) and len(value) <= LONGEST_NAME


def _is_kind(value: Any) -> bool:
    return isinstance(value, str) and value in REGION_KINDS


def _is_polygon(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    try:
        check_polygon(np.array(corners_of(as_points_xy(value))).reshape(-1, 2))
    except MALFORMED:
        return False
    return True


def _about(fold: Fold, event: Event) -> Region | None:
    """The region that an event is about; None where it is not there."""
    there: Region | None = fold.said.get(REGIONS, {}).get(UUID(event.payload["id"]))
    return there


def _put(fold: Fold, region: Region) -> None:
    fold.say(REGIONS, {**fold.said.get(REGIONS, {}), region.uid: region})


DRAW_REGION = declare(
    EventKind(
        name="draw_region",
        about="image",
        words="drew a region",
        payload={
            "id": checks.is_uuid,
            "name": _is_name,
            "kind": _is_kind,
            "polygon": _is_polygon,
        },
        fold=lambda fold, event: _put(fold, Region.from_json(event.payload)),
        everybodys=True,
    )
)


def draw_region(image_sha256: str, region: Region) -> Event:
    """Put a region on an image."""
    return DRAW_REGION(image_sha256, region.to_json())


def _reshape(fold: Fold, event: Event) -> None:
    if old := _about(fold, event):
        _put(fold, replace(old, corners=corners_of(as_points_xy(event.payload["polygon"]))))


RESHAPE_REGION = declare(
    EventKind(
        name="reshape_region",
        about="image",
        words="changed the outline of a region",
        payload={"id": checks.is_uuid, "polygon": _is_polygon},
        fold=_reshape,
        everybodys=True,
    )
)


def reshape_region(image_sha256: str, uid: UUID, polygon_xy: PointsXY) -> Event:
    """Give a region another outline, level-0 px."""
    corners = [list(corner) for corner in corners_of(polygon_xy)]
    check_polygon(np.array(corners).reshape(-1, 2))  # in words that people read
    return RESHAPE_REGION(image_sha256, {"id": str(uid), "polygon": corners})


def _describe(fold: Fold, event: Event) -> None:
    if old := _about(fold, event):
        _put(fold, replace(old, name=event.payload["name"], kind=event.payload["kind"]))


DESCRIBE_REGION = declare(
    EventKind(
        name="describe_region",
        about="image",
        words="named a region or changed its kind",
        payload={"id": checks.is_uuid, "name": _is_name, "kind": _is_kind},
        fold=_describe,
        everybodys=True,
    )
)


def describe_region(image_sha256: str, uid: UUID, name: str, kind: RegionKind) -> Event:
    """Give a region a name and a kind."""
    return DESCRIBE_REGION(image_sha256, {"id": str(uid), "name": name, "kind": kind})


def _delete(fold: Fold, event: Event) -> None:
    if gone := _about(fold, event):
        there = fold.said[REGIONS]
        fold.say(REGIONS, {uid: each for uid, each in there.items() if uid != gone.uid})


DELETE_REGION = declare(
    EventKind(
        name="delete_region",
        about="image",
        words="deleted a region",
        payload={"id": checks.is_uuid},
        fold=_delete,
        everybodys=True,
    )
)


def delete_region(image_sha256: str, uid: UUID) -> Event:
    """Take a region away."""
    return DELETE_REGION(image_sha256, {"id": str(uid)})
