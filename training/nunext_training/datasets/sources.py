"""Read labelled images from a folder: an export, or a published data set that an importer knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import RecordError
from napari_nunext.core.exports import read_export
from napari_nunext.core.identity import file_sha256
from napari_nunext.core.records import MANIFEST_FILE
from nunext_training.datasets.labelled import LabelledImage, nuclei_count
from nunext_training.importers import IMPORTERS, importer_for

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.masks import Mask
    from napari_nunext.core.records import Rollout, SftRecord


@dataclass(frozen=True, slots=True)
class DataSource:
    """Labelled images and where they come from."""

    images: tuple[LabelledImage, ...]
    origin: dict[str, Any]
    """For reports and provenance: names no path."""
    problems: tuple[str, ...] = ()
    """What a tolerant reader left out."""


def read_source(folder: Path, *, strict: bool = True) -> DataSource:
    """Read an export, or a data set in its published layout.

    Parameters
    ----------
    folder : Path
    strict : bool
        Stop at the first record of an export that does not hold, rather than leave it out.

    Raises
    ------
    RecordError
        If the folder is neither, or does not hold together.
    """
    if (folder / MANIFEST_FILE).is_file():
        return _read_export(folder, strict=strict)
    importer = importer_for(folder)
    if importer is None:
        raise RecordError(
            f"{folder} is neither an export (it has no {MANIFEST_FILE}) nor a data set in the "
            f"layout of {', '.join(IMPORTERS)}. Export again, or check the path."
        )
    images = importer.read(folder)
    return DataSource(images, {"importer": importer.name} | _counts(images))


def _read_export(folder: Path, *, strict: bool) -> DataSource:
    export = read_export(folder, strict=strict)
    judged = {record.id: record.rollout for record in export.rft}
    images = tuple(_labelled(folder, record, judged.get(record.id)) for record in export.sft)
    origin = {"manifest_sha256": file_sha256(folder / MANIFEST_FILE)} | _counts(images)
    if "imported_from" in export.manifest.filters:
        origin["importer"] = export.manifest.filters["imported_from"]
    return DataSource(images, origin, tuple(export.problems))


def _counts(images: tuple[LabelledImage, ...]) -> dict[str, int]:
    return {"images": len(images), "nuclei": nuclei_count(images)}


def _labelled(folder: Path, record: SftRecord, rollout: Rollout | None) -> LabelledImage:
    return LabelledImage(
        name=record.id,
        path=folder / record.images[0],
        mpp=record.source.mpp,
        mpp_source=record.source.mpp_source,
        points_xy=record.points_xy,
        categories=record.categories,
        split=record.source.split,
        patient=record.source.patient,
        image_sha256=record.source.image_sha256,
        masks=_masks(record),
        tissue=record.source.tissue,
        rollout=rollout,
    )


def _masks(record: SftRecord) -> tuple[Mask | None, ...]:
    masks = tuple(n.mask for n in record.nuclei)
    return masks if any(mask is not None for mask in masks) else ()
