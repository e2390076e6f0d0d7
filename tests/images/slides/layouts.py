"""Writes slides in their documented layouts, as no files of most formats can be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageCms

from tests.images.slides.marked import jpeg_of, shrunk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TILE_PX = 256
LABEL = np.full((80, 120, 3), (255, 0, 255), np.uint8)
"""Of a colour that no slide has: where it shows, a label was read."""


def tiles_of(rgb: np.ndarray, side: int = TILE_PX) -> list[np.ndarray]:
    """Tiles row by row, those at the edges filled up."""
    beyond = [(0, -length % side) for length in rgb.shape[:2]]
    whole = np.pad(rgb, [*beyond, (0, 0)], mode="edge")
    return [
        np.ascontiguousarray(whole[y : y + side, x : x + side])
        for y in range(0, whole.shape[0], side)
        for x in range(0, whole.shape[1], side)
    ]


def write_dicom_series(
    folder: Path,
    rgb: np.ndarray,
    mpp: float,
    *,
    factors: Sequence[int] = (1, 4),
    more: Sequence[str] = ("LABEL", "OVERVIEW"),
    profile: bytes = b"",
) -> Path:
    """A series of whole-slide microscopy: a file a level, and photographs. Gives that of level 0.

    DICOM PS3.3 A.32.8, TILED_FULL, JPEG baseline.
    """
    from pydicom.uid import generate_uid

    folder.mkdir()
    profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    uids = {"series": generate_uid(), "study": generate_uid(), "frame": generate_uid()}
    levels = [(rgb if f == 1 else shrunk(rgb, f), "VOLUME", mpp * f) for f in factors]
    levels += [(LABEL, kind, mpp * 100) for kind in more]
    paths = []
    for number, (pixels, kind, size_um) in enumerate(levels):
        # The finest last by its name: nothing may go by the order of names.
        paths.append(folder / f"{9 - number}.dcm")
        _write_dicom(paths[-1], pixels, kind, size_um, uids, profile, number)
    return paths[0]


def _write_dicom(
    path: Path,
    rgb: np.ndarray,
    kind: str,
    mpp: float,
    uids: dict[str, str],
    profile: bytes,
    number: int,
) -> None:
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.sequence import Sequence as Items
    from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    data = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = uids["study"], uids["series"]
    data.FrameOfReferenceUID, data.Modality = uids["frame"], "SM"
    data.PatientName, data.PatientID = "Somebody^Known", "12345"
    resampled = "RESAMPLED" if kind == "VOLUME" and number else "NONE"
    first = "DERIVED" if resampled == "RESAMPLED" else "ORIGINAL"
    data.ImageType = [first, "PRIMARY", kind, resampled]
    data.InstanceNumber = number + 1
    side = TILE_PX if kind == "VOLUME" else max(rgb.shape[:2])
    tiles = tiles_of(rgb, side)
    data.Rows = data.Columns = side
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = rgb.shape[:2]
    data.TotalPixelMatrixFocalPlanes = 1
    data.NumberOfFrames = len(tiles)
    data.SamplesPerPixel, data.PhotometricInterpretation = 3, "YBR_FULL_422"
    data.PlanarConfiguration = data.PixelRepresentation = 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit = 7
    data.DimensionOrganizationType = "TILED_FULL"
    data.ImagedVolumeWidth, data.ImagedVolumeHeight = (
        rgb.shape[1] * mpp / 1e3,
        rgb.shape[0] * mpp / 1e3,
    )
    data.ImagedVolumeDepth = 1.0
    data.LossyImageCompression = "01"
    path_item = Dataset()
    path_item.OpticalPathIdentifier, path_item.ICCProfile = "1", profile
    data.OpticalPathSequence, data.NumberOfOpticalPaths = Items([path_item]), 1
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness = [mpp / 1e3, mpp / 1e3], 1.0
    shared = Dataset()
    shared.PixelMeasuresSequence = Items([measures])
    data.SharedFunctionalGroupsSequence = Items([shared])
    data.PixelData = encapsulate([jpeg_of(tile) for tile in tiles])
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)


def write_ome_zarr(
    path: Path,
    rgb: np.ndarray,
    mpp: float | None,
    *,
    version: str = "0.4",
    factors: Sequence[int] = (1, 2, 4),
    axes: str = "cyx",
    unit: str = "micrometer",
    shards: bool = False,
    more: dict[str, object] | None = None,
) -> Path:
    """A group with multiscales, as OME-NGFF 0.4 (Zarr 2) and 0.5 (Zarr 3) have them."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for number, factor in enumerate(factors):
        level = rgb if factor == 1 else shrunk(rgb, factor)
        samples = level.transpose(["yxc".index(a) for a in axes if a in "yxc"])
        alone = tuple(i for i, a in enumerate(axes) if a not in "yxc")
        group.create_array(
            str(number),
            data=np.ascontiguousarray(np.expand_dims(samples, alone)),
            chunks=tuple({"y": 100, "x": 128}.get(a, 1) for a in axes),
            shards=tuple({"y": 400, "x": 512}.get(a, 1) for a in axes) if shards else None,
        )
        size = [(mpp or 1) * factor if a in "yx" else 1.0 for a in axes]
        scale = {"type": "scale", "scale": size}
        datasets.append({"path": str(number), "coordinateTransformations": [scale]})
    kinds = {"c": "channel", "z": "space", "y": "space", "x": "space", "t": "time"}
    described = [{"name": a, "type": kinds[a]} for a in axes]
    for axis in described:
        if axis["name"] in "yx" and mpp and unit:
            axis["unit"] = unit
    multiscale = {"version": version, "axes": described, "datasets": datasets}
    said = {"multiscales": [multiscale], **(more or {})}
    group.attrs.update(said if version == "0.4" else {"ome": {"version": version, **said}})
    return path
