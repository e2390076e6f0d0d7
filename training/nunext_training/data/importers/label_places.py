"""Where people keep labels: in a folder beside that of the images, or beside the images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.coco import is_coco
from napari_nunext.core.formats.json_text import read_json
from napari_nunext.core.formats.records import SPLITS
from napari_nunext.images import find_images
from napari_nunext.images.formats import image_stem, is_image_name
from napari_nunext.images.nuclei.label_images import CELLPOSE_PROJECT
from napari_nunext.images.nuclei_files import (
    JSON_SUFFIXES,
    SUFFIXES,
    holds_labels,
    read_nuclei,
    stem_of,
    suffix_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from napari_nunext.images.nuclei_files import NucleiOfImage

IMAGE_FOLDERS = ("images", "Images", "image", "imgs", "img")
LABEL_FOLDERS = (
    *("labels", "Labels", "label", "masks", "Masks", "mask"),
    *("annotations", "Annotations", "geojson"),
)
"""Names that tools give; the first that is there counts."""

MAT_SUFFIX = ".mat"
"""As HoVer-Net wants its labels; see `nunext_training.data.importers.folder`."""

_LABEL_SUFFIXES = (*SUFFIXES, MAT_SUFFIX)
_SHOWN = (".png", ".tif", ".npy", ".geojson", ".json", ".csv", ".mat", ".zip")


@dataclass(frozen=True)
class Part:
    """Images of one part of a data set, and where their labels lie."""

    split: Split | None
    """As the folder is named; None where its name says none."""
    images: tuple[Path, ...]
    labels: Path
    above: Path
    """The folder that holds both, in which one file may be of all images."""

    def labels_of(self, name: str) -> Path | NucleiOfImage:
        """The file of labels of an image, or its part of a file that is of several.

        Raises
        ------
        RecordError
            If there is none, or more than one.
        """
        found = self._index.get(name, [])
        masks = [path for path in found if not path.name.endswith(CELLPOSE_PROJECT)]
        found = masks or found
        if not found and (shared := self._shared.get(name)) is not None:
            return shared
        if len(found) != 1:
            what = " and ".join(path.name for path in found) or "nothing"
            raise RecordError(
                f"For the image {name} there is {what} in {self.labels.name}; expected one of "
                f"{', '.join(name + suffix for suffix in _SHOWN)}."
            )
        return found[0]

    @cached_property
    def _index(self) -> dict[str, list[Path]]:
        return _files_by_image(self.labels, self.images)

    @cached_property
    def _shared(self) -> dict[str, NucleiOfImage]:
        """What COCO files say of the images that they name, by stem."""
        stems = {image_stem(path) for path in self.images}
        files = [
            path
            for folder in dict.fromkeys((self.labels, self.above))
            for path in sorted(folder.iterdir())
            if suffix_of(path, JSON_SUFFIXES) and stem_of(path) not in stems
            if is_coco(read_json(path, "JSON", "Mend it, or take it away."))
        ]
        parts = (part for path in files for part in read_nuclei(path))
        return {image_stem(PurePath(part.image)): part for part in parts if part.said}


def parts_in(folder: Path) -> list[Part]:
    """The parts of a data set: the folder itself, and its train, val and test."""
    named: list[tuple[Split | None, Path]] = [(split, folder / split) for split in SPLITS]
    parts = (_part(split, path) for split, path in [(None, folder), *named] if path.is_dir())
    return [part for part in parts if part is not None]


def _part(split: Split | None, folder: Path) -> Part | None:
    images, labels = (
        next((folder / name for name in names if (folder / name).is_dir()), None)
        for names in (IMAGE_FOLDERS, LABEL_FOLDERS)
    )
    if images is not None and labels is not None:
        return Part(split, tuple(find_images([images])), labels, folder)
    found = [path for path in sorted(folder.iterdir()) if _is_plain_image(path)]
    if not found:
        return None
    part = Part(split, tuple(find_images(found)), folder, folder)
    beside = _files_by_image(folder, part.images)
    shared = [path for path in folder.glob("*.json") if "annotations" in path.name]
    return part if shared or any(image_stem(path) in beside for path in found) else None


def _is_plain_image(path: Path) -> bool:
    """Whether a file is an image rather than labels in the form of one."""
    is_named = is_image_name(path.name) and stem_of(path) == image_stem(path)
    return is_named and path.is_file() and not holds_labels(path)


def _files_by_image(folder: Path, images: tuple[Path, ...]) -> dict[str, list[Path]]:
    """Files of labels by the image that each is named after; none of the images is one."""
    files: dict[str, list[Path]] = {}
    known = set(images)
    for path in sorted(folder.iterdir()):
        is_label = suffix_of(path, _LABEL_SUFFIXES) is not None and path not in known
        if is_label and not path.name.startswith(".") and path.is_file():
            stem = path.stem if path.suffix.lower() == MAT_SUFFIX else stem_of(path)
            files.setdefault(stem, []).append(path)
    return files
