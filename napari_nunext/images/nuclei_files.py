"""Files of nuclei, whatever tool wrote them: which they are, which image they mean, what they hold.

One reader for everybody who takes nuclei from a file: `evaluate --predictions`, the import into a
project, and the window. GeoJSON, JSON of HoVer-Net, CellViT, COCO and labelme, tables, ROIs of
ImageJ, and label images (`napari_nunext.core.formats`, `napari_nunext.images.nuclei.imagej_rois`,
`label_images`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import uuid4

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.coco import is_coco, read_coco, read_large_coco
from napari_nunext.core.formats.csv_table import read_csv_by_image
from napari_nunext.core.formats.geojson import read_large_geojson, read_parsed_geojson
from napari_nunext.core.formats.json_text import read_json
from napari_nunext.core.marks import MarkedNucleus
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.images.formats import image_stem
from napari_nunext.images.nuclei.imagej_rois import CELLPOSE_ROIS, holds_rois, read_rois
from napari_nunext.images.nuclei.imagej_rois import SUFFIXES as ROI_SUFFIXES
from napari_nunext.images.nuclei.label_images import (
    CELLPOSE_MASKS,
    CELLPOSE_PROJECT,
    read_labels,
)
from napari_nunext.images.nuclei.label_images import (
    SUFFIXES as LABEL_SUFFIXES,
)
from napari_nunext.images.nuclei.large_labels import SUFFIXES as LABEL_FOLDER_SUFFIXES
from napari_nunext.images.nuclei.large_labels import (
    is_label_folder,
    read_label_folder,
    read_large_label_tiff,
)
from napari_nunext.images.nuclei.parquet_tables import SUFFIXES as PARQUET_SUFFIXES
from napari_nunext.images.nuclei.parquet_tables import read_parquet
from napari_nunext.images.picture import quiet_readers
from napari_nunext.images.slides.ome_zarr import holds_labels_alone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from napari_nunext.images.nuclei.label_images import LabelImage
    from napari_nunext.images.tile import Tile

JSON_SUFFIXES = (".geojson", ".json", ".geojson.gz", ".json.gz")
TABLE_SUFFIXES = (".csv", *PARQUET_SUFFIXES)
PREDICTION_SUFFIXES = JSON_SUFFIXES + LABEL_SUFFIXES + LABEL_FOLDER_SUFFIXES + ROI_SUFFIXES
SUFFIXES = PREDICTION_SUFFIXES + TABLE_SUFFIXES
"""Of all files that may hold nuclei."""
NEVER_IMAGES = (*JSON_SUFFIXES, *TABLE_SUFFIXES, *ROI_SUFFIXES, ".npy")
"""Of those among them that are no images for sure."""
OUR_LABELS = (".labels.ome", ".labels")
"""What our exports add to the image's name."""
_ADDED = dict.fromkeys(LABEL_SUFFIXES, (*CELLPOSE_MASKS, *OUR_LABELS)) | {
    ".zip": (CELLPOSE_ROIS,),
    ".zarr": OUR_LABELS,
}
"""What tools add to the image's name, by suffix."""


@dataclass(frozen=True, slots=True)
class NucleiOfImage:
    """What a file holds of one image."""

    path: Path
    image: str
    """Name of the image: what the file says, or else what the file is called; without folders."""
    said: bool
    """Whether the file itself names the image."""
    size_px: tuple[int, int] | None
    """Width and height of the image, where the file says so."""
    nuclei: tuple[MarkedNucleus, ...]
    """In the order of the file; rejected ones are among them, and say so."""
    notes: tuple[str, ...] = ()
    """What was left out, and how the file was read where that is not plain: a phrase for each."""
    tool: str = ""
    """What wrote the file, as far as it shows; empty where it does not."""


def suffix_of(path: Path, suffixes: Sequence[str] = SUFFIXES) -> str | None:
    """The one of `suffixes` that a file's name ends with; letter case does not count."""
    return next((s for s in suffixes if path.name.lower().endswith(s)), None)


def stem_of(path: Path) -> str:
    """The image that a file is named after: its name without what tools add, and without suffix.

    ``a.geojson``, ``a.png.geojson``, ``a_cp_masks.png``, ``a_rois.zip`` and ``a_seg.npy`` all give
    ``a``.
    """
    suffix = suffix_of(path) or path.suffix
    stem = path.name[: len(path.name) - len(suffix)]
    if path.name.endswith(CELLPOSE_PROJECT):
        return path.name.removesuffix(CELLPOSE_PROJECT)
    for added in _ADDED.get(suffix, ()):
        stem = stem.removesuffix(added)
    return image_stem(Path(stem))


