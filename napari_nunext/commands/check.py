"""Checking and copying a review project from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.commands.export import reader_name
from napari_nunext.core.errors import StoreError
from napari_nunext.core.sentences import counted
from napari_nunext.images import ImageFinder
from napari_nunext.images.identified import look_for
from napari_nunext.places import check_is_there
from napari_nunext.store import Project
from napari_nunext.store.tables.wholeness import lost_log_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def check_project(
    path: Path, image_folders: Sequence[Path], *, tell: Callable[[str], None]
) -> bool:
    """Whether a project is whole and unchanged, and its images are found and the right ones.

    Parameters
    ----------
    path : Path
        The project's file; it may be open in a window meanwhile.
    image_folders : sequence of Path
        Where the images lie, if they were moved.
    tell : callable
        Told a line about everything that is wrong, and at the end about all of it.

    Raises
    ------
    NunextError
        If there is no such file, or a folder is none.
    """
    finder = ImageFinder(image_folders, beside=path.parent)
    check_is_there(path)
    problems: list[str] = []
    changes = images = answers = 0
    try:
        with Project.open(path, annotator=reader_name(), mode="r", create=False) as project:
            if project.lost_log:
                problems.append(lost_log_words(path.name))
            try:
                changes = project.verify()
            except StoreError as error:
                problems.append(str(error))
            try:
                answers = len(project.answers())
            except StoreError as error:
                problems.append(str(error))
            looked = look_for(project.images(), finder)
            images = len(looked.found)
            problems += [*looked.missing.values(), *looked.different.values()]
    except StoreError as error:
        problems.append(str(error))
    for problem in problems:
        tell(problem)
    if not problems:
        given = f"; {counted(answers, 'answer')} that can be read" if answers else ""
        tell(
            f"{path.name} is whole: {changes} changes, each as it was written; "
            f"{images} images, each found and the one that was reviewed{given}."
        )
    return not problems


def back_up(path: Path, target: Path) -> str:
    """Copy a project, which may be open in a window, into one new file; say what is in it.

    Raises
    ------
    NunextError
        If the project cannot be read, its journal is broken, or `target` exists.
    """
    with Project.open(path, annotator=reader_name(), mode="r", create=False) as project:
        project.backup(target)
    with Project.open(target, annotator=reader_name(), mode="r", create=False) as copy:
        return f"{target}: {copy.verify()} changes, {len(copy.images())} images"
