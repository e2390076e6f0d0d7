"""Sound files of every kind, small, made once: what damage is done to."""

from __future__ import annotations

import io
import random
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import numpy as np
import tifffile
from PIL import Image

from napari_nunext.core.formats.records import (
    JudgedPoint,
    PreferenceRecord,
    RecordNucleus,
    RftRecord,
    Rollout,
    SftRecord,
    Source,
    assistant_message,
    user_message,
)
from napari_nunext.core.geometry import Box
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.nuclei import Category, Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.uids import uid_in_window

SIDE_PX = 24
UID = "7b1e9a52-5b0e-4b3f-8d1e-0c6f1a2b3c4d"
MASK = Mask.from_array(np.ones((3, 4), dtype=bool), 5, 6)
TABLE = (
    ("image", "x_px", "y_px", "category", "confidence", "status", "uid", "flagged"),
    ("a.png", "1.5", "2.5", "Tumour", "0.5", "accepted", UID, "true"),
    ("b.png", "3", "4", "", "", "", "", ""),
)


def _pixels(*channels: int, dtype: Any = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(1)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1
    values = rng.random((SIDE_PX, SIDE_PX, *channels)) * top
    return values.astype(dtype)


def _labels() -> np.ndarray:
    labels = np.zeros((SIDE_PX, SIDE_PX), dtype=np.uint16)
    labels[2:6, 3:8], labels[10:15, 10:13] = 1, 7
    return labels


def _saved(image: Image.Image, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, **how)
    return file.getvalue()


@cache
def pngs() -> tuple[bytes, ...]:
    """Of several modes, and labels."""
    rgb = Image.fromarray(_pixels(3))
    exif = Image.Exif()
    exif[0x0112] = 6
    return (
        _saved(rgb, format="PNG", dpi=(50_800, 50_800), exif=exif),
        _saved(Image.fromarray(_pixels(4)), format="PNG"),
        _saved(rgb.convert("P"), format="PNG", transparency=3),
        _saved(rgb.convert("1"), format="PNG"),
        _saved(Image.fromarray(_labels()), format="PNG"),
    )


@cache
def jpegs() -> tuple[bytes, ...]:
    """Grey, colour, CMYK, progressive."""
    rgb = Image.fromarray(_pixels(3))
    return (
        _saved(rgb, format="JPEG", dpi=(50_800, 50_800), quality=80),
        _saved(rgb, format="JPEG", progressive=True),
        _saved(rgb.convert("L"), format="JPEG"),
        _saved(rgb.convert("CMYK"), format="JPEG"),
    )


@cache
def tiffs() -> tuple[bytes, ...]:
    """Strips, tiles, planes, compressions, depths, OME, ImageJ, labels."""
    rgb = _pixels(3)
    ways: tuple[tuple[np.ndarray, dict[str, Any]], ...] = (
        (rgb, {"photometric": "rgb", "resolution": (40_000, 40_000), "resolutionunit": 3}),
        (rgb, {"photometric": "rgb", "tile": (16, 16), "compression": "deflate"}),
        (rgb, {"photometric": "rgb", "compression": "lzw", "predictor": 2}),
        (rgb, {"photometric": "rgb", "compression": "jpeg"}),
        (rgb.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}),
        (_pixels(4), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (
            _pixels(dtype=np.uint16),
            {"photometric": "minisblack", "description": "Aperio|MPP = 0.5"},
        ),
        (_pixels(dtype=np.float32), {"photometric": "minisblack"}),
        (rgb, {"photometric": "rgb", "ome": True, "metadata": {"PhysicalSizeX": 0.5}}),
        (_pixels(), {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um"}}),
        (_labels(), {"compression": "zlib"}),
    )
    files = []
    for pixels, how in ways:
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, byteorder="<", **how)
        files.append(file.getvalue())
    return tuple(files)


@cache
def arrays() -> tuple[bytes, ...]:
    """NumPy files of labels."""
    files = []
    for labels in (
        _labels(),
        _labels().astype(float),
        np.asfortranarray(_labels()),
        _labels()[None],
    ):
        file = io.BytesIO()
        np.save(file, labels)
        files.append(file.getvalue())
    return tuple(files)


@cache
def rois() -> tuple[bytes, ...]:
    """Of ImageJ: outlines of whole numbers and between pixels, points, boxes, and of two parts."""
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    corners = np.array([[2, 2], [9, 2], [9, 8], [2, 8]])
    points = ImagejRoi.frompoints(corners, name="points")
    points.roitype, points.counters = ROI_TYPE.POINT, np.arange(4, dtype=np.uint8)
    box = ImagejRoi(roitype=ROI_TYPE.RECT, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION)
    box.xd, box.yd, box.widthd, box.heightd = 2.5, 3.5, 6.0, 7.0
    path = [0, 2, 2, 1, 9, 2, 1, 9, 9, 4, 0, 4, 3, 1, 8, 3, 1, 8, 7, 4]
    parts = ImagejRoi(roitype=ROI_TYPE.RECT, right=10, bottom=10, shape_roi_size=len(path))
    parts.multi_coordinates = np.array(path, dtype=np.float32)
    outlines = (ImagejRoi.frompoints(c, name="outline") for c in (corners, corners + 0.25))
    return tuple(roi.tobytes() for roi in (*outlines, points, box, parts))


@cache
def geojson() -> tuple[Any, ...]:
    """Of QuPath, of ours, and bare."""
    ring = [[2, 2], [9, 2], [9, 8], [2, 8], [2, 2]]
    cell = {
        "type": "Feature",
        "id": UID,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "nucleusGeometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "cell",
            "classification": {"name": "Tumour", "color": [200, 0, 0]},
            "measurements": {"NuNext confidence": 0.5},
            "metadata": {"NuNext status": "accepted"},
        },
    }
    old = {
        "type": "Feature",
        "id": "PathAnnotationObject",
        "geometry": {
            "type": "MultiPolygon",
            "coordinates": [[ring], [[[20, 20], [22, 20], [22, 23]]]],
        },
        "properties": {
            "classification": {"names": ["a", "b"]},
            "measurements": [{"name": "NuNext confidence", "value": 0.5}],
            "childObjects": [cell],
        },
    }
    points = {
        "type": "Feature",
        "geometry": {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
    }
    return (
        {"type": "FeatureCollection", "features": [cell, points]},
        [old, cell],
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [1.5, 2]},
            "properties": {},
        },
    )


