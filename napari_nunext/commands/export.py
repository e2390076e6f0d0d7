"""Exports of a review project from the command line."""

from __future__ import annotations

import getpass
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import (
    FreeTextError,
    ImageError,
    ImageMissingError,
    InputError,
    OtherImageError,
    RecordError,
    StoreError,
)
from napari_nunext.core.sentences import counted
from napari_nunext.core.spelling import unmerged_words
from napari_nunext.images import ImageFinder, open_image
from napari_nunext.images.formats import image_stem
from napari_nunext.images.identified import look_for
from napari_nunext.store import Project
from napari_nunext.store.exports.formats import export_format, image_nuclei, write_nuclei
from napari_nunext.store.exports.rows import categories_in
from napari_nunext.store.exports.snapshot import write_snapshot
from napari_nunext.store.exports.training import FREE_TEXT, export_training
from napari_nunext.store.tables.wholeness import lost_log_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.formats.flavours import Flavour
    from napari_nunext.core.formats.records import Manifest
    from napari_nunext.store import ImageEntry
    from napari_nunext.store.exports.formats import ExportFormat
    from napari_nunext.store.exports.training import WhichAnswers

TRAINING = "training"
"""The format that is a folder to learn from, beside those of `store.exports.formats`."""
SNAPSHOT = "snapshot"
"""The format that is a picture of each image, for which its pixels are read."""


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
    format_: str,
    *,
    image_folders: Sequence[Path] = (),
    even_if_broken: bool = False,
    flavour: Flavour | None = None,
    answers: WhichAnswers = "checked",
) -> Written:
    """Export a project, which may be open in a window meanwhile.

    Parameters
    ----------
    path : Path
        The project's file.
    out_dir : Path
        For `TRAINING` the export itself; else the folder that the files are written into: one for
        each image, or one for all.
    format_ : str
        `TRAINING`, `SNAPSHOT`, or the name of one of `store.exports.formats.export_formats`.
    image_folders : sequence of Path
        Where the images lie, if they were moved since they were reviewed.
    even_if_broken : bool
        Whether to export what stands in a journal that does not verify.
    flavour : {"trl", "ms-swift", "llama-factory"}, optional
        With `TRAINING`: also write the files as another trainer reads them.
    answers : {"checked", "all", "none"}
        With `TRAINING`: whether answers to questions go along; their words may name people.

    Raises
    ------
    NunextError
        If the project cannot be read, its journal does not verify, there is nothing to export, or
        it cannot be written; and where training data is to be made of an image that is not found
        or has other pixels.
    """
    wanted = None if format_ in (TRAINING, SNAPSHOT) else export_format(format_)
    if flavour is not None and format_ != TRAINING:
        raise InputError(f"--flavour is a form of training data; leave it out with {format_}.")
    if answers != "checked" and format_ != TRAINING:
        raise InputError(f"--answers is for training data; leave it out with {format_}.")
    with Project.open(path, annotator=reader_name(), mode="r", create=False) as project:
        if not even_if_broken:
            _check_is_sound(project)
        finder = ImageFinder(image_folders, beside=path.parent)
        if format_ == TRAINING:
            manifest = _export_training(project, out_dir, finder, flavour, answers)
            counts = ", ".join(f"{what} {n}" for what, n in manifest.counts.items())
            alike = unmerged_words(c["name"] for c in manifest.categories)
            notes = (alike, FREE_TEXT if manifest.counts.get("answers") else "")
            return Written(f"{out_dir}: {counts}", notes=tuple(filter(None, notes)))
        if not project.images():
            raise RecordError(f"{path.name} has no image yet. Open one in napari first.")
        if wanted is None:
            return _export_snapshots(project, out_dir, finder)
        return _export_labels(project, out_dir, wanted, finder)


def _export_training(
    project: Project,
    out_dir: Path,
    finder: ImageFinder,
    flavour: Flavour | None,
    answers: WhichAnswers,
) -> Manifest:
    try:
        return export_training(
            project, out_dir, images=finder.find, flavour=flavour, answers=answers
        )
    except FreeTextError as error:
        raise FreeTextError(
            f"{error} --answers all exports them as they are, --answers none leaves them out."
        ) from error


def _export_labels(
    project: Project, out_dir: Path, format_: ExportFormat, finder: ImageFinder
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
    categories = project.categories()
    used = dict.fromkeys(c.name for c in categories)
    cut_offs = format_.cut_offs(project.journal_of_project())
    left_out: list[str] = []
    for name, of_file in _files(kept, format_):
        images = []
        for entry in of_file:
            path = looked.found.get(entry.sha256)
            source = None if path is None or cut_offs is None else open_image(path)
            images.append(image_nuclei(entry, project.state(entry.sha256), source, cut_offs))
            if cut_offs is not None and path is None:
                left_out.append(f"no densities of {entry.name}, which is not found (--images DIR)")
        left_out.append(write_nuclei(format_, out_dir / name, images, categories))
        used |= dict.fromkeys(name for image in images for name in categories_in(image.nuclei))
    words = f"{out_dir}: nuclei of {len(kept)} images"
    if looked.missing:
        words += f", {len(looked.missing)} of them not found and so not checked (--images DIR)"
    words = "; ".join((words, *dict.fromkeys(filter(None, left_out))))
    if wrong:
        words += f"; {len(wrong)} left out, whose files hold other pixels"
    alike = unmerged_words(used)
    return Written(words, wrong, (alike,) if alike else ())


def _export_snapshots(project: Project, out_dir: Path, finder: ImageFinder) -> Written:
    """Write a picture of each image that is found; the others are said."""
    entries = project.images()
    out_dir.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    for name, entry in _names(entries, ".snapshot.png"):
        try:
            source = finder.find(entry)
        except (ImageError, OSError) as error:
            problems.append(str(error))
            continue
        image = image_nuclei(entry, project.state(entry.sha256))
        write_snapshot(out_dir / name, source, image, project.categories())
    written = len(entries) - len(problems)
    if not written:
        raise ImageMissingError(f"{problems[0]} No picture was written.")
    return Written(f"{out_dir}: {counted(written, 'picture')}", tuple(problems))


def _check_is_sound(project: Project) -> None:
    try:
        if project.lost_log:
            raise StoreError(lost_log_words(project.path.name))
        project.verify()
    except StoreError as error:
        raise StoreError(
            f"{error} Nothing was exported; --even-if-broken exports what there is."
        ) from error


def _files(
    entries: Sequence[ImageEntry], format_: ExportFormat
) -> list[tuple[str, Sequence[ImageEntry]]]:
    """Name of each file to write, and the images that go into it."""
    if format_.one_file:
        return [(format_.one_file, entries)]
    return [(name, [entry]) for name, entry in _names(entries, format_.suffix)]


def _names(entries: Sequence[ImageEntry], suffix: str) -> list[tuple[str, ImageEntry]]:
    """Name of a file for each image.

    Where names of images clash, the pixels' hash tells their files apart.
    """
    stems = [image_stem(Path(entry.name)) for entry in entries]
    uses = Counter(stem.casefold() for stem in stems)
    return [
        (f"{stem}{'' if uses[stem.casefold()] == 1 else f'-{e.sha256[:8]}'}{suffix}", e)
        for e, stem in zip(entries, stems, strict=True)
    ]


def reader_name() -> str:
    """Reading needs a name, but writes it nowhere."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container's user may have no name
        return "export"
