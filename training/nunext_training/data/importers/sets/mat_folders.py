"""Data sets in the layout of HoVer-Net: CoNSeP, GLySAC, Kumar, CPM-15 and CPM-17.

Layout, with the folders of the split that each data set has::

    Train/Images/<name>.png                    or .tif
    Train/Labels/<name>.mat                    inst_map; with kinds of nuclei also type_map
    Test/...

The two CPM sets also come as their challenges gave them: ``<name>.png`` and ``<name>_mask.txt``
beside each other, a text of width, height and the label of each pixel, row by row.

``inst_map`` is an image of whole numbers, 0 for background; ``type_map`` has the kind of each
pixel. Centroids are those of the instances: the ``inst_centroid`` that some files hold is not read,
since it does not say whether pixels begin or are centred at whole numbers. No image holds a scale.
CPM-15 is a mixture of 20x and 40x, told by the number in the name (1 to 7 are 20x), and has no
split.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import default_categories
from napari_nunext.images import open_tile
from nunext_training.data.importers.base import NO_CATEGORIES, Importer
from nunext_training.data.importers.reading import (
    check_fits,
    image_beside,
    nuclei_of_labels,
    nuclei_of_maps,
    patient_of,
    read_mat,
)
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.formats.records import Split
    from napari_nunext.images import Tile
    from nunext_training.data.importers.base import Member

MPP_40X = 0.25
MPP_20X = 0.5

TEXT_SUFFIX = "_mask.txt"

_CPM15_20X = range(1, 8)
_CPM15_IMAGES = range(1, 16)


@dataclass(frozen=True, slots=True)
class _Layout:
    """What tells one of these data sets from the others."""

    name: str
    title: str
    splits: Mapping[str, Split]
    """Folder of each part; ``"."`` where there are none."""
    stem_pattern: str
    """What every name of a label file begins with."""
    kinds: Mapping[int, str] = field(default_factory=dict)
    mpp_of: Callable[[str], float] = lambda name: MPP_40X
    mpp_source: str = "user"
    has_text: bool = False
    """Whether it also comes with masks as text."""
    licence: str = "not stated"
    link: str = ""

    def importer(self) -> Importer:
        """The importer of this data set."""
        names = dict.fromkeys(self.kinds.values())
        return Importer(
            name=self.name,
            title=self.title,
            categories=default_categories(names) if names else NO_CATEGORIES,
            recognises=self._recognises,
            members=partial(_members, self),
            licence=self.licence,
            link=self.link,
        )

    def label_files(self, folder: Path) -> list[tuple[Split, Path]]:
        """Every label file with its split, by name."""
        patterns = ("Labels/*.mat", f"*{TEXT_SUFFIX}") if self.has_text else ("Labels/*.mat",)
        return [
            (split, path)
            for part, split in self.splits.items()
            for pattern in patterns
            for path in sorted((folder / part).glob(pattern))
        ]

    def _recognises(self, folder: Path) -> bool:
        files = self.label_files(folder)
        return bool(files) and all(re.match(self.stem_pattern, _stem(path)) for _, path in files)


def _stem(path: Path) -> str:
    """Name of the image of a label file."""
    return path.name.removesuffix(TEXT_SUFFIX) if path.suffix == ".txt" else path.stem


def _members(layout: _Layout, folder: Path, mpp: float | None = None) -> list[Member]:
    files = layout.label_files(folder)
    if not files:
        parts = " or ".join(f"{part}/Labels" for part in layout.splits)
        raise RecordError(f"{folder} has no label files; expected {parts} with .mat files.")
    return [partial(_read_image, layout, path, split, mpp) for split, path in files]


def _read_image(layout: _Layout, path: Path, split: Split, mpp: float | None) -> LabelledImage:
    name, is_text = _stem(path), path.suffix == ".txt"
    folder = path.parent if is_text else path.parent.parent / "Images"
    image_path = image_beside(folder, name, path.name)
    image = open_tile(image_path)
    if is_text:
        nuclei = nuclei_of_labels(_read_text(path, image))
    elif layout.kinds:
        labels, kinds = read_mat(path, "inst_map", "type_map")
        check_fits(labels, image, path.name)
        nuclei = nuclei_of_maps(labels, kinds, layout.kinds, path.name)
    else:
        labels, *kinds_map = read_mat(path, "inst_map", perhaps=["type_map"])
        check_fits(labels, image, path.name)
        _refuse_kinds(kinds_map, layout, path)
        nuclei = nuclei_of_labels(labels)
    return LabelledImage(
        name=name,
        path=image_path,
        mpp=layout.mpp_of(name) if mpp is None else mpp,
        mpp_source=layout.mpp_source if mpp is None else "user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split=split,
        patient=patient_of(name, f"{layout.name}/{split}/{name}"),
        masks=nuclei.masks,
        unsorted=nuclei.unsorted,
    )


def _refuse_kinds(kinds: list[NDArray[Any]], layout: _Layout, path: Path) -> None:
    """Kinds in a data set that has none are those of another data set."""
    if any(np.any(values) for values in kinds):
        raise RecordError(
            f"{path.name} has kinds of nuclei (type_map), and {layout.title} has none. Import it "
            "by the name of its own data set, such as consep or glysac."
        )


def _read_text(path: Path, image: Tile) -> NDArray[np.int64]:
    """A mask as the challenges wrote it: width and height, then a label a line, row by row."""
    size = (image.width_px, image.height_px)
    try:
        numbers = np.array(path.read_text(encoding="ascii").split(), dtype=np.int64)
    except (OSError, ValueError, OverflowError) as error:
        raise RecordError(f"{path.name} is not a mask of whole numbers ({error}).") from error
    if sorted(numbers[:2].tolist()) != sorted(size) or len(numbers) != 2 + size[0] * size[1]:
        raise RecordError(
            f"{path.name} begins with {numbers[:2].tolist()} and holds {max(len(numbers) - 2, 0)} "
            f"labels; expected those of its image, {size[0]} x {size[1]} px."
        )
    return numbers[2:].reshape(size[::-1])


def _cpm15_mpp(name: str) -> float:
    number = re.search(r"(\d+)$", name)
    if number is None or int(number[1]) not in _CPM15_IMAGES:
        raise RecordError(
            f"The magnification of {name} is not known: expected the names image01 to image15. "
            "Give the scale of all images with --mpp."
        )
    return MPP_20X if int(number[1]) in _CPM15_20X else MPP_40X


CONSEP = _Layout(
    name="consep",
    title="CoNSeP, colon at 40x, 4 kinds, merged as usual (Graham et al., MedIA 2019)",
    splits={"Train": "train", "Test": "test"},
    stem_pattern=r"(train|test)_\d+$",
    kinds={
        1: "Miscellaneous",
        2: "Inflammatory",
        3: "Epithelial",  # healthy
        4: "Epithelial",  # dysplastic or malignant
        5: "Spindle-shaped",  # fibroblast
        6: "Spindle-shaped",  # muscle
        7: "Spindle-shaped",  # endothelial
    },
    link="https://warwick.ac.uk/fac/cross_fac/tia/data/hovernet/",
).importer()

GLYSAC = _Layout(
    name="glysac",
    title="GLySAC, stomach at 40x, 3 kinds, merged as usual (Doan et al., JBHI 2022)",
    splits={"Train": "train", "Test": "test"},
    stem_pattern=r"(?!(train|test)_\d+$)",
    kinds={
        1: "Miscellaneous",
        2: "Miscellaneous",
        3: "Epithelial",
        4: "Lymphocyte",
        5: "Lymphocyte",
        6: "Lymphocyte",
        7: "Lymphocyte",
        8: "Epithelial",
        9: "Miscellaneous",
        10: "Miscellaneous",
    },
    link="https://github.com/QuIIL/Sonnet",
).importer()

KUMAR = _Layout(
    name="kumar",
    title="Kumar, 7 organs at 40x, as .mat (Kumar et al., TMI 2017); as XML: monuseg",
    splits={"train": "train", "test_same": "test", "test_diff": "test"},
    stem_pattern=r"TCGA-",
    licence="CC BY-NC-SA 4.0",
    link="https://monuseg.grand-challenge.org/Data/",
).importer()

CPM15 = _Layout(
    name="cpm-15",
    title="CPM-15, brain and lung at 20x and 40x (Vu et al., Front. Bioeng. Biotechnol. 2019)",
    splits={".": "test"},
    stem_pattern=r"",
    mpp_of=_cpm15_mpp,
    has_text=True,
    link="https://doi.org/10.3389/fbioe.2019.00053",
).importer()

CPM17 = _Layout(
    name="cpm-17",
    title="CPM-17, 4 cancers, taken as 40x (Vu et al., Front. Bioeng. Biotechnol. 2019)",
    splits={"train": "train", "test": "test"},
    stem_pattern=r"image_?\d+$",
    mpp_source="assumed",
    has_text=True,
    link="https://doi.org/10.3389/fbioe.2019.00053",
).importer()
