"""Detection in many images from the command line, through the server that the app uses too."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.commands.resuming import DetectOptions, DoneBefore, Wanted
from napari_nunext.commands.scales import (
    check_scales,
    check_that_some_have_scale,
    open_all,
    scale_of,
)
from napari_nunext.core.errors import (
    InputError,
    NunextError,
)
from napari_nunext.core.formats.region_files import read_regions
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.naming import in_order, search_words
from napari_nunext.core.nuclei import Category
from napari_nunext.core.sentences import about, counted
from napari_nunext.core.shapes.area import EVERYTHING, Area
from napari_nunext.images import find_images
from napari_nunext.images.formats import image_stem
from napari_nunext.models.checkpoints.description import describe
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.serving.client.found import Found, failed_words, left_out_words
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.serving.client.patience import Patience
from napari_nunext.serving.protocol import DetectRequest, Started, WindowDone
from napari_nunext.store.exports.geojson import write_geojson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.commands.scales import Opened
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.client.client import Client
    from napari_nunext.serving.protocol import ModelInfo


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an image is."""

    image: str
    number: int
    total: int
    windows_done: int
    windows: int
    nuclei: int


def detect_images(
    paths: Sequence[Path],
    options: DetectOptions,
    *,
    say: Callable[[str], None],
    progress: Callable[[Progress], None],
    is_meant: Callable[[str], bool] = lambda _: False,
) -> list[Path]:
    """Write ``<image stem>.geojson`` into `options.out_dir` for every image.

    Of several, one that cannot be searched is named to `say`, and the others are searched
    nevertheless; the error of a single image is raised. What was searched before with the same
    model and settings is not searched again.

    Parameters
    ----------
    paths : sequence of Path
        Images and folders of images.
    options : DetectOptions
    say : callable
        Told a line about whatever a person should know.
    progress : callable
        Told after every window.
    is_meant : callable
        Asked once, before any image is searched, whether a scale that looks wrong is meant.

    Returns
    -------
    list of Path
        The images that could not be searched.

    Raises
    ------
    InputError
        Before any work: if there is no image, two have one stem, none has a scale, one looks wrong
        and is not meant, or the model is not there.
    OSError
        If the output folder cannot be made.
    KeyboardInterrupt
        If a person stops it, once `say` was told what there is.
    """
    if options.mpp is not None:
        check_mpp(options.mpp, "--mpp")
    files = find_images(paths)
    targets = output_files(files, options.out_dir)
    areas = areas_of(files, options.regions)
    images = open_all(files)
    if options.mpp is None:
        check_that_some_have_scale(images.values())
    folder = model_folder(options.model)
    options.out_dir.mkdir(parents=True, exist_ok=True)
    model_paths = (*options.model_paths, *([folder] if folder else []))
    with LocalServer(model_paths, precision=options.precision) as server:
        model = find_model(server.client(), options.model, folder)
        check_scales(images.values(), options.mpp, model, is_meant)
        in_order(options.only, [category.name for category in model.categories])
        batch = _Batch(images, targets, areas, options, model, say, progress)
        try:
            return batch.search(server)
        except KeyboardInterrupt:
            server.kill()  # nothing that it still has to do is worth waiting for
            say(batch.where_it_stands())
            raise


class _Batch:
    """Some images that are searched one after another, those that were searched before left out."""

    def __init__(
        self,
        images: dict[Path, Opened],
        targets: dict[Path, Path],
        areas: dict[Path, Area],
        options: DetectOptions,
        model: ModelInfo,
        say: Callable[[str], None],
        progress: Callable[[Progress], None],
    ) -> None:
        self._images = images
        self._total = len(images)
        self._targets = targets
        self._areas = areas
        self._options = options
        self._model = model
        self._say = say
        self._progress = progress
        self._before = DoneBefore(options.out_dir)
        self._done = 0

    def search(self, server: LocalServer) -> list[Path]:
        """Search all, and return the images that could not be searched."""
        failed, known = [], 0
        for number, path in enumerate(list(self._images), start=1):
            image = self._images.pop(path)  # its pixels are let go of when it is done
            try:
                if isinstance(image, NunextError):
                    raise image
                known += not self._search(server, image, path, number)
                self._done += 1
            except (NunextError, OSError) as error:
                if self._total == 1:
                    raise
                failed.append(path)
                self._say(about(path.name, str(error)))
        if known:
            self._say(
                f"{counted(known, 'image')} had been searched before with this model and these "
                "settings, and kept as they are. Remove a file to have it written anew."
            )
        return failed

    def where_it_stands(self) -> str:
        """What there is when a person has stopped it."""
        return (
            f"Stopped. {counted(self._done, 'image')} of {self._total} are in "
            f"{self._options.out_dir}; the same command goes on from there."
        )

    def _search(self, server: LocalServer, image: ImageSource, path: Path, number: int) -> bool:
        """Search an image; False if that had been done before."""
        target, area = self._targets[path], self._areas.get(path, EVERYTHING)
        mpp = scale_of(image, self._options.mpp, self._say)
        wanted = Wanted.of(image.id, mpp, area, self._model, self._options)
        standing = self._before.standing(target, wanted)
        if standing == "changed since":
            self._say(f"{target.name} was changed since it was written, and is kept.")
        if standing != "to search":
            return False

        def tell(found: Found) -> None:
            done, windows, nuclei = found.windows_done, found.windows, len(found.standing)
            self._progress(Progress(image.name, number, self._total, done, windows, nuclei))

        # Asked for anew each time: a server that died is then started again.
        found = _detect(
            server.client(), image, mpp, area, self._model.id, self._options, self._say, tell
        )
        _write(target, found, self._options.masks)
        if words := failed_words(found):
            raise InputError(f"{image.name}: {words}")
        self._before.add(target, wanted, _started(found).decoding)
        return True


