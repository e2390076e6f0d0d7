"""Whether the project is what was written: looked at when it is opened, and before it is used.

An export or a training made of a journal that somebody changed, or that lost its end, looks like
any other. So both ask here first, and go on only when a person says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.errors import StoreError
from napari_nunext.review.model import Notice
from napari_nunext.store.tables.migrations import copied_words
from napari_nunext.store.tables.wholeness import lost_log_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.session import Session
    from napari_nunext.store import Project


class Soundness:
    """Looks through the journal in the background."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._untold: Notice | None = None
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._untold = None

    def look(self) -> None:
        """Look at a project that was just opened, and say what is wrong with it."""
        project = self._session.project
        self._session.background.run(lambda: at_opening(project), self._tell)

    def untold(self) -> Notice | None:
        """What was found while an image was being opened, once."""
        notice, self._untold = self._untold, None
        return notice

    def before(self, act: Callable[[], None], label: str) -> None:
        """Do something with a sound project; ask first where it is not.

        Parameters
        ----------
        act : callable
            What is to be done, on the main thread.
        label : str
            The button that does it all the same.
        """
        project = self._session.project
        self._session.background.run(
            lambda: _broken(project), lambda problem: self._act_or_ask(problem, act, label)
        )

    def _act_or_ask(self, problem: str, act: Callable[[], None], label: str) -> None:
        if problem:
            self._session.notify(Notice(problem, "error", label, act))
        else:
            act()

    def _tell(self, notice: Notice | None) -> None:
        if notice is None:
            return
        if self._session.images.loading:  # the image that is being opened clears all notices
            self._untold = notice
        else:
            self._session.notify(notice)


def at_opening(project: Project) -> Notice | None:
    """What a person should know of a project that was just opened; None where all is well."""
    problem = lost_log_words(project.path.name) if project.lost_log else _broken(project)
    if problem:
        return Notice(problem, "error")
    if project.copy_of_before is not None:
        return Notice(copied_words(project.path, project.copy_of_before))
    return None


def _broken(project: Project) -> str:
    """What is wrong with the journal, in a sentence; empty where nothing is."""
    try:
        project.verify()
    except StoreError as error:
        return str(error)
    return ""
