"""Exports of a review project from the command line."""

from __future__ import annotations

import getpass
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from napari_nunext.core.errors import InputError, OtherImageError, RecordError, StoreError
from napari_nunext.core.spelling import unmerged_words
from napari_nunext.images import ImageFinder
from napari_nunext.images.formats import image_stem
from napari_nunext.images.identified import look_for
from napari_nunext.store import Project
from napari_nunext.store.exports.coco import CocoImage, write_coco, write_coco_results
from napari_nunext.store.exports.csv import write_csv
from napari_nunext.store.exports.geojson import write_geojson
from napari_nunext.store.exports.training import export_training
from napari_nunext.store.tables.wholeness import lost_log_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.core.formats.flavours import Flavour
    from napari_nunext.store import ImageEntry

Format: TypeAlias = Literal["training", "geojson", "csv", "coco", "coco-results"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class Written:
    """What an export wrote."""

    words: str
    """A line that says it."""
    problems: tuple[str, ...] = ()
    """A sentence on each image that was left out, because its file holds other pixels."""
    notes: tuple[str, ...] = ()
    """A sentence on whatever else a person should know."""


def export_project(
    path: Path,
    out_dir: Path,
    format_: Format,
    *,
    image_folders: Sequence[Path] = (),
    even_if_broken: bool = False,
    flavour: Flavour | None = None,
) -> Written:
    """Export a project, which may be open in a window meanwhile.

    Parameters
    ----------
    path : Path
        The project's file.
    out_dir : Path
        For ``"training"`` the export itself; else the folder that the files are written into: one
        for each image, ``instances.json`` for ``"coco"``, ``results.json`` for ``"coco-results"``.
    format_ : {"training", "geojson", "csv", "coco", "coco-results"}
    image_folders : sequence of Path
        Where the images lie, if they were moved since they were reviewed.
    even_if_broken : bool
        Whether to export what stands in a journal that does not verify.
    flavour : {"trl", "ms-swift", "llama-factory"}, optional
        With ``"training"``: also write the files as another trainer reads them.

    Raises
    ------
    NunextError
        If the project cannot be read, its journal does not verify, there is nothing to export, or
        it cannot be written; and where training data is to be made of an image that is not found
        or has other pixels.
    """
    if flavour is not None and format_ != "training":
        raise InputError(f"--flavour is a form of training data; leave it out with {format_}.")
    with Project.open(path, annotator=reader_name(), mode="r", create=False) as project:
        if not even_if_broken:
            _check_is_sound(project)
        finder = ImageFinder(image_folders, beside=path.parent)
        if format_ == "training":
            manifest = export_training(project, out_dir, open_pixels=finder.pixels, flavour=flavour)
            counts = ", ".join(f"{what} {n}" for what, n in manifest.counts.items())
            alike = unmerged_words(c["name"] for c in manifest.categories)
            return Written(f"{out_dir}: {counts}", notes=(alike,) if alike else ())
        if not project.images():
            raise RecordError(f"{path.name} has no image yet. Open one in napari first.")
        return _export_labels(project, out_dir, format_, finder)


def _export_labels(
    project: Project, out_dir: Path, format_: Format, finder: ImageFinder
) -> Written:
    """Write nuclei that other programs put on images by their names: the right images' names.

    An image that was renamed goes by its new name. One whose file holds other pixels is left out;
    one that is not found cannot be checked, and is written all the same.
    """
    entries = project.images()
    looked = look_for(entries, finder)
    wrong = tuple(looked.different.values())
    kept = [
        replace(e, name=looked.found[e.sha256].name) if e.sha256 in looked.found else e
        for e in entries
        if e.sha256 not in looked.different
    ]
    if not kept:
        raise OtherImageError(f"{wrong[0]} Nothing was written: no image is the reviewed one.")
    out_dir.mkdir(parents=True, exist_ok=True)
    pointlike = _WRITERS[format_](project, kept, out_dir)
    words = f"{out_dir}: nuclei of {len(kept)} images"
    if pointlike:
        words += f"; {pointlike} nuclei without an outline are left out"
    if looked.missing:
        words += f", {len(looked.missing)} of them not found and so not checked (--images DIR)"
    if wrong:
        words += f"; {len(wrong)} left out, whose files hold other pixels"
    used = (n.nucleus.category for e in kept for n in project.state(e.sha256).nuclei.values())
    alike = unmerged_words([*(c.name for c in project.categories()), *used])
    return Written(words, wrong, (alike,) if alike else ())


def _check_is_sound(project: Project) -> None:
    try:
        if project.lost_log:
            raise StoreError(lost_log_words(project.path.name))
        project.verify()
    except StoreError as error:
        raise StoreError(
            f"{error} Nothing was exported; --even-if-broken exports what there is."
        ) from error


def _write_geojson(project: Project, entries: Sequence[ImageEntry], out_dir: Path) -> int:
    for entry, stem in _stems(entries):
        nuclei = tuple(project.state(entry.sha256).nuclei.values())
        write_geojson(
            out_dir / f"{stem}.geojson", nuclei, categories=project.categories(), masks=True
        )
    return 0


def _write_csv(project: Project, entries: Sequence[ImageEntry], out_dir: Path) -> int:
    for entry, stem in _stems(entries):
        nuclei = tuple(project.state(entry.sha256).nuclei.values())
        write_csv(out_dir / f"{stem}.csv", nuclei, mpp=entry.mpp, image=entry.name)
    return 0


def _write_coco(project: Project, entries: Sequence[ImageEntry], out_dir: Path) -> int:
    images = _coco_images(project, entries)
    write_coco(out_dir / "instances.json", images, categories=project.categories())
    return 0


def _write_coco_results(project: Project, entries: Sequence[ImageEntry], out_dir: Path) -> int:
    images = _coco_images(project, entries)
    return write_coco_results(out_dir / "results.json", images, categories=project.categories())


def _coco_images(project: Project, entries: Sequence[ImageEntry]) -> list[CocoImage]:
    return [
        CocoImage(entry, tuple(project.state(entry.sha256).nuclei.values())) for entry in entries
    ]


_WRITERS: dict[str, Callable[[Project, Sequence[ImageEntry], Path], int]] = {
    "geojson": _write_geojson,
    "csv": _write_csv,
    "coco": _write_coco,
    "coco-results": _write_coco_results,
}
"""Each returns how many nuclei it has no room for."""


def _stems(entries: Sequence[ImageEntry]) -> list[tuple[ImageEntry, str]]:
    """Images with the stem of their file; where stems clash, the pixels' hash tells them apart."""
    stems = [image_stem(Path(entry.name)) for entry in entries]
    uses = Counter(stem.casefold() for stem in stems)
    return [
        (entry, stem if uses[stem.casefold()] == 1 else f"{stem}-{entry.sha256[:8]}")
        for entry, stem in zip(entries, stems, strict=True)
    ]


def reader_name() -> str:
    """Reading needs a name, but writes it nowhere."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "export"
