"""ROIs of ImageJ as GeoJSON features: one in a ``.roi`` file, many in a zip of them.

ImageJ's ROI Manager writes them, StarDist and Cellpose too. Outlines are in pixels, corner origin,
as GeoJSON here; points are numbers of pixels, whose centres are meant. Cellpose writes the numbers
of the border's pixels.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.tool_json import ToolFeatures, feature_of, inside_border
from napari_nunext.core.nuclei import UNCATEGORISED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from roifile import ImagejRoi

    Ring: TypeAlias = "list[list[float]]"

SUFFIXES = (".zip", ".roi")
CELLPOSE_ROIS = "_rois"
"""What Cellpose adds to the image's name."""
MAX_BYTES = 128 * 2**20
"""Largest file, and twice as much unpacked: a ROI takes about 600 bytes."""
MAX_STEPS = 10**9
"""Most corners times outlines of one ROI, which are compared with each other."""
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What Java writes. Others may unpack to much more than they say, all at once."""


def read_rois(path: Path) -> ToolFeatures:
    """The ROIs of a file: outlines as polygons, points, and lines, which are no nuclei.

    An outline of several parts, as ImageJ makes of a thresholded image, keeps parts and holes. A
    group is a category, and so is a counter of the multi-point tool.

    Raises
    ------
    RecordError
        If the file holds no ROIs, is damaged, or would take more than `MAX_BYTES`.
    """
    cellpose = path.name.endswith(f"{CELLPOSE_ROIS}.zip")
    features: list[dict[str, Any]] = []
    try:
        for data in _members(path):
            features += _features(data, cellpose=cellpose)
    except RecordError:
        raise
    # roifile and zipfile raise what they run into: wrong sizes, types and offsets.
    except Exception as error:
        raise RecordError(
            f"{path.name}: ROI {len(features) + 1} cannot be read "
            f"({str(error) or type(error).__name__}). Save them again in ImageJ's ROI Manager."
        ) from error
    return ToolFeatures("Cellpose" if cellpose else "ImageJ", features)


def holds_rois(path: Path) -> bool:
    """Whether a file is a ROI, or a zip with at least one."""
    try:
        if path.suffix.lower() == ".zip":
            return bool(_rois_in(path))
        with path.open("rb") as file:
            return file.read(4) == b"Iout"
    except (OSError, RecordError):
        return False


def _members(path: Path) -> Iterator[bytes]:
    if path.suffix.lower() == ".zip":
        infos = _rois_in(path)
        if not infos:
            raise RecordError(f"{path.name} holds no .roi files; expected ROIs of ImageJ.")
        size = sum(info.file_size for info in infos)
        if size > 2 * MAX_BYTES or any(info.compress_type not in _PACKED for info in infos):
            raise RecordError(
                f"{path.name} would unpack to {size} bytes, or is packed as ImageJ never packs; "
                f"expected at most {2 * MAX_BYTES} bytes, stored or deflated."
            )
        with zipfile.ZipFile(path) as archive:
            for info in infos:
                yield archive.read(info)
        return
    _check_size(path)
    yield path.read_bytes()


def _rois_in(path: Path) -> list[zipfile.ZipInfo]:
    _check_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return [
                info
                for info in archive.infolist()
                # macOS adds files of its own, named ._a.roi
                if info.filename.lower().endswith(".roi")
                and not info.filename.rpartition("/")[2].startswith(".")
            ]
    # Of a damaged directory zipfile raises more than it says.
    except Exception as error:
        raise RecordError(
            f"{path.name} is damaged, or no zip ({str(error) or type(error).__name__}). Save it "
            "again."
        ) from error


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise RecordError(f"{path.name} has {size} bytes; expected ROIs, at most {MAX_BYTES}.")


def _features(data: bytes, *, cellpose: bool) -> list[dict[str, Any]]:
    from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi

    roi = ImagejRoi.frombytes(data)
    category = f"Group {roi.group}" if roi.group > 0 else UNCATEGORISED
    if roi.roitype == ROI_TYPE.POINT:
        return _points(roi, category)
    is_outline = roi.roitype in (
        *(ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED),
        *(ROI_TYPE.RECT, ROI_TYPE.OVAL),
    )
    if not is_outline or roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE):
        return [feature_of("LineString", [], category, kind="annotation")]
    rings = [ring.tolist() for ring in _rings(roi) if len(ring)]
    if cellpose and _is_of_border_pixels(roi):
        rings = [inside_border(ring) for ring in rings]
    return [feature_of("MultiPolygon", _parts(rings), category, kind="annotation")]


def _points(roi: ImagejRoi, category: str) -> list[dict[str, Any]]:
    points = np.asarray(roi.coordinates(), dtype=float) + 0.5
    counters = [0] * len(points) if roi.counters is None else roi.counters.tolist()
    return [
        feature_of("Point", point, f"Counter {n}" if n else category, kind="annotation")
        for point, n in zip(points.tolist(), counters, strict=True)
    ]


def _is_of_border_pixels(roi: ImagejRoi) -> bool:
    from roifile import ROI_TYPE

    return roi.roitype == ROI_TYPE.FREEHAND and roi.subpixel_coordinates is None


def _rings(roi: ImagejRoi) -> list[Any]:
    """Corners of each ring, shape (N, 2)."""
    from roifile import ROI_TYPE
    from roifile.roifile import oval

    if roi.roitype not in (ROI_TYPE.RECT, ROI_TYPE.OVAL) or roi.composite:
        return list(roi.coordinates(multi=True))
    corners = np.array([[roi.left, roi.top], [roi.right, roi.bottom]], dtype=float)
    if roi.subpixelrect:
        x, y = roi.xd, roi.yd
        corners = np.array([[x, y], [x + roi.widthd, y + roi.heightd]])
    if roi.roitype == ROI_TYPE.OVAL:
        return [oval(corners)]
    (left, top), (right, bottom) = corners
    return [np.array([[left, top], [right, top], [right, bottom], [left, bottom]])]


def _parts(rings: list[Ring]) -> list[list[Ring]]:
    """Outer rings, each with its holes: a ring in an odd number of others is a hole."""
    if len(rings) == 1:
        return [rings]
    from skimage.measure import points_in_poly

    if len(rings) * sum(map(len, rings)) > MAX_STEPS:
        raise RecordError(
            f"A ROI has {len(rings)} parts, too many; save each nucleus as a ROI of its own "
            "(in ImageJ: Analyze Particles, Add to Manager)."
        )
    corners = [np.array(ring, dtype=float) for ring in rings]
    # Rings may touch at corners, and at whole pixels of an edge.
    within = np.array([c[0] + (c[1 % len(c)] - c[0]) * 0.381966 for c in corners])
    held_by = [
        np.flatnonzero(points_in_poly(within, ring) & (np.arange(len(rings)) != i))
        for i, ring in enumerate(corners)
    ]
    depth = np.zeros(len(rings), dtype=int)
    for held in held_by:
        depth[held] += 1
    return [
        [ring, *(rings[j] for j in held_by[i] if depth[j] == depth[i] + 1)]
        for i, ring in enumerate(rings)
        if depth[i] % 2 == 0
    ]