@cache
def tool_json() -> tuple[Any, ...]:
    """Of HoVer-Net, CellViT and labelme."""
    contour = [[2, 2], [9, 2], [9, 8], [2, 8]]
    cell = {
        "centroid": [5.5, 5],
        "contour": contour,
        "type": 1,
        "type_prob": 0.9,
        "bbox": [[2, 2], [8, 9]],
    }
    return (
        {"mag": 40, "nuc": {"1": cell, "2": cell}},
        {
            "wsi_metadata": {},
            "type_map": {"1": "Neoplastic"},
            "cells": [cell, {"centroid": [1, 2]}],
        },
        {
            "version": "5.0",
            "imagePath": "a.png",
            "shapes": [
                {"label": "a", "points": contour, "shape_type": "polygon"},
                {"label": "b", "points": [[1, 2]], "shape_type": "point"},
                {"label": "c", "points": [[1, 2], [5, 6]], "shape_type": "rectangle"},
            ],
        },
    )


@cache
def coco() -> tuple[Any, ...]:
    """Polygons, run lengths of both forms, keypoints, crowds."""
    annotation = {
        "id": 1,
        "image_id": 3,
        "category_id": 1,
        "bbox": [2, 2, 7, 6],
        "area": 42,
        "iscrowd": 0,
    }
    rle = {"size": [SIDE_PX, SIDE_PX], "counts": [50, 6, SIDE_PX**2 - 56]}
    packed = {"size": [SIDE_PX, SIDE_PX], "counts": "b16WQ1"}
    return (
        {
            "images": [{"id": 3, "file_name": "a.png", "width": SIDE_PX, "height": SIDE_PX}],
            "annotations": [
                annotation | {"segmentation": [[2, 2, 9, 2, 9, 8]], "uid": UID},
                annotation | {"id": 2, "segmentation": rle, "iscrowd": 1},
                annotation | {"id": 3, "segmentation": rle},
                annotation | {"id": 4, "segmentation": packed},
                annotation | {"id": 5, "keypoints": [3, 4, 2], "num_keypoints": 1},
            ],
            "categories": [{"id": 1, "name": "Tumour"}],
        },
    )