def output_files(images: Sequence[Path], out_dir: Path) -> dict[Path, Path]:
    """The file that is written for each image.

    Raises
    ------
    InputError
        If two images would be written to one file.
    """
    by_stem: dict[str, list[Path]] = defaultdict(list)
    targets = {}
    for path in images:
        stem = image_stem(path)
        by_stem[stem.casefold()].append(path)  # as many file systems compare names
        targets[path] = out_dir / f"{stem}.geojson"
    for clash in by_stem.values():
        if len(clash) > 1:
            names = " and ".join(str(path) for path in clash)
            raise InputError(
                f"{names} would both be written to {targets[clash[0]].name}. "
                "Rename one, or search them into different folders."
            )
    return targets


def areas_of(images: Sequence[Path], regions: Path | None) -> dict[Path, Area]:
    """What is searched of each image, where that is not all of it.

    Parameters
    ----------
    images : sequence of Path
    regions : Path, optional
        A file for the one image, or a folder with ``<image stem>.geojson``.

    Raises
    ------
    InputError
        If there are several images and one file, or the folder lacks one of an image.
    RecordError
        If a file says no region.
    """
    if regions is None:
        return {}
    if regions.is_dir():
        files = {path: regions / f"{image_stem(path)}.geojson" for path in images}
        missing = [file.name for file in files.values() if not file.is_file()]
        if missing:
            more = f", nor {counted(len(missing) - 1, 'other')}" if missing[1:] else ""
            raise InputError(
                f"{regions} has no {missing[0]}{more}. Write a file for each image, or search "
                "these images by themselves."
            )
    elif len(images) > 1:
        raise InputError(
            f"{regions.name} is one file, and there are {len(images)} images. Give a folder with a "
            "file for each, called as the image is."
        )
    else:
        files = dict.fromkeys(images, regions)
    return {
        path: Area.of(read_regions(file, kind="search"), search_here=True)
        for path, file in files.items()
    }


def model_folder(model: str | None) -> Path | None:
    """The checkpoint's folder, if that is what the model is named by."""
    if model is None or model == "classical" or not (path := Path(model)).is_dir():
        return None
    describe(path)  # says now what is wrong with it
    return path


def find_model(client: Client, model: str | None, folder: Path | None) -> ModelInfo:
    """The detector of a server that is named by its id or is of a checkpoint's folder.

    Raises
    ------
    InputError
        If it is not there, or cannot be served.
    """
    detectors = [m for m in client.models() if m.kind == "detector"]
    sha256 = None if folder is None else checkpoint_sha256(folder)

    def is_meant(info: ModelInfo) -> bool:
        if sha256 is not None:
            return info.checkpoint_sha256 == sha256
        return info.default if model is None else info.id == model

    for info in detectors:
        if is_meant(info):
            if info.problem is not None:
                raise InputError(info.problem)
            return info
    known = ", ".join(m.id for m in detectors)
    raise InputError(
        f"There is no detector {model!r}. Name one of {known}, or the folder of a checkpoint."
    )


def _detect(
    client: Client,
    image: ImageSource,
    mpp: float,
    area: Area,
    model_id: str,
    options: DetectOptions,
    say: Callable[[str], None],
    tell: Callable[[Found], None],
) -> Found:
    for note in image.notes:
        say(f"{image.name}: {note}")
    patience = Patience(lambda words: say(f"{image.name}: {words}"))
    region = _region(image, options, area)
    request = DetectRequest(
        image=client.put_image(image, patience=patience),
        mpp=mpp,
        model=model_id,
        masks=options.masks,
        region=None if region is None else region.as_tuple(),
        tissue=options.tissue or None,
        pen=options.pen or None,
        only=list(options.only) or None,
        **area.to_json(),
        # Whoever opens the app on the same server meanwhile goes first.
        priority="batch",
    )
    found = Found()
    for event in client.detect(request, patience=patience):
        found.take(event)
        if isinstance(event, WindowDone):
            tell(found)
        elif isinstance(event, Started):
            left_out = [left_out_words(event)] if event.windows_left_out else []
            for words in (*left_out, *search_words(event.decoding).values()):
                say(f"{image.name}: {words}")
    if found.windows_cut_off:
        say(
            f"{image.name}: {found.windows_cut_off} windows hold more nuclei than the model lists; "
            "some are missing there."
        )
    return found


def _region(image: ImageSource, options: DetectOptions, area: Area) -> Box | None:
    """The box around what is searched; None for all of the image."""
    if options.region is None:
        return area.box
    wanted = Box.from_sequence(options.region)
    for whole in (image.box, area.box):
        wanted = wanted if whole is None else wanted.clipped_to(whole)
    if wanted.width <= 0 or wanted.height <= 0:
        raise InputError(
            f"The region {options.region} holds nothing that is to be searched of {image.name}, "
            f"whose pixels are {image.box.as_tuple()}."
        )
    return wanted


def _write(path: Path, found: Found, masks: bool) -> None:
    started = _started(found)
    model = started.model
    metadata = model.made_by(started.decoding) | search_words(started.decoding)
    if started.windows_left_out:
        metadata["left out"] = left_out_words(started)
    categories = [Category(c.name, c.color) for c in model.categories]
    write_geojson(path, found.nuclei(), categories=categories, masks=masks, metadata=metadata)


def _started(found: Found) -> Started:
    assert found.started is not None  # every stream that is not cancelled begins with it
    return found.started
