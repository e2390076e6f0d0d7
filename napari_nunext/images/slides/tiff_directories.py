"""Whether all of a TIFF's directories are there.

A copy that broke off lacks what stands at its end: of OME-TIFF half of the levels and the
description. tifffile leaves out what it cannot find, and the rest looks whole.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    import tifffile

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
"""Bytes of a value by its TIFF type."""
_SUB_IFDS = 330
_MOST_TAGS = 4096
_FIRST_PRIVATE = 32_768
"""Tags from here on are their makers' own, and may hold anything."""


class _CutOffError(Exception):
    """Something lies beyond the end of the file."""


def check_directories(path: Path, tif: tifffile.TiffFile) -> None:
    """Follow the directories of an open file, and see that their values lie within it.

    Raises
    ------
    ImageError
        If something does not.
    """
    waiting, seen = [tif.pages.first.offset], set[int]()
    try:
        while waiting:
            at = waiting.pop()
            if at and at not in seen:
                seen.add(at)
                waiting += _read(tif, at)
    except (_CutOffError, struct.error) as error:
        raise ImageError(
            f"{path.name} is incomplete: it ends before its pages do. Copy or export it again."
        ) from error


def _read(tif: tifffile.TiffFile, at: int) -> list[int]:
    """Where the next directory begins, and those within this one."""
    form, order = tif.tiff, tif.byteorder
    number, offset = ("Q", "Q") if form.is_bigtiff else ("I", "I")
    entry = struct.Struct(f"{order}HH{number}")
    place = struct.Struct(order + offset)
    (count,) = struct.unpack(form.tagnoformat, _bytes(tif, at, form.tagnosize))
    if count > _MOST_TAGS:
        raise _CutOffError
    body = _bytes(tif, at + form.tagnosize, count * form.tagsize + place.size)
    found = [place.unpack_from(body, count * form.tagsize)[0]]
    for start in range(0, count * form.tagsize, form.tagsize):
        code, kind, values = entry.unpack_from(body, start)
        (value,) = place.unpack_from(body, start + entry.size)
        needed = _SIZES.get(kind, 0) * values
        is_elsewhere = needed > place.size
        if is_elsewhere and code < _FIRST_PRIVATE and value + needed > tif.filehandle.size:
            raise _CutOffError
        if code == _SUB_IFDS and _SIZES.get(kind) in (4, 8):
            raw = (
                _bytes(tif, value, needed)
                if is_elsewhere
                else body[start + entry.size : start + entry.size + needed]
            )
            form_of = "Q" if _SIZES[kind] == 8 else "I"
            found += struct.unpack(f"{order}{values}{form_of}", raw)
    return found


def _bytes(tif: tifffile.TiffFile, at: int, count: int) -> bytes:
    if at + count > tif.filehandle.size:
        raise _CutOffError
    tif.filehandle.seek(at)
    return bytes(tif.filehandle.read(count))
