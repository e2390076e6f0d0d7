"""Data sets in the layout of HoVer-Net: CoNSeP, GLySAC, Kumar, CPM-15 and CPM-17.

Layout, with the folders of the split that each data set has::

    Train/Images/<name>.png                    or .tif
    Train/Labels/<name>.mat                    inst_map; with kinds of nuclei also type_map
    Test/...

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
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import default_categories
from nunext_training.datasets.labelled import LabelledImage
from nunext_training.importers.base import Importer
from nunext_training.importers.reading import (
    NO_CATEGORIES,
    image_beside,
    nuclei_of_labels,
    nuclei_of_maps,
    patient_of,
    read_mat,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from napari_nunext.core.records import Split

MPP_40X = 0.25
MPP_20X = 0.5

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

    def importer(self) -> Importer:
        """The importer of this data set."""
        names = dict.fromkeys(self.kinds.values())
        return Importer(
            name=self.name,
            title=self.title,
            categories=default_categories(names) if names else NO_CATEGORIES,
            recognises=self._recognises,
            read=partial(_read, self),
        )

    def label_files(self, folder: Path) -> list[tuple[Split, Path]]:
        """Every label file with its split, by name."""
        return [
            (split, path)
            for part, split in self.splits.items()
            for path in sorted((folder / part / "Labels").glob("*.mat"))
        ]

    def _recognises(self, folder: Path) -> bool:
        files = self.label_files(folder)
        return bool(files) and all(re.match(self.stem_pattern, path.stem) for _, path in files)


def _read(layout: _Layout, folder: Path, mpp: float | None = None) -> tuple[LabelledImage, ...]:
    files = layout.label_files(folder)
    if not files:
        parts = " or ".join(f"{part}/Labels" for part in layout.splits)
        raise RecordError(f"{folder} has no label files; expected {parts} with .mat files.")
    return tuple(_read_image(layout, path, split, mpp) for split, path in files)


def _read_image(layout: _Layout, path: Path, split: Split, mpp: float | None) -> LabelledImage:
    if layout.kinds:
        labels, kinds = read_mat(path, "inst_map", "type_map")
        nuclei = nuclei_of_maps(labels, kinds, layout.kinds, path.name)
    else:
        (labels,) = read_mat(path, "inst_map")
        nuclei = nuclei_of_labels(labels)
    return LabelledImage(
        name=path.stem,
        path=image_beside(path.parent.parent / "Images", path.stem, path.name),
        mpp=layout.mpp_of(path.stem) if mpp is None else mpp,
        mpp_source=layout.mpp_source if mpp is None else "user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split=split,
        patient=patient_of(path.stem, f"{layout.name}/{split}/{path.stem}"),
        masks=nuclei.masks,
    )


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
).importer()

KUMAR = _Layout(
    name="kumar",
    title="Kumar, 7 organs at 40x, as .mat (Kumar et al., TMI 2017); as XML: monuseg",
    splits={"train": "train", "test_same": "test", "test_diff": "test"},
    stem_pattern=r"TCGA-",
).importer()

CPM15 = _Layout(
    name="cpm-15",
    title="CPM-15, brain and lung at 20x and 40x (Vu et al., Front. Bioeng. Biotechnol. 2019)",
    splits={".": "test"},
    stem_pattern=r"",
    mpp_of=_cpm15_mpp,
).importer()

CPM17 = _Layout(
    name="cpm-17",
    title="CPM-17, 4 cancers, taken as 40x (Vu et al., Front. Bioeng. Biotechnol. 2019)",
    splits={"train": "train", "test": "test"},
    stem_pattern=r"image_?\d+$",
    mpp_source="assumed",
).importer()
