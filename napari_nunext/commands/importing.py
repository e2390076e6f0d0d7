"""Files of nuclei into a review project, from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from napari_nunext.core.errors import ImageError, InputError, NunextError, RecordError
from napari_nunext.core.formats.export_folder import is_export, read_export
from napari_nunext.core.identity import content_sha256
from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.images import ImageFinder, Tile, open_image
from napari_nunext.images.formats import lies_at
from napari_nunext.images.nuclei.large_labels import is_label_folder
from napari_nunext.images.nuclei_files import (
    SUFFIXES,
    NucleiOfImage,
    images_named,
    nuclei_files,
    read_nuclei,
    source_of,
)
from napari_nunext.places import check_is_there
from napari_nunext.review.colors import in_free_colors
from napari_nunext.review.fields import entry_of
from napari_nunext.store import Project, events
from napari_nunext.store.categories import fold_categories
from napari_nunext.store.imports.export_folder import import_training
from napari_nunext.store.imports.outside import (
    intake,
    take,
    using,
    usual_role,
)
from napari_nunext.store.tables.migrations import copied_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.store import ImageEntry
    from napari_nunext.store.categories import CategoryBook
    from napari_nunext.store.imports.outside import Intake, Role, Taken

As: TypeAlias = 'Role | Literal["usual"]'


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How files are taken in.

    Attributes
    ----------
    image : str
        The image that all files are of: the name of one of the project, or a file, which joins the
        project; empty to go by the names of the files.
    role : {"usual", "corrections", "predictions"}
    source : str
        What wrote the files; empty for what they say themselves.
    image_folders : sequence of Path
        Where the images lie, if they were moved.
    mpp : float or None
        Scale of an image that joins the project.
    absent_deleted : bool
        Whether nuclei that a file lacks were deleted there.
    leave_outside_out : bool
        Take what lies inside the image of a file that reaches beyond it.
    dry_run : bool
        Change nothing.
    """

    image: str = ""
    role: As = "usual"
    source: str = ""
    image_folders: Sequence[Path] = ()
    mpp: float | None = None
    absent_deleted: bool = False
    leave_outside_out: bool = False
    dry_run: bool = False


def import_files(
    path: Path,
    files: Sequence[Path],
    annotator: str,
    options: ImportOptions,
    *,
    tell: Callable[[str], None],
    warn: Callable[[str], None],
) -> int:
    """Take nuclei of files into a project.

    Parameters
    ----------
    path : Path
        The project's file. It is made where `ImportOptions.image` is a file, or an export is taken.
    files : sequence of Path
        Files, folders of them, and folders that an export of training data made: these bring their
        images and answers too.
    annotator : str
        Who says what the corrections are.
    options : ImportOptions
    tell : callable
        Told a line about every image.
    warn : callable
        Told a line about everything that was not taken in.

    Returns
    -------
    int
        How many files, or images of files, were not taken in.

    Raises
    ------
    NunextError
        If the project cannot be written, or no file was given.
    """
    image_file = Path(options.image) if options.image and lies_at(Path(options.image)) else None
    exports = [file for file in files if is_export(file)]
    creates = (image_file is not None or bool(exports)) and not options.dry_run
    if not creates:
        check_is_there(path, ", or begin one with --image FILE")
    failed = 0
    with Project.open(path, annotator=annotator, create=creates) as project:
        if project.copy_of_before is not None:
            tell(copied_words(path, project.copy_of_before))
        importer = _Importer(project, options, image_file, tell)
        for folder in exports:
            try:
                importer.take_export(folder)
            except RecordError as error:
                failed += 1
                warn(f"{error} {folder.name} was not imported.")
        for file in _files([file for file in files if file not in exports], project):
            try:
                parts = importer.read(file)
            except (NunextError, OSError) as error:
                failed += 1
                warn(f"{error} Nothing of {file.name} was imported.")
                continue
            for part in parts:
                try:
                    importer.take(part)
                except NunextError as error:
                    failed += 1
                    warn(f"{error} Nothing of it was imported.")
    return failed


def _files(given: Sequence[Path], project: Project) -> list[Path]:
    images = [Path(entry.path) for entry in project.images()]
    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise InputError(f"{path} does not exist. Check the name.")
        is_folder = path.is_dir() and not is_label_folder(path)
        found += nuclei_files(path, SUFFIXES, images=images).values() if is_folder else [path]
    return found


