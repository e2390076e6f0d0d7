"""MIDOG 2021 and MIDOG++: mitotic figures of several tumours (Aubreville et al., 2023).

Layout: one JSON file with the images below its folder, whatever that is called::

    MIDOG.json    or MIDOG++.json, with images, annotations and categories
    images/001.tiff

An annotation has a box ``[x1, y1, x2, y2]`` of 50 px round a figure; the nucleus is its centre.
Boxes that can only be COCO's ``[x, y, width, height]``, or all have one size, are read as these.
**Only mitotic figures are marked**: other nuclei are not, so a model that learns from this finds
mitoses and no other nuclei. Look-alikes (``hard negative``) are kept as rejected mitotic figures.

A case is one image, and the cases 001 to 150 of both sets are the same. Images that the file does
not list have no labels (151 to 200 in 2021); where it lists these, they are passed over. The scale
is that of the image, else 0.25 um a pixel. There is no split: one in five cases validates.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.json_text import read_json
from napari_nunext.core.formats.records import RecordNucleus
from napari_nunext.core.geometry import Box
from napari_nunext.core.marks import Marks
from napari_nunext.core.nuclei import default_categories
from napari_nunext.images import open_tile
from nunext_training.data.importers.base import Importer
from nunext_training.data.importers.reading import dealt, pseudonym
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nunext_training.data.importers.base import Member

MPP = 0.25

FIGURE = "Mitotic figure"
UNLABELLED_2021 = range(151, 201)
"""Cases of the scanner that came without labels."""

_JSONS = ("MIDOG*.json", "*/MIDOG*.json")
_IMAGES = ("*.tif*", "*/*.tif*", "*/*/*.tif*")
_MITOTIC, _LOOKALIKE = "mitotic figure", ("hard negative", "non-mitotic", "imposter")


def _json_file(folder: Path) -> Path | None:
    return next((path for depth in _JSONS for path in sorted(folder.glob(depth))), None)


def _recognises(folder: Path) -> bool:
    return _json_file(folder) is not None


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    path = _json_file(folder)
    if path is None:
        raise RecordError(f"{folder} has no MIDOG.json; expected it beside the folder of images.")
    data = read_json(path, "the list of MIDOG", "Download it again.")
    try:
        kinds = {c["id"]: str(c["name"]).lower() for c in data["categories"]}
        boxes: dict[Any, list[tuple[str, list[float]]]] = {i["id"]: [] for i in data["images"]}
        for a in data["annotations"]:
            corners = [float(v) for v in a["bbox"]]
            if len(corners) != 4:
                raise ValueError(f"bbox {a['bbox']}")
            boxes[a["image_id"]].append((kinds[a["category_id"]], corners))
        listed = [i for i in data["images"] if boxes[i["id"]] or not _came_without(path, i)]
        files = {p.name: p for depth in _IMAGES for p in folder.glob(depth)}
        of_coco = _is_coco([box for of in boxes.values() for _, box in of])
        return [
            partial(
                _read_image,
                str(i["file_name"]),
                files.get(PurePath(i["file_name"]).name),
                boxes[i["id"]],
                of_coco,
                i.get("tumor_type"),
                mpp,
            )
            for i in listed
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"{path.name} is not the list of MIDOG ({error!r}); expected images, annotations with "
            "bbox, and categories."
        ) from error


def _came_without(path: Path, image: dict[str, Any]) -> bool:
    """Whether it is a case of 2021 whose scanner came without labels."""
    stem = PurePath(str(image["file_name"])).stem
    return "++" not in path.name and stem.isdigit() and int(stem) in UNLABELLED_2021


def _is_coco(boxes: list[list[float]]) -> bool:
    """Whether the boxes cannot be corners, or all have one size and so are one."""
    one_size = len(boxes) > 1 and len({(x1, y1) for _, _, x1, y1 in boxes}) == 1
    return one_size or any(x1 <= x0 or y1 <= y0 for x0, y0, x1, y1 in boxes)


def _read_image(
    file_name: str,
    path: Path | None,
    boxes: list[tuple[str, list[float]]],
    of_coco: bool,
    tumour: str | None,
    mpp: float | None,
) -> LabelledImage:
    if path is None:
        raise RecordError(f"{file_name} is missing; the list of MIDOG names it.")
    image = open_tile(path, mpp=mpp)
    extent = Box.of_image(image.width_px, image.height_px)
    unknown = {kind for kind, _ in boxes} - {_MITOTIC, *_LOOKALIKE}
    if unknown:
        raise RecordError(f"{file_name} has the category {sorted(unknown)[0]!r}, which is unknown.")
    figures = _centres([box for kind, box in boxes if kind == _MITOTIC], of_coco)
    lookalikes = _centres([box for kind, box in boxes if kind != _MITOTIC], of_coco)
    inside = extent.contains(figures)
    notes = (f"left out {(~inside).sum()} figures beyond the image",) if not inside.all() else ()
    figures, lookalikes = figures[inside], lookalikes[extent.contains(lookalikes)]
    patient = pseudonym(f"midog/{path.stem}")
    return LabelledImage(
        name=path.stem,
        path=path,
        mpp=image.mpp or MPP,
        mpp_source=image.mpp_source or "assumed",
        points_xy=figures,
        categories=(FIGURE,) * len(figures),
        split=dealt(patient),
        patient=patient,
        rejected=tuple(
            RecordNucleus(float(x), float(y), FIGURE, marks=Marks("rejected"))
            for x, y in lookalikes
        ),
        tissue=(tumour or "human breast cancer").capitalize(),
        notes=tuple(f"{path.name}: {note}." for note in notes),
    )


def _centres(boxes: list[list[float]], of_coco: bool) -> NDArray[np.float64]:
    """Shape (N, 2)."""
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    if of_coco:
        return corners[:, :2] + corners[:, 2:] / 2
    return (corners[:, :2] + corners[:, 2:]) / 2


MIDOG = Importer(
    name="midog",
    title="MIDOG 2021 and MIDOG++, mitotic figures alone at 40x (Aubreville et al., 2023)",
    categories=default_categories((FIGURE,)),
    recognises=_recognises,
    members=_members,
    licence="see the link",
    link="https://github.com/DeepMicroscopy/MIDOGpp",
    not_carried="nuclei other than mitotic figures: nobody marked them; the scanner of each case",
)
