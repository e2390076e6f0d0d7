"""Glomeruli of the kidney with boxes, in tiles of AIDPATH's data (Bueno et al., 2020).

Layout::

    boxes.json       {"10003": [[x0, y0, x1, y1], ...], ...}: px of the image, corner origin
    images/10003.jpg

of 512 px, which were halved; their scale is not stated. Taken for 1 um a pixel, a glomerulus is
some 200 um across, as it is in people. Patients are not known: an image stands for one, and they
are dealt out by their hash, so that one in five validates. An image with an empty list has none.
"""

from __future__ import annotations

from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from napari_nunext.core.errors import MALFORMED, RecordError
from napari_nunext.core.formats.json_text import parse_json
from napari_nunext.core.geometry import Box
from napari_nunext.images import open_tile
from nunext_training.data.importers.questions.base import (
    AnsweredImage,
    QuestionImporter,
    known_boxes,
)
from nunext_training.data.importers.reading import dealt, image_beside, pseudonym

if TYPE_CHECKING:
    from pathlib import Path

    from nunext_training.data.importers.questions.base import Member

LIST_FILE, IMAGES = "boxes.json", "images"


def _recognises(folder: Path) -> bool:
    return (folder / LIST_FILE).is_file() and (folder / IMAGES).is_dir()


def _members(folder: Path) -> list[Member]:
    path = folder / LIST_FILE
    try:
        listed = {str(name): list(boxes) for name, boxes in parse_json(path.read_bytes()).items()}
    except (OSError, *MALFORMED) as error:
        raise RecordError(
            f"{path.name} is no list of boxes ({error}); expected a list of them for each image. "
            "Download it again."
        ) from error
    return [partial(_read_image, folder, name, boxes) for name, boxes in sorted(listed.items())]


def _read_image(folder: Path, name: str, listed: list[object]) -> list[AnsweredImage]:
    if PurePath(name).name != name:
        raise RecordError(f"{LIST_FILE} names {name!r}; expected the name of a file in {IMAGES}.")
    image = open_tile(image_beside(folder / IMAGES, name, f"{name} of {LIST_FILE}"))
    boxes = tuple(_box(each, image.box, name) for each in listed)
    patient = pseudonym(f"glomeruli/{name}")
    size_px = (image.width_px, image.height_px)
    return [
        AnsweredImage(
            name=name,
            rgb=image.rgb,
            split=dealt(patient),
            answers=(known_boxes("glomerulus", "kidney", boxes, size_px),),
            patient=patient,
            tissue="Kidney",
        )
    ]


def _box(listed: object, extent: Box, name: str) -> Box:
    try:
        box = Box.from_sequence(listed)  # type: ignore[arg-type]
    except MALFORMED as error:
        raise RecordError(
            f"{LIST_FILE} has {listed!r} for {name}; expected [x0, y0, x1, y1]."
        ) from error
    if box.clipped_to(extent) != box or not (box.width and box.height):
        raise RecordError(
            f"{LIST_FILE} has the box {listed!r} for {name}; expected one inside its "
            f"{extent.width:g} x {extent.height:g} px."
        )
    return box


GLOMERULI = QuestionImporter(
    name="glomeruli",
    title="Glomeruli of the kidney, PAS, from AIDPATH's data (Bueno et al., 2020)",
    recognises=_recognises,
    members=_members,
    mpp=1.0,
    mpp_is_said=False,
    licence="CC BY 4.0",
    link="https://data.mendeley.com/datasets/k7nvtgn2x6",
)
