"""PanNuke as Parquet, the form in which Hugging Face has it (RationAI/PanNuke).

Layout: ``fold1-00000-of-00001.parquet`` and so on, in a folder or in ``data``, with the columns

- ``image``: the bytes of a PNG;
- ``instances``: for each nucleus the bytes of a PNG, which is its mask;
- ``categories``: for each nucleus the number of its kind;
- ``tissue``: a number.

What the numbers mean is told in the file's own metadata.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images.tile import image_from_pixels
from nunext_training.data.importers.parquet import ParquetRow, decoded, open_parquet, rows_of
from nunext_training.data.importers.reading import nuclei_of_masks, pseudonym
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.formats.records import Split
    from napari_nunext.images import Tile
    from nunext_training.data.importers.base import Member

MPP = 0.25

COLUMNS = ("image", "instances", "categories", "tissue")

_DEPTHS = ("*.parquet", "data/*.parquet", "*/data/*.parquet")
_FOLD = re.compile(r"fold[ _-]?(\d)", re.IGNORECASE)


def parquet_files(folder: Path) -> list[Path]:
    """Files whose names say their fold, in order."""
    paths = (path for depth in _DEPTHS for path in folder.glob(depth))
    return sorted(path for path in paths if _FOLD.search(path.name))


def parquet_members(
    files: list[Path],
    mpp: float | None,
    *,
    kinds: Mapping[str, str],
    tissues: Mapping[str, str],
    splits: Mapping[int, Split],
) -> Iterator[Member]:
    """Every image of the files.

    Parameters
    ----------
    files : list of Path
    mpp : float, optional
    kinds, tissues : mapping
        What kinds and tissues are called here; a tissue that is not there keeps its name.
    splits : mapping
        Side of each fold.

    Raises
    ------
    RecordError
        If a file cannot be read, or has other columns.
    """
    counts: Counter[int] = Counter()
    for path in files:
        said = _FOLD.search(path.name)
        fold = int(said[1]) if said else 0
        if fold not in splits:
            raise RecordError(f"{path.name} is of fold {fold}; expected 1, 2 or 3.")
        file = open_parquet(path, COLUMNS, "RationAI/PanNuke")
        meant = _Meant(
            [kinds.get(name, name) for name in _names_of(file, path, "categories")],
            [tissues.get(name, name) for name in _names_of(file, path, "tissue")],
        )
        for row in rows_of(file, path, COLUMNS):
            name = f"fold{fold}-{counts[fold]:04d}"
            counts[fold] += 1
            yield partial(_read_image, row, name, splits[fold], meant, mpp)


@dataclass(frozen=True, slots=True)
class _Meant:
    """What the numbers of a file mean."""

    kinds: list[str]
    tissues: list[str]


def _names_of(file: Any, path: Path, column: str) -> list[str]:
    """Names of a column's numbers, from the metadata that the library datasets writes."""
    try:
        raw = (file.schema_arrow.metadata or {})[b"huggingface"]
        feature = json.loads(raw)["info"]["features"][column]
        inner = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        return [str(name) for name in inner["names"]]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise RecordError(
            f"{path.name} does not say what the numbers of {column} mean: its metadata of the "
            "library datasets is missing. Download it again."
        ) from error


def _read_image(
    place: ParquetRow, name: str, split: Split, meant: _Meant, mpp: float | None
) -> LabelledImage:
    what = f"{place.path.name}, image {name}"
    masks: list[Mask] = []
    categories: list[str] = []
    numbers = place.cell("categories")
    drawn = place.cell("instances")
    if len(numbers) != len(drawn):
        raise RecordError(f"{what} has {len(drawn)} instances and {len(numbers)} categories.")
    pixels = decoded(place.cell("image"), what, "RGB")
    for number, cell in zip(numbers, drawn, strict=True):
        inside = decoded(cell, what, "1").astype(bool)
        if inside.shape != pixels.shape[:2]:
            raise RecordError(
                f"{what} has a mask of shape {inside.shape}, its image {pixels.shape}."
            )
        if not inside.any():
            continue
        masks.append(_cropped(inside))
        categories.append(_meaning(meant.kinds, number, what))
    nuclei = nuclei_of_masks(masks, categories)
    empty = len(drawn) - len(masks)
    return LabelledImage(
        name=name,
        path=place.path.parent / name,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split=split,
        patient=pseudonym(f"pannuke/{name}"),
        masks=nuclei.masks,
        tissue=_meaning(meant.tissues, place.cell("tissue"), what),
        notes=(f"{what}: left out {empty} masks without pixels.",) if empty else (),
        opener=partial(_opened, place, name, what, pixels.shape[1], pixels.shape[0]),
    )


def _meaning(names: list[str], number: Any, what: str) -> str:
    if not isinstance(number, int) or not 0 <= number < len(names):
        raise RecordError(f"{what} has the number {number!r}; expected 0 to {len(names) - 1}.")
    return names[number]


def _cropped(inside: NDArray[np.bool_]) -> Mask:
    """The mask of pixels of an image (H, W)."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    crop = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Mask.from_array(crop, int(columns[0]), int(rows[0]))


def _opened(place: ParquetRow, name: str, what: str, width_px: int, height_px: int) -> Tile:
    def decode() -> NDArray[np.uint8]:
        return decoded(place.cell("image"), what, "RGB").copy()

    return image_from_pixels(name, width_px, height_px, decode)
