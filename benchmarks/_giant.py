"""A slide of 100,000 x 100,000 px in a megabyte: all tiles of a level are the same bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

TILE_PX = 512
MPP = 0.25
_SHORT, _LONG, _RATIONAL, _LONG8 = 3, 4, 5, 16


def write_giant(path: Path, side_px: int = 100_000) -> Path:
    """Write a BigTIFF pyramid of JPEG tiles, down to the level that fits into one."""
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        link, level, side = 8, 0, side_px
        while True:
            tile = _tile(level)
            tiles = (-(-side // TILE_PX)) ** 2
            tile_at = file.tell()
            file.write(tile)
            offsets_at = file.tell()
            file.write(np.full(tiles, tile_at, "<u8").tobytes())
            counts_at = file.tell()
            file.write(np.full(tiles, len(tile), "<u8").tobytes())
            one = tiles == 1
            entries = [
                (254, _LONG, 1, struct.pack("<Q", int(level > 0))),
                (256, _LONG, 1, struct.pack("<Q", side)),
                (257, _LONG, 1, struct.pack("<Q", side)),
                (258, _SHORT, 3, struct.pack("<4H", 8, 8, 8, 0)),
                (259, _SHORT, 1, struct.pack("<Q", 7)),  # JPEG
                (262, _SHORT, 1, struct.pack("<Q", 6)),  # YCbCr
                (277, _SHORT, 1, struct.pack("<Q", 3)),
                (282, _RATIONAL, 1, struct.pack("<II", round(1e4 / MPP) >> level, 1)),
                (283, _RATIONAL, 1, struct.pack("<II", round(1e4 / MPP) >> level, 1)),
                (284, _SHORT, 1, struct.pack("<Q", 1)),
                (296, _SHORT, 1, struct.pack("<Q", 3)),  # per centimetre
                (322, _SHORT, 1, struct.pack("<Q", TILE_PX)),
                (323, _SHORT, 1, struct.pack("<Q", TILE_PX)),
                (324, _LONG8, tiles, struct.pack("<Q", tile_at if one else offsets_at)),
                (325, _LONG8, tiles, struct.pack("<Q", len(tile) if one else counts_at)),
                (530, _SHORT, 2, struct.pack("<4H", 2, 2, 0, 0)),
            ]
            at = file.tell()
            file.write(struct.pack("<Q", len(entries)))
            for code, kind, count, value in entries:
                file.write(struct.pack("<HHQ", code, kind, count) + value)
            next_link = file.tell()
            file.write(struct.pack("<Q", 0))
            file.seek(link)
            file.write(struct.pack("<Q", at))
            file.seek(0, 2)
            link = next_link
            if one:
                return path
            level, side = level + 1, side // 2


def _tile(level: int) -> bytes:
    """A tile whose colour tells its level, with a line along its upper and left edge."""
    rgb = np.full((TILE_PX, TILE_PX, 3), (235 - 20 * level, 190, 215), np.uint8)
    rgb[:4], rgb[:, :4] = 90, 90
    return bytes(imagecodecs.jpeg8_encode(rgb, level=90, colorspace="RGB", outcolorspace="YCBCR"))