@cache
def records() -> tuple[Any, ...]:
    """A record of each kind."""
    model = ModelDescription("X", "x", kind="detector", id="x")
    source = Source("ab" * 32, Box(10, 20, 110, 120), 0.5, "user", "train", "p", ("e",), model)
    nuclei = (RecordNucleus(1.5, 2.25, "Tumour", UID, MASK), RecordNucleus(40.0, 2.0, "Stroma"))
    prompt, reply = (user_message("Point."),), (assistant_message("[1, 2]"),)
    images = ("images/a.png",)
    rollout = Rollout((JudgedPoint(1.0, 2.0, "Tumour", 0.5, "tp"),), missed=1, rating=0.75)
    return tuple(
        record.to_json()
        for record in (
            SftRecord("r", images, (*prompt, *reply), nuclei, source),
            RftRecord("r", "nuclei", images, prompt, nuclei, source, rollout),
            PreferenceRecord("r", images, prompt, reply, reply, source),
        )
    )


@cache
def project() -> bytes:
    """A project with an image, a run with masks, edits, a completed region and categories."""
    from napari_nunext.store import ImageEntry, Project, RunFound, RunInfo, RunWindow, events

    sha256, whole = "ab" * 32, Box(0, 0, 100, 80)
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    with (
        tempfile.TemporaryDirectory() as folder,
        # Ids are the same in every process, so that a number stands for the same input.
        mock.patch("os.urandom", random.Random(1).randbytes),
    ):
        path = Path(folder, "p.nunext")
        with Project.open(path, annotator="jd", clock=lambda: noon) as opened:
            opened.add_image(ImageEntry(sha256, "/slides/a.png", "a.png", 100, 80, 0.5, "file"))
            model = ModelDescription("Classical", "classical", kind="detector", id="classical")
            info = RunInfo(model, {"t": 0.1}, 0.5, 1, whole)
            run = opened.start_run(sha256, info)
            first = Nucleus(UUID(UID), 5, 5, "Nucleus", 0.5)
            opened.add_predictions(run, [first, Nucleus(UUID(int=5), 50, 50, "Nucleus", 0.25)])
            opened.add_found(run, RunFound(masks={first.uid: MASK}))
            opened.add_found(run, RunFound(hidden=[UUID(int=5)]))
            placed = [
                Nucleus(uid_in_window(run, 7, i), 9 * i, 70, "Other", mask=MASK if i else None)
                for i in range(2)
            ]
            found = Predictions.of(placed)
            opened.add_found(run, RunFound([RunWindow(7, found), RunWindow(8, Predictions.of())]))
            opened.add_found(run, RunFound(masks={placed[0].uid: MASK}))
            opened.finish_run(run, "complete")
            opened.set_categories([Category("Nucleus", (1, 2, 3)), Category("Other", (4, 5, 6))])
            added = events.add(sha256, 9.5, 9, "Other", mask=MASK)
            assert added.uid is not None
            opened.append([events.use_run(sha256, run, whole), added])
            opened.append([events.move(sha256, added.uid, 10, 11)])
            opened.append([events.comment(sha256, "look"), events.accept(sha256, first.uid)])
            opened.append([events.complete_region(sha256, whole)])
            opened.append([events.rename_category("Other", "Else")])
            relabelled = events.relabel(sha256, first.uid, "Else")
            opened.append([relabelled])
            opened.append([events.undo(sha256, relabelled.group)])
            opened.backup(Path(folder, "whole.nunext"))
        return Path(folder, "whole.nunext").read_bytes()
