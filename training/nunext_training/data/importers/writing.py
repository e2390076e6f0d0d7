"""Write labelled images as an export folder, the form that everything else reads."""

from __future__ import annotations

import logging
import re
from collections import Counter
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_nunext import __version__
from napari_nunext.core.answers.points import NUCLEUS_INSTRUCTION, points_text
from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.json_lines import write_jsonl
from napari_nunext.core.formats.records import (
    IMAGES_FOLDER,
    MANIFEST_FILE,
    SFT_FILE,
    Manifest,
    RecordNucleus,
    SftRecord,
    Source,
    assistant_message,
    user_message,
)
from napari_nunext.core.geometry import Box, points_at
from napari_nunext.core.identity import file_sha256
from napari_nunext.core.marks import UNMARKED
from napari_nunext.models.checkpoints.loading import new_folder
from nunext_training.data.importers.reading import pseudonym
from nunext_training.runs.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.nuclei import Category
    from napari_nunext.images import Tile
    from nunext_training.data.labelled import LabelledImage

logger = logging.getLogger(__name__)

_PLAIN_NAME = re.compile(r"[\w+()=,.& -]{1,150}", re.ASCII)
"""A name that is a file's on every system."""


def write_export(
    images: Sequence[LabelledImage],
    out_dir: Path,
    *,
    categories: Sequence[Category],
    origin: str,
    public_names: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Write an export that appears whole or not at all.

    Images are stored as PNG without metadata. They keep their names where these are public, and
    have a pseudonym of it (`key_of`) otherwise, so that predictions of the original files are found
    (`nunext_training.evaluation.predictions.predictions_of`), and the folder names no patient.
    Where two share a name, their content tells them apart. An image whose pixels were written
    before is left out, and logged.

    Parameters
    ----------
    images : sequence of LabelledImage
    out_dir : Path
        Must not exist, or be empty.
    categories : sequence of Category
        In the order of the data set.
    origin : str
        The data set's name: begins each record's id.
    public_names : bool
        Whether everybody may read the images' names.
    progress : callable
        Told how many images of how many are written.

    Raises
    ------
    InputError
        If `out_dir` is in use.
    RecordError
        If a nucleus lies outside its image. Rejected ones that do are left out.
    """
    with new_folder(out_dir) as folder:
        return _write(images, folder, categories, origin, public_names, progress)


def _write(
    images: Sequence[LabelledImage],
    folder: Path,
    categories: Sequence[Category],
    origin: str,
    public_names: bool,
    progress: Callable[[int, int], None],
) -> Manifest:
    (folder / IMAGES_FOLDER).mkdir()
    keys = [key_of(image.name, public=public_names) for image in images]
    shared = {key for key, n in Counter(key.casefold() for key in keys).items() if n > 1}
    records: dict[str, SftRecord] = {}
    repeated = []
    for done, (image, key) in enumerate(zip(images, keys, strict=True), start=1):
        opened = image.open()
        if opened.id in records:  # published data sets do hold images twice
            repeated.append(image.name)
        else:
            name = f"{key}-{opened.id[:8]}" if key.casefold() in shared else key
            records[opened.id] = _write_image(image, opened, folder, f"{origin}-{name}", name)
        progress(done, len(images))
    if repeated:
        logger.warning(
            "Left out: %s images whose pixels were there before (%s)",
            len(repeated),
            ", ".join(repeated),
        )
    write_jsonl(folder / SFT_FILE, records.values())
    nuclei = sum(len(record.nuclei) for record in records.values())
    counts = {"sft": len(records), "images": len(records), "nuclei": nuclei}
    return write_manifest(folder, counts, origin=origin, categories=categories)


def write_manifest(
    folder: Path,
    counts: dict[str, int],
    *,
    origin: str,
    categories: Sequence[Category] = (),
    filters: Mapping[str, Any] = MappingProxyType({}),
) -> Manifest:
    """Write what an export folder holds; the last of its files, since it has the hash of each.

    Parameters
    ----------
    folder : Path
    counts : dict
        Records of each kind, and images.
    origin : str
        The data set's name.
    categories : sequence of Category
    filters : mapping
        What else decided about what is in there, as plain JSON values.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    manifest = Manifest(
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        software=f"napari-nunext {__version__}",
        counts=counts,
        categories=tuple(category.to_json() for category in categories),
        filters={"imported_from": origin, **filters},
        split_seed=0,
        files={p.relative_to(folder).as_posix(): file_sha256(p) for p in files},
    )
    write_json(folder / MANIFEST_FILE, manifest.to_json())
    return manifest


def key_of(name: str, *, public: bool) -> str:
    """What an image is called in an export: its name, or what stands for that."""
    return name if public and _PLAIN_NAME.fullmatch(name) else pseudonym(name)


def _write_image(
    image: LabelledImage, opened: Tile, folder: Path, record_id: str, name: str
) -> SftRecord:
    extent = Box.of_image(opened.width_px, opened.height_px)
    outside = np.flatnonzero(~extent.contains(image.points_xy))
    if len(outside):
        x, y = image.points_xy[outside[0]]
        raise RecordError(
            f"{len(outside)} nuclei of {image.name} lie outside its {opened.width_px} x "
            f"{opened.height_px} px, the first at ({x:g}, {y:g}). "
            "Check that the labels are its own."
        )
    relative = f"{IMAGES_FOLDER}/{name}.png"
    Image.fromarray(opened.rgb).save(folder / relative)
    return SftRecord(
        id=record_id,
        images=(relative,),
        messages=(
            user_message(NUCLEUS_INSTRUCTION),
            assistant_message(points_text(image.points_xy)),
        ),
        nuclei=_nuclei(image),
        rejected=_inside(image.rejected, extent),
        source=Source(
            image_sha256=opened.id,
            region=extent,
            mpp=image.mpp,
            mpp_source=image.mpp_source,
            split=image.split,
            patient=image.patient,
            tissue=image.tissue,
        ),
    )


def _nuclei(image: LabelledImage) -> tuple[RecordNucleus, ...]:
    count = len(image.points_xy)
    return tuple(
        RecordNucleus(float(x), float(y), category, uid, mask, marks)
        for (x, y), category, uid, mask, marks in zip(
            image.points_xy,
            image.categories,
            image.uids or (None,) * count,
            image.masks or (None,) * count,
            image.marks or (UNMARKED,) * count,
            strict=True,
        )
    )


def _inside(nuclei: Sequence[RecordNucleus], extent: Box) -> tuple[RecordNucleus, ...]:
    points_xy = points_at(nuclei)
    return tuple(n for n, kept in zip(nuclei, extent.contains(points_xy), strict=True) if kept)
