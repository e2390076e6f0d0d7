"""Read labelled images from folders: exports, or published data sets that an importer knows.

Whatever does not hold is named with file and line. A tolerant reader leaves it out and goes on; a
strict one stops.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import ImageError, InputError, RecordError
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.formats.records import MANIFEST_FILE, SFT_FILE
from napari_nunext.core.identity import file_sha256
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.process.options import one_line
from nunext_training.data.importers import IMPORTERS, importer_for
from nunext_training.data.labelled import LabelledImage, known_whole, nuclei_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from napari_nunext.core.formats.records import Rollout, SftRecord
    from napari_nunext.core.shapes.masks import Mask

logger = logging.getLogger(__name__)

MOST_TOLD = 20
"""Problems that are told one by one; more are counted."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """Labelled images and where they come from."""

    images: tuple[LabelledImage, ...]
    origin: dict[str, Any]
    """For reports and provenance: names no path."""
    problems: tuple[str, ...] = ()
    """What a tolerant reader left out, and where."""
    left_out: int = 0
    """Regions among that."""
    categories: tuple[str, ...] = ()
    """What it calls its categories, in its order: those of nuclei, and others that it knows."""


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
    source = _read_source(folder, strict=strict)
    there = {name for image in source.images for name in image.categories} - {UNCATEGORISED}
    told_apart = tuple(sorted(there))
    return replace(
        source, images=tuple(replace(image, told_apart=told_apart) for image in source.images)
    )


def _read_source(folder: Path, *, strict: bool) -> DataSource:
    if (folder / MANIFEST_FILE).is_file():
        return _read_export(folder, strict=strict)
    importer = importer_for(folder)
    if importer is None:
        raise RecordError(
            f"{folder} is neither an export (it has no {MANIFEST_FILE}) nor a data set in the "
            f"layout of {', '.join(IMPORTERS)}. Export again, or check the path."
        )
    left_out: list[str] = []
    images = importer.read(folder, left_out=None if strict else left_out)
    origin = {"importer": importer.name} | _counts(images)
    named = (category.name for category in importer.categories)
    known = _in_order(named, images)
    return DataSource(images, origin, tuple(left_out), len(left_out), known)


def read_sources(folders: Sequence[Path], *, strict: bool = True) -> tuple[DataSource, ...]:
    """Read several folders, each region once.

    Raises
    ------
    RecordError
        As `read_source`, and, in strict mode, if two records show the same region.
    """
    known: dict[Any, LabelledImage] = {}
    return tuple(_without_known(read_source(f, strict=strict), known, strict) for f in folders)


def _without_known(source: DataSource, known: dict[Any, LabelledImage], strict: bool) -> DataSource:
    """A source without the regions that are in `known`, which learns its own."""
    images, problems = [], list(source.problems)
    for image in source.images:
        if image.region is None or image.image_sha256 is None:
            images.append(image)
            continue
        first = known.setdefault((image.image_sha256, image.region), image)
        if first is image:
            images.append(image)
            continue
        problem = f"{image.place}: the same region stands in {first.place}."
        if strict:
            raise RecordError(problem)
        problems.append(problem)
    left_out = source.left_out + len(source.images) - len(images)
    return replace(source, images=tuple(images), problems=tuple(problems), left_out=left_out)


def read_whole(
    folders: Sequence[Path], *, strict: bool, allow_loss: bool = False
) -> tuple[DataSource, ...]:
    """`read_sources` for whoever needs every nucleus of an image, to measure or to ask about it.

    Images that were searched for some categories alone are left out. The user is told what was
    left out; see `tell_left_out`.

    Raises
    ------
    RecordError
        As `read_sources`.
    InputError
        As `tell_left_out`, or if every image was searched for some categories alone.
    """
    sources = read_sources(folders, strict=strict)
    left_out = sum(source.left_out for source in sources)
    regions = left_out + sum(len(source.images) for source in sources)
    problems = [p for source in sources for p in source.problems]
    tell_left_out(problems, left_out, regions, allow=allow_loss)
    whole = tuple(_known_whole(source) for source in sources)
    images = sum(len(source.images) for source in sources)
    partly = images - sum(len(source.images) for source in whole)
    if partly and partly == images:
        raise InputError(
            f"All of the {images} images were searched for some categories alone: nobody knows "
            "which other nuclei are there. Search some for everything, accept them, and export "
            "again."
        )
    if partly:
        logger.warning(
            "%s of %s were searched for some categories alone, and are left out", partly, images
        )
    return whole


def _known_whole(source: DataSource) -> DataSource:
    images = known_whole(source.images)
    if len(images) == len(source.images):
        return source
    return replace(source, images=images, origin=source.origin | _counts(images))


def tell_left_out(
    problems: Sequence[str],
    left_out: int,
    of: int,
    *,
    what: str = "regions",
    why: str = "",
    allow: bool = False,
) -> None:
    """Tell the user what a tolerant reading left out, and how much of how much it is.

    Parameters
    ----------
    problems : sequence of str
        A sentence for each thing.
    left_out, of : int
    what : str
        What is counted.
    why : str
        The reason for all, where there is one; else the first problem is told.
    allow : bool
        Go on where more than half is left out.

    Raises
    ------
    InputError
        If more than half is left out and that is not allowed: what comes of the rest is seldom what
        was meant, and a wrong name of a category is the usual cause.
    """
    for problem in problems[:MOST_TOLD]:
        logger.warning("Left out: %s", one_line(problem))
    if len(problems) > MOST_TOLD:
        logger.warning("Left out: %s more, likewise.", len(problems) - MOST_TOLD)
    if 2 * left_out > of and not allow:
        rest = ", or go on with the rest by --allow-loss" if left_out < of else ""
        raise InputError(
            f"{left_out} of {of} {what} would be left out. {why or problems[0]} Mend that "
            f"(categories: --rename 'FROM=TO'){rest}."
        )
    if problems:
        logger.warning(
            "Left out %s of %s %s; %s are used. --strict stops instead.",
            left_out,
            of,
            what,
            of - left_out,
        )


# Exports


def _read_export(folder: Path, *, strict: bool) -> DataSource:
    """An export with its pixels read once: training should not find damage after hours."""
    try:
        export = read_export(folder, strict=strict)
    except RecordError as error:
        raise RecordError(f"{folder.name}: {error}") from error
    judged = {record.id: record.rollout for record in export.rft}
    images, problems = [], [f"{folder.name}: {problem}" for problem in export.problems]

    def leave_out(problem: str, cause: Exception | None = None) -> None:
        if strict:
            raise RecordError(problem) from cause
        problems.append(problem)

    known = [str(category["name"]) for category in export.manifest.categories]
    for record in export.sft:
        place = f"{folder.name}: {SFT_FILE} line {export.lines[SFT_FILE, record.id]}"
        image = _labelled(folder, record, judged.get(record.id), place)
        image = replace(image, unasked=_unasked(record, known))
        if _is_readable(image, leave_out):
            images.append(image)
    left_out = export.left_out.get(SFT_FILE, 0) + len(export.sft) - len(images)
    if not images and not left_out:
        leave_out(f"{folder.name}: {SFT_FILE} has no record: no region was complete.")
    origin = {"manifest_sha256": file_sha256(folder / MANIFEST_FILE)} | _counts(images)
    if "imported_from" in export.manifest.filters:
        origin["importer"] = export.manifest.filters["imported_from"]
    return DataSource(tuple(images), origin, tuple(problems), left_out, _in_order(known, images))


def _in_order(known: Iterable[str], images: Sequence[LabelledImage]) -> tuple[str, ...]:
    """The categories that a source names, and behind them others of its nuclei."""
    used = sorted({name for image in images for name in image.categories})
    return tuple(dict.fromkeys((*known, *used)))


def _is_readable(image: LabelledImage, leave_out: Callable[[str, Exception], None]) -> bool:
    try:
        return image.open().rgb.size > 0
    except ImageError as error:
        leave_out(f"{image.place}: its image is damaged. {error}", error)
        return False


def _counts(images: Sequence[LabelledImage]) -> dict[str, int]:
    return {"images": len(images), "nuclei": nuclei_count(images)}


def _labelled(
    folder: Path, record: SftRecord, rollout: Rollout | None, place: str
) -> LabelledImage:
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
        uids=tuple(n.uid for n in record.nuclei),
        marks=tuple(n.marks for n in record.nuclei),
        rejected=record.rejected,
        masks=_masks(record),
        tissue=record.source.tissue,
        region=record.source.region,
        place=place,
        rollout=rollout,
        asked=record.source.asked,
    )


def _unasked(record: SftRecord, known: Sequence[str]) -> tuple[str, ...]:
    asked = record.source.asked
    return tuple(name for name in known if asked and name not in asked)


def _masks(record: SftRecord) -> tuple[Mask | None, ...]:
    masks = tuple(n.mask for n in record.nuclei)
    return masks if any(mask is not None for mask in masks) else ()
