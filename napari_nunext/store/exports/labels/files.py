"""Label images as OME-Zarr and as tiled OME-TIFF with levels, for slides of any size."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import StoreError
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.process.installed import installed
from napari_nunext.core.process.permissions import open_up
from napari_nunext.store.exports.files import replacing_file, unwritable
from napari_nunext.store.exports.labels.painting import painter_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nunext.store.exports.files import ImageNuclei
    from napari_nunext.store.exports.labels.painting import LabelPainter

ZARR_EXTRA = "napari-nunext[slides]"
TIFF_TILE_PX = 512
ZARR_TILE_PX = 1024
_LEVEL = 1
"""Of deflate: labels are runs of one number, of which a higher level makes little less."""


def write_label_tiff(path: Path, image: ImageNuclei) -> LabelPainter:
    """Write labels as OME-TIFF (BigTIFF, uint32, tiles, levels in SubIFDs), whole or not at all.

    Raises
    ------
    CalibrationError
        If the image's scale is implausible.
    StoreError
        If the disk is full or the folder cannot be written.
    """
    import tifffile  # takes its time, and only labels need it here

    mpp = image.entry.mpp
    check_mpp(mpp)
    painter = painter_of(image)
    first, *others = painter.factors()
    said: dict[str, Any] = {"axes": "YX", "Name": "nuclei"}
    said |= {f"PhysicalSize{axis}": mpp for axis in "XY"}
    said |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    options: dict[str, Any] = {
        "tile": (TIFF_TILE_PX, TIFF_TILE_PX),
        "dtype": "uint32",
        "photometric": "minisblack",
        "compression": "zlib",
        "compressionargs": {"level": _LEVEL},
    }
    with (
        replacing_file(path) as sibling,
        tifffile.TiffWriter(sibling, bigtiff=True, ome=True) as file,
    ):
        for factor in (first, *others):
            file.write(
                _encoded(painter, factor),
                shape=painter.size_px(factor)[::-1],
                subifds=len(others) if factor == first else None,
                subfiletype=0 if factor == first else 1,
                metadata=said if factor == first else None,
                resolution=(1e4 / (mpp * factor),) * 2,
                resolutionunit="CENTIMETER",
                **options,
            )
    return painter


def _encoded(painter: LabelPainter, factor: int) -> Iterator[bytes]:
    """Tiles in their order; what holds no nucleus is compressed once."""
    import zlib

    empty = zlib.compress(bytes(4 * TIFF_TILE_PX**2), 9)
    for _, _, tile in painter.tiles(factor, TIFF_TILE_PX):
        yield empty if tile is None else zlib.compress(tile.tobytes(), _LEVEL)


def write_label_zarr(path: Path, image: ImageNuclei) -> LabelPainter:
    """Write labels as OME-Zarr 0.4 (uint32, chunks, levels), whole or not at all.

    The folder is an image of labels; in the OME-Zarr of its image it belongs under ``labels``.
    Chunks without a nucleus are not written.

    Raises
    ------
    CalibrationError
        If the image's scale is implausible.
    StoreError
        If zarr is not installed, the disk is full, the folder cannot be written, or what stands
        there is no label image.
    """
    mpp = image.entry.mpp
    check_mpp(mpp)
    zarr: Any = installed("zarr", f"To write {path.name}", ZARR_EXTRA, StoreError)
    painter = painter_of(image)
    with _replacing_folder(path, zarr) as folder:
        group = zarr.create_group(folder, zarr_format=2, overwrite=True)
        levels = []
        for number, factor in enumerate(painter.factors()):
            width_px, height_px = painter.size_px(factor)
            array = group.create_array(
                str(number),
                shape=(height_px, width_px),
                chunks=(ZARR_TILE_PX, ZARR_TILE_PX),
                dtype="uint32",
                fill_value=0,
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )
            for column, row, tile in painter.tiles(factor, ZARR_TILE_PX):
                if tile is not None:
                    x, y = column * ZARR_TILE_PX, row * ZARR_TILE_PX
                    there = tile[: height_px - y, : width_px - x]
                    array[y : y + ZARR_TILE_PX, x : x + ZARR_TILE_PX] = there
            scale = {"type": "scale", "scale": [mpp * factor] * 2}
            levels.append({"path": str(number), "coordinateTransformations": [scale]})
        axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
        group.attrs["multiscales"] = [
            {"version": "0.4", "name": "nuclei", "axes": axes, "datasets": levels}
        ]
        group.attrs["image-label"] = {"version": "0.4"}
    return painter


@contextmanager
def _replacing_folder(path: Path, zarr: Any) -> Iterator[Path]:
    """A folder to fill, which takes the place of `path` when the block ends."""
    if path.exists() and not _is_label_image(path, zarr):
        raise StoreError(
            f"{path.name} is there already, and is no label image; nothing was written. Choose "
            "another name."
        )
    building: Path | None = None
    try:
        building = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        yield building
        open_up(building)
        if path.exists():
            shutil.rmtree(path)
        building.rename(path)
        building = None
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if building is not None:
            shutil.rmtree(building, ignore_errors=True)


def _is_label_image(path: Path, zarr: Any) -> bool:
    try:
        return "image-label" in dict(zarr.open_group(path, mode="r").attrs)
    except (OSError, ValueError):
        return False
