"""A search that was broken off, by whatever: whether the open image has one, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.finding.earlier import can_go_on
from napari_nunext.review.shown.find import PausedSearch

if TYPE_CHECKING:
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.find import FindModel
    from napari_nunext.store import FieldState, Run
    from napari_nunext.store.state.folding import Base


def paused_run(state: FieldState | None) -> Run | None:
    """The latest run in use that was broken off and can go on.

    None where all of its region was searched again since.
    """
    if state is None:
        return None
    later: list[Base] = []
    for base in reversed(state.bases):
        run = state.runs[base.run_id]
        if can_go_on(run):
            covered = any(each.searches(base.region) for each in later)
            return None if covered else run
        later.append(base)
    return None


class PauseWatch:
    """Keeps `FindModel.paused_search` as the open image has it.

    Parameters
    ----------
    session : Session
    find : FindModel
    """

    def __init__(self, session: Session, find: FindModel) -> None:
        self._session = session
        self._review = session.model
        self._find = find
        self._done: dict[str, int | None] = {}
        """By run, how many windows are done; None while that is being read."""
        self._review.events.state.connect(self.look)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._done.clear()

    def learn(self, run_id: str, windows_done: int) -> None:
        """A search has ended so far."""
        self._done[run_id] = windows_done

    def look(self) -> None:
        """Follow the state of the open image."""
        run = paused_run(self._review.state)
        if run is None:
            self._find.paused_search = None
            return
        if run.run_id not in self._done:
            self._done[run.run_id] = None
            self._count(run.run_id)
        done = self._done[run.run_id]
        windows = run.info.extra["windows"]
        self._find.paused_search = None if done is None else PausedSearch(run.run_id, done, windows)

    def _count(self, run_id: str) -> None:
        project = self._session.project

        def take(done: int) -> None:
            self._done[run_id] = done
            self.look()

        self._session.background.run(lambda: len(project.windows_done(run_id)), take)
