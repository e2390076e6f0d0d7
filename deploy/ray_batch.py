"""Nuclei of many images, or of whole slides, on a Ray cluster: the windows are shared out.

    python -m deploy.ray_batch slides/ --model my-checkpoint --out found --workers 8 --gpus 1

The result is that of ``napari-nunext detect``: the same windows, and the same merging of seams. The
images and checkpoints have to be at the same paths on every machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import ray

from napari_nunext.commands.detect import output_files
from napari_nunext.core.errors import CalibrationError, InputError, NunextError
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.images import find_images, open_image
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from napari_nunext.models.whole_image.gathering import Gathering
from napari_nunext.models.whole_image.search import plan_image
from napari_nunext.serving.settings import model_folders
from napari_nunext.store.exports.geojson import write_geojson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.core.tiling import WindowGrid
    from napari_nunext.models.detector import Detector, WindowEvent
    from napari_nunext.models.whole_image.gathering import Detections

    Batch = dict[str, np.ndarray[Any, Any]]

OPEN_IMAGES = 2
"""Images that a worker keeps open; windows come image by image."""


@dataclass(frozen=True, slots=True)
class Model:
    """Which detector, by the id that ``napari-nunext models`` tells, or by its folder."""

    name: str | None
    folders: tuple[Path, ...] = ()

    def info(self) -> DetectorInfo:
        """What it is, without loading a checkpoint."""
        catalog, id_ = self._find()
        found = next(e for e in catalog.entries() if e.kind == "detector" and e.id == id_)
        if isinstance(found.info, DetectorInfo):
            return found.info
        return catalog.load_detector(id_).info

    def load(self) -> Detector:
        """The detector, in memory."""
        catalog, id_ = self._find()
        return catalog.load_detector(id_)

    def _find(self) -> tuple[Catalog, str]:
        folder = Path(self.name) if self.name and Path(self.name).is_dir() else None
        catalog = Catalog([*([folder] if folder else []), *model_folders(self.folders)])
        detectors = [e for e in catalog.entries() if e.kind == "detector"]
        wanted = catalog.default_detector_id if self.name is None else self.name
        for entry in detectors:
            if entry.folder == folder if folder else entry.id == wanted:
                return catalog, entry.id
        known = ", ".join(e.id for e in detectors)
        raise InputError(
            f"There is no detector {wanted!r}. Name one of {known}, or a checkpoint's folder."
        )


class Finder:
    """Searches windows, in a worker that keeps its detector in memory."""

    def __init__(self, model: Model) -> None:
        self._detector = model.load()
        self._open = lru_cache(maxsize=OPEN_IMAGES)(open_image)
        self._plan = lru_cache(maxsize=OPEN_IMAGES)(self._planned)

    def __call__(self, batch: Batch) -> Batch:
        """What was found in each window; rows of one image or of several."""
        pixels = []
        for path, mpp, index in _rows(batch):
            window = self._plan(path, mpp)[index]
            pixels.append(self._open(path).read_window(window.box, window.side_px))
        events: list[list[WindowEvent]] = [[] for _ in pixels]
        for event in self._detector.detect(pixels, cancelled=lambda: False):
            events[event.window].append(event)
        return batch | {"found": np.array([_packed(told) for told in events], dtype=object)}

    def _planned(self, path: str, mpp: float) -> WindowGrid:
        return plan_image(self._open(path), self._detector.info, mpp=mpp)


def find_nuclei(
    images: Sequence[ImageSource],
    model: Model,
    *,
    workers: int = 2,
    gpus: float = 0.0,
    windows_at_once: int = 16,
) -> dict[Path, Detections]:
    """Find every nucleus of some images on the cluster that Ray is connected to.

    Parameters
    ----------
    images : sequence of ImageSource
        Files, each with its scale.
    model : Model
    workers : int
        Processes, each with the detector in memory.
    gpus : float
        Of each worker.
    windows_at_once : int
        Windows that a worker is given together.

    Returns
    -------
    dict
        What `napari_nunext.models.whole_image.search.detect_image` finds in each image.
    """
    info = model.info()
    gatherings: dict[str, tuple[WindowGrid, Gathering]] = {}
    for image in images:
        mpp = check_mpp(image.scale.mpp, image.name)
        windows = plan_image(image, info, mpp=mpp)
        gatherings[str(image.path)] = windows, Gathering(image.box, windows, mpp=mpp)
    rows = [
        {"image": str(image.path), "mpp": image.scale.mpp, "window": index}
        for image in images
        for index in range(len(gatherings[str(image.path)][0]))
    ]
    if rows:
        searched = ray.data.from_items(rows).map_batches(
            Finder,
            fn_constructor_args=(model,),
            batch_size=windows_at_once,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            num_gpus=gpus,
        )
        for row in searched.iter_rows():
            windows, gathering = gatherings[row["image"]]
            for event in _unpacked(row["found"], row["window"]):
                gathering.take(windows[row["window"]], event)
    return {Path(path): gathering.result() for path, (_, gathering) in gatherings.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``<image stem>.geojson`` for each image; 2 for bad input, said in one line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.ray_batch")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image or folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", help="id or folder of a detector (default: the bundled one)")
    parser.add_argument("--models", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--mpp", type=float, help="um per pixel; by default what each file says")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpus", type=float, default=0.0, help="of each worker (default 0)")
    parser.add_argument("--windows-at-once", type=int, default=16)
    parser.add_argument("--address", help="of the cluster (default: this machine, or RAY_ADDRESS)")
    args = parser.parse_args(argv)
    try:
        paths = find_images(args.paths)
        targets = output_files(paths, args.out)
        images = [_with_scale(open_image(path, mpp=args.mpp)) for path in paths]
        model = Model(args.model, tuple(args.models))
        categories = model.info().categories
        args.out.mkdir(parents=True, exist_ok=True)
        if not ray.is_initialized():
            ray.init(address=args.address)
        results = find_nuclei(
            images,
            model,
            workers=args.workers,
            gpus=args.gpus,
            windows_at_once=args.windows_at_once,
        )
        for path, found in results.items():
            nuclei = list(_nuclei(found))
            metadata = {"model": model.info().name}
            write_geojson(
                targets[path], nuclei, categories=categories, masks=False, metadata=metadata
            )
    except (NunextError, OSError) as error:
        sys.stderr.write(f"ray_batch: {error}\n")
        return 2
    return 0


def _with_scale(image: ImageSource) -> ImageSource:
    if image.scale.mpp is None:
        raise CalibrationError(
            f"{image.name} does not say its scale. Give the micrometres per pixel, "
            "for example --mpp 0.5 (20x) or --mpp 0.25 (40x)."
        )
    return image


def _nuclei(found: Detections) -> Iterable[Nucleus]:
    for (x, y), category, sure in zip(
        found.points_xy.tolist(), found.categories, found.confidence.tolist(), strict=True
    ):
        yield Nucleus(uuid4(), x, y, category, sure)


def _rows(batch: Batch) -> Iterable[tuple[str, float, int]]:
    columns = (batch["image"].tolist(), batch["mpp"].tolist(), batch["window"].tolist())
    return zip(*columns, strict=True)


def _packed(events: Iterable[WindowEvent]) -> str:
    """What a window gave, as text: rows of points would lose the windows without any."""
    told: list[dict[str, Any]] = []
    for event in events:
        if isinstance(event, WindowPoints):
            told.append(
                {
                    "points": event.points_xy.tolist(),
                    "categories": event.categories,
                    "confidence": event.confidence,
                }
            )
        else:
            told.append({"finish": event.finish, "tokens": event.tokens})
    return json.dumps(told)


def _unpacked(text: str, window: int) -> Iterable[WindowEvent]:
    for told in json.loads(text):
        if "finish" in told:
            yield WindowEnd(window, told["finish"], told["tokens"])
        else:
            points_xy = np.array(told["points"], dtype=np.float64).reshape(-1, 2)
            categories, confidence = tuple(told["categories"]), tuple(told["confidence"])
            yield WindowPoints(window, points_xy, categories, confidence)


if __name__ == "__main__":
    sys.exit(main())