class _Importer:
    def __init__(
        self,
        project: Project,
        options: ImportOptions,
        image_file: Path | None,
        tell: Callable[[str], None],
    ) -> None:
        self._project = project
        self._options = options
        self._tell = tell
        self._finder = ImageFinder(options.image_folders, beside=project.path.parent)
        self._opened: ImageSource | None = None
        self._chosen = self._chosen_entry(image_file)

    def _chosen_entry(self, image_file: Path | None) -> ImageEntry | None:
        name, images = self._options.image, self._project.images()
        if image_file is not None:
            image = self._opened = open_image(image_file, mpp=self._options.mpp)
            known = next((e for e in images if e.sha256 == image.id), None)
            if known is not None:
                return known
            if image.scale.mpp is None:
                raise InputError(
                    f"{image_file.name} does not say its scale, and is not in the project yet. "
                    "Give the micrometres per pixel, for example --mpp 0.5 (20x)."
                )
            entry = entry_of(image, image_file.absolute(), image.scale.mpp)
            return entry if self._options.dry_run else self._project.add_image(entry)
        if not name:
            return None
        found = [e for e in images if e.name == name or e.sha256 == name]
        found = found or images_named(name, images)
        return _one(found, f"--image {name}")

    def take_export(self, folder: Path) -> None:
        """Take in an export of training data whole."""
        if self._options.dry_run:
            self._tell(
                f"{folder.name}: {read_export(folder).words}. Nothing was written (--dry-run)."
            )
            return
        self._tell(f"{folder.name}: {import_training(self._project, folder).words}.")

    def read(self, file: Path) -> tuple[NucleiOfImage, ...]:
        """What a file holds, image by image."""
        return read_nuclei(file, self._pixels)

    def _entry(self, part: NucleiOfImage) -> ImageEntry:
        if self._chosen is not None:
            return self._chosen
        what = f"{part.path.name}: {part.image}" if part.said else part.path.name
        return _one(images_named(part.image, self._project.images()), what)

    def _pixels(self, stem: str) -> Tile | None:
        """The image that a file of labels is of; None where its file is not found."""
        images = self._project.images()
        found = [self._chosen] if self._chosen else images_named(stem, images)
        if len(found) != 1 or found[0] is None:
            return None
        try:
            image = self._opened or self._finder.find(found[0])
        except (ImageError, OSError):
            return None
        return image if isinstance(image, Tile) else None

    def take(self, part: NucleiOfImage) -> None:
        """Take in what a file holds of an image."""
        options, entry = self._options, self._entry(part)
        given = intake(
            part.nuclei,
            entry,
            source=options.source or source_of(part),
            sha256=content_sha256(part.path),
            size_px=part.size_px,
            name=part.path.name,
            notes=part.notes,
            leave_outside_out=options.leave_outside_out,
        )
        known = any(e.sha256 == entry.sha256 for e in self._project.images())
        state = self._project.state(entry.sha256)
        role = usual_role(state, given) if options.role == "usual" else options.role
        book = fold_categories(self._project.journal_of_project())
        taken = take(state, given, role, named=book.named, absent_deleted=options.absent_deleted)
        changes = bool(taken.events or taken.info)
        if changes and known and not options.dry_run:
            self._write(given, taken, book)
        self._tell(_line(entry, given, role, taken.words, changes, options.dry_run))

    def _write(self, given: Intake, taken: Taken, book: CategoryBook) -> None:
        names = (book.named(n.nucleus.category) for n in given.nuclei)
        added = in_free_colors(names, self._project.categories())
        if added:
            self._project.append([events.learn_categories(added)])
        gesture = taken.events
        if taken.info is not None:
            run_id = self._project.start_run(given.entry.sha256, taken.info)
            self._project.add_predictions(run_id, taken.predictions)
            self._project.finish_run(run_id, "complete")
            gesture = using(given, run_id)
        self._project.append(gesture)


def _one(found: Sequence[ImageEntry], what: str) -> ImageEntry:
    if len(found) != 1:
        raise RecordError(
            f"{what} means {len(found) or 'no'} image{'s' if len(found) > 1 else ''} of the "
            "project; expected one. Name the file as its image, or the image with --image."
        )
    return found[0]


def _line(
    entry: ImageEntry, given: Intake, role: Role, words: str, changes: bool, dry_run: bool
) -> str:
    line = (
        f"{entry.name}: {nuclei_in_words(len(given.nuclei))} of {given.source} as {role}: {words}"
    )
    line += "".join(f"; {note}" for note in given.notes)
    if not changes:
        return f"{line}. Nothing changed."
    return f"{line}. Nothing was written (--dry-run)." if dry_run else f"{line}."
