"""NuCLS: breast cancer at 0.2 um a pixel, boxes and outlines (Amgad et al., GigaScience 2022).

Layout of a set, such as ``QC``, or with these in one folder of it::

    rgb/TCGA-A1-A0SP-DX1_id-..._left-7053_top-53807_bottom-53953_right-7311.png
    csv/<same name>.csv                       a nucleus a row
    train_test_splits/fold_1_test.csv         slides of the test part, in slide_name
    mask/, visualization/                     not read

Columns are ``raw_classification``, ``main_classification``, ``type``, ``xmin`` to ``ymax``, and
``coords_x`` and ``coords_y`` with numbers between commas. A ``polyline`` is an outline; of a
``rectangle`` only the centre is taken, since it says nothing of the outline. Categories are the
main ones; nuclei that nobody could name (``AMBIGUOUS``, ``unlabeled``) stay and are counted. The
first fold tells the test part; without it one patient in five validates.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.csv_table import read_columns, read_rows
from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.core.shapes.polygons import mask_of_rings
from napari_nunext.images import open_tile
from nunext_training.data.importers.base import Importer
from nunext_training.data.importers.reading import dealt, nuclei_in_image, patient_of
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from napari_nunext.core.shapes.masks import Mask
    from nunext_training.data.importers.base import Member

MPP = 0.2

KINDS = {
    "tumor_nonmitotic": "Tumor",
    "tumor_mitotic": "Mitotic figure",
    "nontilnonmq_stromal": "Stromal",
    "lymphocyte": "Lymphocyte",
    "plasma_cell": "Plasma cell",
    "macrophage": "Macrophage",
    "other_nucleus": "Other",
}
"""By the main classification, in small letters."""

TISSUE = "Breast"

_LISTS = ("all_fov_locations.csv",)
"""Tables beside the labels that are none of nuclei, in small letters."""
_SPLITS = "train_test_splits/fold_1_test.csv"


def _data_folder(folder: Path) -> Path | None:
    """The folder that holds the images and their tables: this one, or one directly in it."""
    paths = [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]
    return next((p for p in paths if (p / "rgb").is_dir() and (p / "csv").is_dir()), None)


def _recognises(folder: Path) -> bool:
    return _data_folder(folder) is not None


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    found = _data_folder(folder)
    tables = [] if found is None else sorted((found / "csv").glob("*.csv"))
    tables = [path for path in tables if path.name.lower() not in _LISTS]
    if found is None or not tables:
        raise RecordError(f"{folder} has no labels of NuCLS; expected the folders rgb and csv.")
    lists = [path for path in (found / _SPLITS, folder / _SPLITS) if path.is_file()]
    tests = {row.get("slide_name", "") for row in read_rows(lists[0])} if lists else None
    return [partial(_read_image, path, found / "rgb", tests, mpp) for path in tables]


def _read_image(
    path: Path, images: Path, tests: set[str] | None, mpp: float | None
) -> LabelledImage:
    image_path = images / f"{path.stem}.png"
    if not image_path.is_file():
        raise RecordError(f"csv/{path.name} has no image: expected rgb/{image_path.name}.")
    missing = {"raw_classification", "xmin"} - set(read_columns(path))
    if missing:
        raise RecordError(
            f"csv/{path.name} has no column {', '.join(sorted(missing))}; expected those of NuCLS."
        )
    rows = [row for row in read_rows(path) if not _is_field(row)]
    points, masks, categories = [], [], []
    for number, row in enumerate(rows, start=2):
        try:
            point, mask = _place(row)
        except (KeyError, ValueError) as error:
            raise RecordError(
                f"csv/{path.name} line {number} has no nucleus ({error}); expected xmin, ymin, "
                "xmax and ymax, or coords_x and coords_y."
            ) from error
        points.append(point)
        masks.append(mask)
        categories.append(row.get("main_classification") or row.get("raw_classification") or "")
    nuclei, outside = nuclei_in_image(points, masks, categories, open_tile(image_path))
    patient = patient_of(path.stem, path.stem)
    kinds = [KINDS.get(c.lower(), UNCATEGORISED) for c in nuclei.categories]
    return LabelledImage(
        name=path.stem,
        path=image_path,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=nuclei.points_xy,
        categories=tuple(kinds),
        split=_split(path.stem, tests, patient),
        patient=patient,
        masks=nuclei.masks if any(m is not None for m in nuclei.masks) else (),
        tissue=TISSUE,
        notes=(f"{path.name}: left out {outside} nuclei beyond the image.",) if outside else (),
        unsorted=tuple(c or "no class" for c in nuclei.categories if c.lower() not in KINDS),
    )


def _is_field(row: dict[str, str]) -> bool:
    """Whether a row tells the limits of the field, rather than a nucleus."""
    return row.get("raw_classification", "").lower().startswith("fov")


def _place(row: dict[str, str]) -> tuple[tuple[float, float], Mask | None]:
    if row.get("type", "").lower() == "polyline" and row.get("coords_x"):
        xs, ys = ([float(v) for v in row[c].split(",")] for c in ("coords_x", "coords_y"))
        mask = mask_of_rings([list(zip(xs, ys, strict=True))])
        if mask.area_px:
            x, y = mask.centroid_xy
            return (float(x), float(y)), mask
    x0, y0, x1, y1 = (float(row[c]) for c in ("xmin", "ymin", "xmax", "ymax"))
    return ((x0 + x1) / 2, (y0 + y1) / 2), None


def _split(name: str, tests: set[str] | None, patient: str) -> Split:
    if tests is None:
        return dealt(patient)
    return "test" if name.split("_id")[0] in tests else "train"


NUCLS = Importer(
    name="nucls",
    title="NuCLS, breast cancer at 0.2 um/px, 7 kinds (Amgad et al., GigaScience 2022)",
    categories=default_categories(KINDS.values()),
    recognises=_recognises,
    members=_members,
    licence="CC0",
    link="https://sites.google.com/view/nucls",
    not_carried="raw and super classes; the limits of the fields (`ALL_FOV_LOCATIONS.csv`)",
)
