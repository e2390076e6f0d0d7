"""Images of an export, as images of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_nunext.core.errors import RecordError
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.store.entries import ImageEntry, Origin

if TYPE_CHECKING:
    from napari_nunext.core.formats.export_folder import Export, Record


def entry_of(export: Export, record: Record) -> ImageEntry:
    """The image of a record, in its own pixels.

    Raises
    ------
    RecordError
        If it cannot be read.
    """
    path = export.image_path(record)
    try:
        with Image.open(path) as image:
            rgb = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise RecordError(f"{path.name} cannot be read ({error}). Export again.") from error
    height_px, width_px = rgb.shape[:2]
    return ImageEntry(
        sha256=pixels_sha256(rgb),
        path=str(path),
        name=path.name,
        width_px=width_px,
        height_px=height_px,
        mpp=record.source.mpp,
        mpp_source=record.source.mpp_source,
        patient=record.source.patient,
    )


def origin_of(record: Record) -> Origin:
    """Patient, side and tissue, which a later export keeps."""
    return Origin(record.source.patient, record.source.split, record.source.tissue)