def nuclei_files(
    folder: Path,
    suffixes: Sequence[str] = PREDICTION_SUFFIXES,
    *,
    images: Collection[Path] | None = None,
) -> dict[str, Path]:
    """Files of nuclei directly in a folder, by the image that each is named after (`stem_of`).

    Parameters
    ----------
    folder : Path
    suffixes : sequence of str
    images : collection of Path, optional
        Files that are images. Given, images may lie in the folder, too: these and whatever cannot
        be labels is passed over, and so are labels beside a file that is no image for sure.

    Raises
    ------
    RecordError
        If the folder holds none, or two of one image.
    """
    files: dict[str, Path] = {}
    projects: list[Path] = []
    for path in _candidates(folder, suffixes, images):
        if path.name.endswith(CELLPOSE_PROJECT):
            projects.append(path)
            continue
        stem = stem_of(path)
        beside = files.get(stem)
        if beside is None:
            files[stem] = path
        elif images is None or _may_be_image(beside) or not _may_be_image(path):
            raise RecordError(f"{folder} holds {beside.name} and {path.name}; keep one.")
    for path in projects:  # beside masks it is not needed; alone, reading it says what to do
        files.setdefault(stem_of(path), path)
    if not files:
        raise RecordError(
            f"{folder} holds no GeoJSON; expected one <image name>.geojson for each image, or a "
            "label image as PNG, TIFF or NPY."
        )
    return files


def _candidates(
    folder: Path, suffixes: Sequence[str], images: Collection[Path] | None
) -> list[Path]:
    """Files that may hold nuclei; those that are no images for sure come first."""
    found = [
        path
        for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if suffix_of(path, suffixes) is not None and not path.name.startswith(".")
        if path.suffix.lower() != ".zip" or holds_rois(path)
        if not path.is_dir() or is_label_folder(path)
    ]
    if images is None:
        return found
    sure = [path for path in found if not _may_be_image(path)]
    known = {path.resolve() for path in images}
    others = [p for p in found if _may_be_image(p) and p.resolve() not in known]
    return sure + [path for path in others if holds_labels(path)]


def is_of_nuclei(path: Path) -> bool:
    """Whether a file, or a folder of labels, is no image for sure."""
    if path.is_dir():
        return suffix_of(path, LABEL_FOLDER_SUFFIXES) is not None and holds_labels_alone(path)
    return suffix_of(path, NEVER_IMAGES) is not None


def _may_be_image(path: Path) -> bool:
    return suffix_of(path) not in NEVER_IMAGES


def read_nuclei(
    path: Path, image_of: Callable[[str], Tile | None] = lambda stem: None
) -> tuple[NucleiOfImage, ...]:
    """What a file holds, image by image; a table and a COCO file may be of several.

    Parameters
    ----------
    path : Path
    image_of : callable
        The image that a stem means, where it is known: labels are checked against it, and turned
        as it is.

    Raises
    ------
    RecordError
        If the file does not read, or is of a kind that is not read; says what to do.
    """
    suffix, stem = suffix_of(path), stem_of(path)
    if suffix in ROI_SUFFIXES:
        found = read_rois(path)
        read = read_parsed_geojson(path, found.features, masks=True)
        return (NucleiOfImage(path, stem, False, None, read.nuclei, read.notes, found.tool),)
    if suffix in TABLE_SUFFIXES:
        read_table = read_parquet if suffix in PARQUET_SUFFIXES else read_csv_by_image
        return tuple(
            NucleiOfImage(path, _image_name(image) or stem, bool(image), None, tuple(nuclei))
            for image, nuclei in (read_table(path) or {"": []}).items()
        )
    if suffix in JSON_SUFFIXES:
        return _of_json(path, stem)
    if suffix in LABEL_SUFFIXES + LABEL_FOLDER_SUFFIXES:
        labels = _labels(path, lambda: image_of(stem))
        nuclei = tuple(
            MarkedNucleus(Nucleus(uuid4(), *mask.centroid_xy, mask=mask), identified=False)
            for mask in labels.masks
        )
        tool = "Cellpose" if path.stem.endswith(CELLPOSE_MASKS) else ""
        return (NucleiOfImage(path, stem, False, labels.size_px, nuclei, labels.notes, tool),)
    raise RecordError(
        f"{path.name} is no file of nuclei; expected GeoJSON, JSON, CSV, Parquet, ROIs of "
        "ImageJ, or a label image as PNG, TIFF or NPY."
    )


