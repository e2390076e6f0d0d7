"""Regions from files and into files, and from the tissue that an image shows."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.region_files import read_regions, regions_as_text
from napari_nunext.core.image.tissue import tissue_pieces
from napari_nunext.core.sentences import counted
from napari_nunext.core.shapes.regions import clipped, region
from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice
from napari_nunext.store.exports.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.shapes.regions import Region
    from napari_nunext.review.regions.marker import RegionMarker
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.images import OpenField

MOST_PIECES = 300
"""Of tissue: more cannot be looked through, and a search takes no more than some of them."""
_NAMESPACE = UUID("a2f0c9d4-5b7e-5c11-9e0a-7d1f3b8c6e42")
"""So that the same piece has the same identity when tissue is outlined again."""


class RegionFiles:
    """The part of the review that brings regions in, and hands them out.

    Parameters
    ----------
    session : Session
    marker : RegionMarker
        Puts them on the image.
    """

    def __init__(self, session: Session, marker: RegionMarker) -> None:
        self._session = session
        self._marker = marker

    def outline_tissue(self) -> None:
        """Put the pieces of tissue on the open image, as regions to search; pen is left out.

        What is there already, or was changed by people, stays as it is.
        """
        field, model = self._session.images.open_field, self._marker.model
        if field is None or model.finding_tissue:
            return
        model.finding_tissue = True

        def take(found: list[Region]) -> None:
            model.finding_tissue = False
            if self._session.is_open(field.entry.sha256):
                self._take_tissue(found)

        def failed(error: BaseException) -> None:
            model.finding_tissue = False
            self._session.notify(in_words(error))

        self._session.background.run(lambda: tissue_of_field(field), take, failed)

    def _take_tissue(self, found: list[Region]) -> None:
        known = {each.uid for each in self._marker.model.regions}
        new = [each for each in found if each.uid not in known]
        if not found:
            words = "No tissue was seen: all of it looks like glass or ink. Draw where to search."
        elif not new:
            words = "The tissue is outlined already."
        else:
            self._marker.put(new[:MOST_PIECES])
            words = f"{counted(len(new[:MOST_PIECES]), 'piece')} of tissue outlined, to be searched"
            words += ". Change or delete what is wrong; Undo takes all of them back."
            if len(new) > MOST_PIECES:
                words += f" The {len(new) - MOST_PIECES} smallest are left out."
        self._session.notify(Notice(words))

    def read(self, path: Path) -> None:
        """Put the regions of a file on the open image."""
        field = self._session.images.open_field
        if field is None:
            return

        def take(found: list[Region]) -> None:
            if not self._session.is_open(field.entry.sha256):
                return
            before, box = self._marker.model.regions, field.box
            here = [on for each in found if (on := _part_on(each, box)) is not None]
            self._marker.put([each for each in here if each not in before])
            words = f"{counted(len(here), 'region')} read from {path.name}."
            if len(here) < len(found):
                words += f" {len(found) - len(here)} lie outside the image, and are left out."
            self._session.notify(Notice(words))

        self._session.background.run(lambda: read_regions(path, kind="interest"), take)

    def write(self, path: Path) -> None:
        """Write the regions of the open image, for QuPath and for other images' searches."""
        text = regions_as_text(self._marker.model.regions)

        def write() -> Notice:
            with replacing(path) as file:
                file.write(text)
            return Notice(f"Exported to {path}.")

        self._session.background.run(write, self._session.notify)


def _part_on(each: Region, box: Box) -> Region | None:
    """What of a region lies on the image; None where nothing does."""
    if box.covers(each.box):
        return each
    try:
        return region(each.name, each.kind, clipped(each.polygon_xy, box), uid=each.uid)
    except RecordError:
        return None


def tissue_of_field(field: OpenField) -> list[Region]:
    """The pieces of tissue of an image as regions to search, the largest first."""
    sha256 = field.entry.sha256
    polygons = tissue_pieces(field.source, mpp=field.entry.mpp)
    return [
        region(f"Tissue {n}", "search", each, uid=uuid5(_NAMESPACE, f"{sha256} {each.tolist()}"))
        for n, each in enumerate(polygons, start=1)
    ]
