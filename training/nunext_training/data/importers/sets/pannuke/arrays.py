"""PanNuke: 19 tissues at 40x, 5 kinds of nuclei (Gamper et al., 2019 and 2020).

Layout: for each fold, somewhere below a folder that is named for it (``Fold 1``, ``fold1``,
``fold_1``), three arrays::

    images.npy     (N, 256, 256, 3), RGB 0..255, mostly as floats
    masks.npy      (N, 256, 256, 6), one channel of instance labels for each kind, then background
    types.npy      (N,), the tissue of each image, as text

As the archives unpack, that is ``Fold 1/images/fold1/images.npy``, ``Fold
1/images/fold1/types.npy`` and ``Fold 1/masks/fold1/masks.npy``. Folds 1 and 2 train and fold 3
validates, as NuNext has it. Patients are not known: each image stands for one. The arrays are read
image by image. The same set as Parquet, as Hugging Face has it, is read, too (`parquet`).
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import default_categories
from napari_nunext.core.shapes.masks import masks_of
from nunext_training.data.importers.arrays import load_array, open_slice
from nunext_training.data.importers.base import Importer
from nunext_training.data.importers.reading import nuclei_of_masks, pseudonym, whole_numbers
from nunext_training.data.importers.sets.pannuke.parquet import parquet_files, parquet_members
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.importers.base import Member

MPP = 0.25

CHANNELS = ("Neoplastic", "Inflammatory", "Connective", "Necrosis", "Epithelial")
"""Of ``masks.npy``, in its order. What the data set calls dead, the papers call necrosis."""

CATEGORIES = ("Neoplastic", "Epithelial", "Inflammatory", "Connective", "Necrosis")
"""In the order of the papers' tables."""

TISSUES = {
    "Adrenal_gland": "Adrenal",
    "Adrenal Gland": "Adrenal",
    "Bile-duct": "Bile Duct",
    "HeadNeck": "Head & Neck",
}
"""Where the papers' tables write a tissue otherwise than ``types.npy``, or the Parquet form."""

SPLIT_OF_FOLD: dict[int, Split] = {1: "train", 2: "train", 3: "val"}

_FILES = ("images.npy", "masks.npy", "types.npy")
_DEPTHS = ("*", "*/*", "*/*/*", "*/*/*/*")
_FOLD = re.compile(r"fold[ _-]?(\d)", re.IGNORECASE)


def _folds(folder: Path) -> dict[int, dict[str, Path]]:
    """Files of each fold by name."""
    folds: dict[int, dict[str, Path]] = {}
    for path in sorted(p for depth in _DEPTHS for n in _FILES for p in folder.glob(f"{depth}/{n}")):
        number = _FOLD.search(path.relative_to(folder).as_posix())
        if number is None:
            continue
        files = folds.setdefault(int(number[1]), {})
        if path.name in files:
            raise RecordError(f"Fold {number[1]} of {folder} has two {path.name}; keep one.")
        files[path.name] = path
    return dict(sorted(folds.items()))


def _recognises(folder: Path) -> bool:
    return bool(parquet_files(folder)) or any(
        "masks.npy" in files for files in _folds(folder).values()
    )


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    folds, files = _folds(folder), parquet_files(folder)
    if files:
        return list(
            parquet_members(
                files, mpp, kinds={"Dead": "Necrosis"}, tissues=TISSUES, splits=SPLIT_OF_FOLD
            )
        )
    if not folds:
        raise RecordError(
            f"{folder} has no folds; expected images.npy, masks.npy and types.npy below folders "
            "named Fold 1, Fold 2 and Fold 3, or files such as fold1-00000-of-00001.parquet."
        )
    return [member for number, named in folds.items() for member in _in_fold(number, named, mpp)]


def _in_fold(number: int, files: dict[str, Path], mpp: float | None) -> Iterator[Member]:
    missing = [name for name in _FILES if name not in files]
    if missing:
        raise RecordError(f"Fold {number} misses {', '.join(missing)}. Unpack its archive again.")
    if number not in SPLIT_OF_FOLD:
        raise RecordError(f"There is a fold {number}; expected folds 1, 2 and 3.")
    images, masks, types = (load_array(files[name]) for name in _FILES)
    _check(number, images, masks, types)
    for index, tissue in enumerate(types.tolist()):
        yield partial(_read_image, number, index, str(tissue), files["images.npy"], masks, mpp)


def _read_image(
    number: int, index: int, tissue: str, images: Path, masks: NDArray[Any], mpp: float | None
) -> LabelledImage:
    name = f"fold{number}-{index:04d}"
    try:
        channels = [
            masks_of(whole_numbers(np.asarray(masks[index, :, :, c]), "masks.npy"))
            for c in range(len(CHANNELS))
        ]
    except RecordError as error:
        raise RecordError(f"Fold {number}, image {index}: {error}") from error
    nuclei = nuclei_of_masks(
        [mask for of in channels for mask in of.values()],
        [name for name, of in zip(CHANNELS, channels, strict=True) for _ in of],
    )
    return LabelledImage(
        name=name,
        path=images.parent / name,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split=SPLIT_OF_FOLD[number],
        patient=pseudonym(f"pannuke/{name}"),
        masks=nuclei.masks,
        tissue=TISSUES.get(tissue, tissue),
        opener=partial(open_slice, images, index, name),
    )


def _check(number: int, images: NDArray[Any], masks: NDArray[Any], types: NDArray[Any]) -> None:
    fits = (
        images.ndim == masks.ndim == 4
        and images.shape[3] == 3
        and masks.shape[3] == len(CHANNELS) + 1
        and images.shape[:3] == masks.shape[:3]
        and types.shape == images.shape[:1]
        and types.dtype.kind == "U"
    )
    if not fits:
        raise RecordError(
            f"Fold {number} has images {images.shape}, masks {masks.shape} and types "
            f"{types.dtype} {types.shape}; expected (N, H, W, 3), (N, H, W, 6) and N names."
        )


PANNUKE = Importer(
    name="pannuke",
    title="PanNuke, 19 tissues at 40x, 5 kinds, 3 folds (Gamper et al., 2020)",
    categories=default_categories(CATEGORIES),
    recognises=_recognises,
    members=_members,
    licence="CC BY-NC-SA 4.0",
    link="https://warwick.ac.uk/fac/cross_fac/tia/data/pannuke",
)