def read_nuclei_of_one(path: Path, image: Tile | None = None) -> NucleiOfImage:
    """What a file holds of the one image that it is named after; parameters as `read_nuclei`.

    Raises
    ------
    RecordError
        Also where it holds several images, and none is named as the file.
    """
    parts = read_nuclei(path, lambda stem: image)
    if len(parts) == 1:
        return parts[0]
    named = [part for part in parts if _is_same(part.image, stem_of(path))]
    if len(named) != 1:
        raise RecordError(
            f"{path.name} holds {len(parts)} images, {len(named)} of them named {stem_of(path)}; "
            "expected one. Write a file for each image, named as the image."
        )
    return named[0]


def _labels(path: Path, image: Callable[[], Tile | None]) -> LabelImage:
    if suffix_of(path) in LABEL_FOLDER_SUFFIXES:
        return read_label_folder(path)
    is_tiff = path.suffix.lower() in (".tif", ".tiff")
    large = read_large_label_tiff(path) if is_tiff else None
    return read_labels(path, image()) if large is None else large


def _of_json(path: Path, stem: str) -> tuple[NucleiOfImage, ...]:
    read = read_large_geojson(path, masks=True)
    coco = read_large_coco(path) if read is None else None
    if read is None and coco is None:
        data = read_json(path, "GeoJSON", "Export it again, for example from QuPath.")
        if is_coco(data):
            coco = read_coco(data, path.name)
        else:
            read = read_parsed_geojson(path, data, masks=True)
    if read is not None:
        return (NucleiOfImage(path, stem, False, None, read.nuclei, read.notes, read.tool),)
    return tuple(
        NucleiOfImage(
            path, _image_name(part.image), True, part.size_px, part.nuclei, part.notes, "COCO"
        )
        for part in coco or ()
    )


def _image_name(said: str) -> str:
    """Without folders, also those of Windows."""
    return PurePath(said.replace("\\", "/")).name


def holds_labels(path: Path) -> bool:
    """Whether a PNG, TIFF or OME-Zarr may be a label image: whole numbers of one channel."""
    if path.is_dir():
        return is_label_folder(path)
    try:
        with quiet_readers():
            if path.suffix.lower() == ".png":
                from PIL import Image

                with Image.open(path) as image:
                    return image.mode in ("1", "L", "P", "I", "I;16", "I;16B")
            import tifffile

            with tifffile.TiffFile(path) as tif:
                page = tif.pages.first
                kind = "" if page.dtype is None else page.dtype.kind
                return len(tif.pages) == 1 and page.samplesperpixel == 1 and kind in ("i", "u")
    except Exception:  # noqa: BLE001  decoders raise anything at broken files
        return False


class Named(Protocol):
    """An image of a project or a queue."""

    @property
    def name(self) -> str:
        """Its file's name."""
        ...

    @property
    def sha256(self) -> str:
        """Its identity; empty where that is not known yet."""
        ...


K = TypeVar("K", bound=Named)


def images_named(name: str, images: Sequence[K]) -> list[K]:
    """The images that a file named so, with suffix or without, is of.

    By their name, or by their content, or by both: exports tell images of one name apart by eight
    digits of their content (``tile-1a2b3c4d``).
    """
    by_name = [image for image in images if _is_same(name, image.name)]
    return by_name or [
        image
        for image in images
        if name == image.sha256
        or _is_same(name, f"{image_stem(Path(image.name))}-{image.sha256[:8]}")
    ]


def _is_same(name: str, other: str) -> bool:
    """Whether two names, with suffix or without, are of one image."""
    one, two = (image_stem(Path(n)).casefold() for n in (name, other))
    return one == two


def source_of(part: NucleiOfImage) -> str:
    """What to call whatever found these nuclei. Not the file's name: that is often a patient's."""
    if part.tool:
        return part.tool
    suffix = suffix_of(part.path)
    if suffix in LABEL_SUFFIXES + LABEL_FOLDER_SUFFIXES:
        return "a label image"
    return "a table" if suffix in TABLE_SUFFIXES else "a GeoJSON file"
