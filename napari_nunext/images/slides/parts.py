"""Which files are parts of a slide: a folder of them stands for one image, not for many."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.images.picture import quiet_readers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DICOM = (".dcm", ".dicom")
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class of whole-slide microscopy."""
_AFTER_SIZES = 0x00480008
"""The first tag that is not looked at; those of the frames, which may be many, come later."""
_MOST_INI_BYTES = 1 << 20
_VMS_PART = re.compile(
    r"^(?:ImageFile|MapFile|MacroImage|OptimisationFile)[^=]*=\s*(\S.*?)\s*$",
    re.IGNORECASE | re.MULTILINE,
)


def without_parts(paths: Sequence[Path]) -> list[Path]:
    """Those files of a folder that stand for an image, in their order.

    Of the files of a DICOM series the one with most pixels stands for all. Those of a label or of
    an overview, and the JPEGs of a VMS slide, stand for none.

    Parameters
    ----------
    paths : sequence of Path
        Files of one folder.
    """
    parts = _parts_of_vms(paths) | _parts_of_dicom(paths)
    return [path for path in paths if path not in parts]


def _parts_of_vms(paths: Iterable[Path]) -> set[Path]:
    parts = set()
    for path in paths:
        if path.suffix.lower() == ".vms":
            try:
                with path.open("rb") as file:
                    said = file.read(_MOST_INI_BYTES).decode("utf-8", "replace")
            except OSError:
                continue  # opening it says so
            parts |= {path.parent / name for name in _VMS_PART.findall(said)}
    return parts


def _parts_of_dicom(paths: Iterable[Path]) -> set[Path]:
    found = [path for path in paths if path.suffix.lower() in _DICOM]
    if not found:
        return set()
    try:
        import pydicom  # noqa: F401
    except ImportError:
        return set()  # opening them says what to install
    parts, largest = set(), dict[str, tuple[int, Path]]()
    for path in found:
        said = _header(path)
        if said is None:
            continue  # so does opening it
        if said.get("SOPClassUID") != _WHOLE_SLIDE or "VOLUME" not in (said.get("ImageType") or ()):
            parts.add(path)
            continue
        series = str(said.get("SeriesInstanceUID", ""))
        columns = said.get("TotalPixelMatrixColumns") or 0
        rows = said.get("TotalPixelMatrixRows") or 0
        area, best = largest.get(series, (-1, path))
        if columns * rows > area:
            largest[series] = (columns * rows, path)
        parts.add(best if columns * rows > area else path)
        parts -= {of for _, of in largest.values()}
    return parts


def _header(path: Path) -> Any:
    """What a DICOM file says before its frames; None where it cannot be read."""
    from pydicom.filereader import read_partial

    try:
        with quiet_readers(), path.open("rb") as file:
            return read_partial(file, stop_when=lambda tag, *_: tag >= _AFTER_SIZES)
    except Exception:  # noqa: BLE001
        return None
