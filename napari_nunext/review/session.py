"""What the parts of the controller share: the model, the project, its writer and the states."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.review.background import Background
from napari_nunext.review.fields import status_of
from napari_nunext.review.model import Notice, ReviewModel, SaveStatus
from napari_nunext.review.writer import JournalWriter
from napari_nunext.store import events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from napari_nunext.core.nuclei import Category
    from napari_nunext.review.background import OnMain
    from napari_nunext.review.fields import LoadedField
    from napari_nunext.store import Event, FieldState, ImageEntry, Project


class NoProjectError(RuntimeError):
    """The project was asked for before an image was opened: a mistake of ours."""


class Session:
    """The review in memory. Everything but the writer's thread happens on the main thread.

    The state of every image that was opened stays here, ahead of the disk by the writes that are
    under way: coming back to an image shows what was done, saved or not.
    """

    truth_changed = Signal()
    """What people accepted, or flagged, is no longer what it was: what is learnt from changes."""

    def __init__(self, executor: Executor, on_main: OnMain, *, writer: Executor | None = None):
        self.model = ReviewModel()
        self.background = Background(executor, on_main, self.notify)
        self.writer = JournalWriter(self._post_save_status, executor=writer, on_rest=self._rest)
        self._project: Project | None = None
        self._fields: dict[Path, LoadedField] = {}
        self._states: dict[str, FieldState] = {}

    # The project

    @property
    def has_project(self) -> bool:
        """Whether an image was opened yet."""
        return self._project is not None

    @property
    def project(self) -> Project:
        """The open project."""
        if self._project is None:
            raise NoProjectError("There is no project before an image is open.")
        return self._project

    def set_project(self, project: Project) -> None:
        """Take the project and its categories."""
        self._project = project
        self.model.project = project.path
        self.model.categories = project.categories() or default_categories([UNCATEGORISED])
        self.model.current_category = self.model.categories[0].name

    def _rest(self) -> None:
        """Make the one file whole, in the writer's thread, once nobody has written for a while."""
        project = self._project
        if project is not None:
            project.checkpoint()

    # Words

    def notify(self, notice: Notice) -> None:
        """Show one sentence."""
        self.model.notice = notice

    def _post_save_status(self, status: SaveStatus) -> None:
        self.background.on_main(lambda: self._show_save_status(status))

    def _show_save_status(self, status: SaveStatus) -> None:
        self.model.save = status

    # States

    def known_field(self, path: Path) -> LoadedField | None:
        """An image that was opened before."""
        return self._fields.get(path)

    def take_field(self, path: Path, loaded: LoadedField) -> None:
        """Make an image that was read the one under review."""
        sha256 = loaded.field.entry.sha256
        self._fields[path] = loaded
        self._states.setdefault(sha256, loaded.state)
        self.model.selected = frozenset()
        self.model.open_field = loaded.field
        self.show_state(sha256, self._states[sha256])

    def rescale(self, mpp: float, is_meant: Callable[[ImageEntry], bool]) -> None:
        """Give images that were opened another scale, from the user."""
        for path, known in self._fields.items():
            entry = known.field.entry
            if is_meant(entry):
                self._fields[path] = replace(
                    known,
                    field=replace(known.field, entry=replace(entry, mpp=mpp, mpp_source="user")),
                )
        field = self.model.open_field
        if field is not None and is_meant(field.entry):
            entry = replace(field.entry, mpp=mpp, mpp_source="user")
            self.model.open_field = replace(field, entry=entry)

    def state_of(self, sha256: str) -> FieldState:
        """The state of an image that was opened."""
        return self._states[sha256]

    def show_state(self, sha256: str, state: FieldState) -> None:
        """Put a new state in the place of the old one."""
        self._states[sha256] = state
        self._update_queue(sha256, state)
        field = self.model.open_field
        if field is None or field.entry.sha256 != sha256:
            return
        self.model.state = state
        self.model.selected = self.model.selected & state.nuclei.keys()
        annotator = self.project.annotator
        self.model.undo_steps = state.undo_steps(annotator)
        self.model.can_redo = state.can_redo(annotator)

    def _update_queue(self, sha256: str, state: FieldState) -> None:
        paths = {p for p, known in self._fields.items() if known.field.entry.sha256 == sha256}
        status = status_of(state)
        items = tuple(
            replace(item, status=status) if item.path in paths else item
            for item in self.model.queue.items
        )
        self.model.queue = replace(self.model.queue, items=items)

    # Events

    def commit(self, sha256: str, new: Sequence[Event]) -> None:
        """Show what events of this person do, and hand them to the writer."""
        if not new:
            return
        stamped, old = self.project.stamp(new), self._states[sha256]
        state = old.apply(*stamped)
        self.show_state(sha256, state)
        self.writer.submit(partial(self.project.append, stamped))
        if (state.acceptances, state.flagged) != (old.acceptances, old.flagged):
            self.truth_changed.emit()

    def set_categories(self, categories: tuple[Category, ...]) -> None:
        """Replace the project's categories."""
        self.model.categories = categories
        if self.model.current_category not in {category.name for category in categories}:
            self.model.current_category = categories[0].name
        stamped = self.project.stamp([events.set_categories(categories)])
        self.writer.submit(partial(self.project.append, stamped))
