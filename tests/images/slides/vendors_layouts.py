"""Writes scanners' own formats in the layouts that OpenSlide documents."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from tests.images.slides.layouts import LABEL, TILE_PX
from tests.images.slides.marked import GLASS, jpeg_of, shrunk

if TYPE_CHECKING:
    from pathlib import Path

_SHORT, _LONG, _RATIONAL, _ASCII, _SLONG, _FLOAT = 3, 4, 5, 2, 9, 11


def write_ndpi(path: Path, rgb: np.ndarray, mpp: float) -> Path:
    """Hamamatsu: a JPEG a level, 64-bit offsets in a classic TIFF, a magnification a page.

    Pages of magnification -1 are photographs of the whole glass.
    """
    data = bytearray(b"II*\0" + struct.pack("<Q", 0))
    link = 4
    for factor, lens in ((1, 40.0), (4, 10.0), (0, -1.0)):
        pixels = LABEL if not factor else shrunk(rgb, factor) if factor > 1 else rgb
        jpeg = jpeg_of(pixels)
        at = len(data)
        data += jpeg + b"\0" * (len(jpeg) % 2)
        resolution = round(1e4 / (mpp * max(factor, 1)) * 1000)
        words = {271: b"Hamamatsu\0", 272: b"NanoZoomer\0"}
        places = {}
        for code, value in words.items():
            places[code] = len(data)
            data += value + b"\0" * (len(value) % 2)
        places[282] = len(data)
        data += struct.pack("<II", resolution, 1000)
        entries = [
            (256, _LONG, 1, pixels.shape[1]),
            (257, _LONG, 1, pixels.shape[0]),
            (258, _SHORT, 1, 8),
            (259, _SHORT, 1, 7),
            (262, _SHORT, 1, 6),
            (271, _ASCII, len(words[271]), places[271]),
            (272, _ASCII, len(words[272]), places[272]),
            (273, _LONG, 1, at),
            (277, _SHORT, 1, 3),
            (278, _LONG, 1, pixels.shape[0]),
            (279, _LONG, 1, len(jpeg)),
            (282, _RATIONAL, 1, places[282]),
            (283, _RATIONAL, 1, places[282]),
            (296, _SHORT, 1, 3),
            (65420, _LONG, 1, 1),
            (65421, _FLOAT, 1, struct.unpack("<I", struct.pack("<f", lens))[0]),
            (65422, _LONG, 1, 0),
            (65423, _LONG, 1, 0),
            (65424, _SLONG, 1, 0),
        ]
        struct.pack_into("<Q", data, link, len(data))
        data += struct.pack("<H", len(entries))
        for entry in entries:
            data += struct.pack("<HHII", *entry)
        link = len(data)
        data += struct.pack("<Q", 0) + bytes(4 * len(entries))  # the upper halves of the values
    path.write_bytes(data)
    return path


def write_scn(
    path: Path, rgb: np.ndarray, mpp: float, offset: tuple[int, int] = (512, 256)
) -> Path:
    """Leica: XML of nanometres says which page is what, and where on the glass it lies."""
    height, width = rgb.shape[:2]
    offset = (512, 256)
    nm = mpp * 1000
    across, down = round((width + 1000) * nm), round((height + 700) * nm)
    view = f'sizeX="{round(width * nm)}" sizeY="{round(height * nm)}" '
    view += f'offsetX="{round(offset[0] * nm)}" offsetY="{round(offset[1] * nm)}"'
    levels = [rgb, shrunk(rgb, 4)]
    dimensions = "".join(
        f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" r="{i}" ifd="{i + 1}"/>'
        for i, level in enumerate(levels)
    )

    def image(view: str, dimensions: str, objective: str) -> str:
        settings = f"<objectiveSettings><objective>{objective}</objective></objectiveSettings>"
        settings += "<illuminationSettings><illuminationSource>brightfield</illuminationSource>"
        settings += "<numericalAperture>0.65</numericalAperture></illuminationSettings>"
        return (
            f'<image name="a"><device model="Leica SCN400"/><pixels>{dimensions}</pixels>'
            f"<view {view}/><scanSettings>{settings}</scanSettings></image>"
        )

    macro = f'<dimension sizeX="{LABEL.shape[1]}" sizeY="{LABEL.shape[0]}" r="0" ifd="0"/>'
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection sizeX="{across}" sizeY="{down}"><barcode>MTIzNDU=</barcode>'
        + image(f'sizeX="{across}" sizeY="{down}" offsetX="0" offsetY="0"', macro, "0.6")
        + image(view, dimensions, "40")
        + "</collection></scn>"
    )
    options = {"photometric": "rgb", "tile": (TILE_PX, TILE_PX), "metadata": None}
    options |= {"compression": "jpeg", "compressionargs": {"level": 95}}
    options |= {"resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(LABEL, description=xml, resolution=(1000, 1000), **options)
        for factor, level in zip((1, 4), levels, strict=True):
            writer.write(level, resolution=(1e4 / mpp / factor,) * 2, **options)
    return path


def write_bif(path: Path, rgb: np.ndarray, mpp: float) -> Path:
    """Ventana: XML in the XMP tags; tiles are joined from the lower left, back and forth."""
    tiles_down, tiles_across = (-(-side // TILE_PX) for side in rgb.shape[:2])

    def number(column: int, row: int) -> int:
        below = tiles_down - 1 - row
        return below * tiles_across + (tiles_across - 1 - column if below % 2 else column) + 1

    joints = []
    for row in range(tiles_down):
        for column in range(tiles_across):
            here = number(column, row)
            for ok, direction, other in (
                (column + 1 < tiles_across, "RIGHT", (column + 1, row)),
                (row > 0, "UP", (column, row - 1)),
            ):
                if ok:
                    joints.append(
                        f'<TileJointInfo FlagJoined="1" Confidence="99" Direction="{direction}" '
                        f'Tile1="{here}" Tile2="{number(*other)}" OverlapX="0" OverlapY="0"/>'
                    )
    scan = f'<iScan Magnification="40" ScanRes="{mpp}" Z-layers="1" UserName="Somebody"/>'
    encode = (
        '<EncodeInfo Ver="2"><SlideStitchInfo><ImageInfo AOIScanned="1" AOIIndex="0" '
        f'Width="{TILE_PX}" Height="{TILE_PX}" NumRows="{tiles_down}" NumCols="{tiles_across}" '
        f'Pos-X="0" Pos-Y="0">{"".join(joints)}</ImageInfo></SlideStitchInfo>'
        '<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )
    filled = np.pad(
        rgb, [*((0, -side % TILE_PX) for side in rgb.shape[:2]), (0, 0)], constant_values=GLASS
    )
    options = {"photometric": "rgb", "metadata": None}
    tiled = {"tile": (TILE_PX, TILE_PX), "compression": "jpeg", "compressionargs": {"level": 95}}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(LABEL, description="Label Image", extratags=[_xmp(scan)], **options)
        for level, factor in enumerate((1, 2, 4)):
            writer.write(
                filled if factor == 1 else shrunk(filled, factor),
                description=f"level={level} mag={40 / factor:g} quality=95",
                extratags=[_xmp(encode)] if level == 0 else [],
                **tiled,
                **options,
            )
    return path


def _xmp(xml: str) -> tuple[int, str, int, bytes, bool]:
    data = xml.encode()
    return (700, "B", len(data), data, True)


def write_mrxs(
    path: Path, rgb: np.ndarray, mpp: float, not_taken: tuple[tuple[int, int], ...] = ()
) -> Path:
    """MIRAX: a thumbnail, and beside it a folder with an index, data and what they mean.

    The camera's pictures lie in a grid of 12 x 9; those around the drawing were not taken, and some
    columns and rows of it if so wanted.
    """
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(jpeg_of(shrunk(rgb, 8)))
    grid = (12, 9)
    left, top = 4, 2
    whole = np.full((grid[1] * TILE_PX, grid[0] * TILE_PX, 3), GLASS, np.uint8)
    whole[top * TILE_PX :, left * TILE_PX :][: rgb.shape[0], : rgb.shape[1]] = rgb
    taken = [
        (left + x, top + y)
        for y in range(-(-rgb.shape[0] // TILE_PX))
        for x in range(-(-rgb.shape[1] // TILE_PX))
        if (x, y) not in not_taken
    ]
    data, pages = bytearray(), []
    for level in range(3):
        step = 2**level
        pixels = shrunk(whole, step) if level else whole
        records = []
        for x, y in sorted({(x // step * step, y // step * step) for x, y in taken}):
            y0, x0 = y // step * TILE_PX, x // step * TILE_PX
            picture = np.full((TILE_PX, TILE_PX, 3), GLASS, np.uint8)
            part = pixels[y0 : y0 + TILE_PX, x0 : x0 + TILE_PX]
            picture[: part.shape[0], : part.shape[1]] = part
            jpeg = jpeg_of(picture)
            records.append((y * grid[0] + x, len(data), len(jpeg), 0))
            data += jpeg
        pages.append(records)
    (folder / "Data0000.dat").write_bytes(data)
    slide_id = "0123456789ABCDEF"
    index = bytearray(b"01.02" + slide_id.encode())
    hier = len(index)
    index += struct.pack("<ii", hier + 8, 0)  # of the hierarchy, and of the rest, which is empty
    pointers = len(index)
    index += bytes(4 * len(pages))
    for level, records in enumerate(pages):
        struct.pack_into("<i", index, pointers + 4 * level, len(index))
        index += struct.pack("<ii", 0, len(index) + 8)
        index += struct.pack("<ii", len(records), 0)
        for record in records:
            index += struct.pack("<iiii", *record)
    (folder / "Index.dat").write_bytes(index)
    sections = "".join(
        f"[LAYER_0_LEVEL_{level}_SECTION]\nOVERLAP_X=0\nOVERLAP_Y=0\n"
        f"MICROMETER_PER_PIXEL_X={mpp * 2**level}\nMICROMETER_PER_PIXEL_Y={mpp * 2**level}\n"
        f"IMAGE_FORMAT=JPEG\nIMAGE_FILL_COLOR_BGR={GLASS * 0x10101}\nDIGITIZER_WIDTH={TILE_PX}\n"
        f"DIGITIZER_HEIGHT={TILE_PX}\nIMAGE_CONCAT_FACTOR={min(level, 1)}\n"
        for level in range(3)
    )
    names = "".join(
        f"HIER_0_VAL_{n}=ZoomLevel_{n}\nHIER_0_VAL_{n}_SECTION=LAYER_0_LEVEL_{n}_SECTION\n"
        for n in range(3)
    )
    (folder / "Slidedat.ini").write_text(
        f"[GENERAL]\nSLIDE_VERSION=01.02\nSLIDE_ID={slide_id}\nIMAGENUMBER_X={grid[0]}\n"
        f"IMAGENUMBER_Y={grid[1]}\nOBJECTIVE_MAGNIFICATION=20\nSLIDE_NAME=Somebody\n"
        "[HIERARCHICAL]\nHIER_COUNT=1\nNONHIER_COUNT=0\nINDEXFILE=Index.dat\n"
        f"HIER_0_NAME=Slide zoom level\nHIER_0_COUNT=3\n{names}"
        f"[DATAFILE]\nFILE_COUNT=1\nFILE_0=Data0000.dat\n{sections}"
    )
    return path


def write_vms(path: Path, rgb: np.ndarray, mpp: float) -> Path:
    """Hamamatsu's older layout: an INI file, JPEGs in a grid, and a map at a lower resolution.

    The sides are whole numbers of restart intervals at all levels: OpenSlide leaves others out.
    """
    beyond = [(0, -side % TILE_PX) for side in rgb.shape[:2]]
    rgb = np.pad(rgb, [*beyond, (0, 0)], constant_values=GLASS)
    for name, pixels in ((".jpg", rgb), ("_map2.jpg", shrunk(rgb, 4)), ("_macro.jpg", LABEL)):
        (path.parent / f"{path.stem}{name}").write_bytes(jpeg_of(pixels, restarts=True))
    height, width = (round(side * mpp * 1000) for side in rgb.shape[:2])
    path.write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\n"
        f"ImageFile={path.stem}.jpg\nMapFile={path.stem}_map2.jpg\n"
        f"MacroImage={path.stem}_macro.jpg\nPhysicalWidth={width}\nPhysicalHeight={height}\n"
        "LayerSpacing=0\nMacroLabelObscured=0\nPhysicalMacroWidth=100000\n"
        "PhysicalMacroHeight=100000\nSourceLens=40\nAuthCode=x\n"
    )
    return path
