"""Review projects as a person meets them: the one beside some images, and one that is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import NunextError
from napari_nunext.images import find_images
from napari_nunext.images.formats import lies_at
from napari_nunext.images.identified import look_for
from napari_nunext.places import PROJECT_SUFFIX
from napari_nunext.review.fields import queue_items, status_in
from napari_nunext.review.history import History
from napari_nunext.review.shown.images import QueueItem
from napari_nunext.store import Project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_nunext.images import ImageFinder
    from napari_nunext.images.identified import Whereabouts
    from napari_nunext.store import ImageEntry


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A project that lies beside images, as far as it can be read."""

    path: Path
    images: int = 0
    reviewed: int = 0
    """Images in which something was found or done."""
    accepted: int = 0
    """Images that are accepted as they stand."""
    problem: str = ""
    """Why it cannot be read, in a sentence."""

    @property
    def words(self) -> str:
        """What it holds, in a sentence."""
        name = shown_project(self.path)
        if self.problem:
            return f"These images have a project, {name}, that cannot be opened: {self.problem}"
        held = f"{self.images} image{'' if self.images == 1 else 's'}"
        return (
            f"These images have a project of their own, {name}: {held}, {self.reviewed} reviewed, "
            f"{self.accepted} accepted."
        )


def shown_project(path: Path) -> str:
    """What a project is called on the screen: most have the same file name in another folder."""
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


def project_beside(paths: Sequence[Path], current: Path | None = None) -> Neighbour | None:
    """The project that lies beside images, where the open one does not; the fullest of several.

    What lies beside the open project is a copy of it. Not for the main thread: projects are read.
    """
    is_list = [path.is_dir() and not lies_at(path) for path in paths]
    folders = dict.fromkeys(
        (path if listed else path.parent).resolve()
        for path, listed in zip(paths, is_list, strict=True)
    )
    if current is not None:
        folders.pop(current.resolve().parent, None)
    lying = [file for folder in folders for file in sorted(folder.glob(f"*{PROJECT_SUFFIX}"))]
    found = [_look_into(file) for file in lying]
    return max(found, key=lambda n: (not n.problem, n.images), default=None)


def _look_into(path: Path) -> Neighbour:
    try:
        with Project.open(path, annotator="reader", mode="r", create=False) as project:
            entries = project.images()
            statuses = [status_in(project, entry.sha256) for entry in entries]
            touched = [bool(project.journal(entry.sha256)) for entry in entries]
    except NunextError as error:
        return Neighbour(path, problem=str(error))
    return Neighbour(path, len(entries), sum(touched), statuses.count("done"))


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A project that was opened, and what is shown of it."""

    project: Project
    items: tuple[QueueItem, ...]
    first: int | None
    """Position of the image to show; None where none can be shown."""
    history: History
    looked: Whereabouts
    """What became of the images that were looked for."""


def arrival(
    project: Project, finder: ImageFinder, *, images: Sequence[Path] = (), look_at_all: bool = False
) -> Arrival:
    """All images of a project, where they lie now, and further ones.

    Parameters
    ----------
    project : Project
    finder : ImageFinder
        Where to look for images that are not where they were last opened.
    images : sequence of Path
        Files and folders of images: the first of them is shown, those that the project does not
        know come last.
    look_at_all : bool
        Whether to look for images that seem to be in their place, too, and to check them.
    """
    entries = project.images()
    there = {} if look_at_all else in_their_place(entries)
    looked = look_for([e for e in entries if e.sha256 not in there], finder)
    files = there | looked.found
    problems = looked.missing | looked.different
    known = tuple(_item(project, e, files.get(e.sha256), problems) for e in entries)
    meant = find_images(images) if images else []
    lying = {item.path for item in known}
    items = (*known, *queue_items(project, [path for path in meant if path not in lying]))
    readable = [i for i, item in enumerate(items) if not item.problem]
    wanted = [i for i in readable if meant and items[i].path == meant[0]]
    first = next(iter(wanted or readable), None)
    return Arrival(project, items, first, History(project.gestures()), looked)


def in_their_place(entries: Sequence[ImageEntry]) -> dict[str, Path]:
    """Files of images where they were last opened, unchecked, by the images' identities.

    Where two images had the same place, one after the other, it takes a look to say which is there.
    """
    paths = [Path(entry.path) for entry in entries]
    return {
        entry.sha256: path
        for entry, path in zip(entries, paths, strict=True)
        if paths.count(path) == 1 and lies_at(path)
    }


def _item(
    project: Project, entry: ImageEntry, path: Path | None, problems: Mapping[str, str]
) -> QueueItem:
    if path is None:
        problem = problems[entry.sha256]
        return QueueItem(Path(entry.path), entry.name, "unreadable", problem, entry.sha256)
    return QueueItem(path, path.name, status_in(project, entry.sha256), sha256=entry.sha256)
