"""What the parts of the review share: the model, the project, its writer and the states."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_nunext.core.nuclei import UNCATEGORISED, Category, default_categories
from napari_nunext.core.uids import as_uids
from napari_nunext.review.background import Background
from napari_nunext.review.colors import next_color
from napari_nunext.review.fields import status_of
from napari_nunext.review.history import History
from napari_nunext.review.model import Notice, ReviewModel, SaveStatus
from napari_nunext.review.shown.images import ImagesModel
from napari_nunext.review.table import NucleusTable
from napari_nunext.review.writer import JournalWriter
from napari_nunext.store import events
from napari_nunext.store.categories import CategoryBook, fold_categories
from napari_nunext.store.state.state import for_every_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from pathlib import Path
    from uuid import UUID

    from napari_nunext.review.background import OnMain
    from napari_nunext.review.fields import LoadedField
    from napari_nunext.store import Event, FieldState, ImageEntry, Project


class NoProjectError(RuntimeError):
    """The project was asked for before an image was opened: a mistake of ours."""


class Session:
    """The review in memory. Everything but the writer's thread happens on the main thread.

    The state of every image that was opened stays here, ahead of the disk by the writes that are
    under way: coming back to an image shows what was done, saved or not.

    All but the models and `lasting` belongs to one project, and is begun anew when it is left.
    """

    truth_changed = Signal()
    """What people accepted, or flagged, is no longer what it was: what is learnt from changes."""

    renamed = Signal(dict)
    """Categories are called otherwise, by a renaming, a merge or an undo: the new name by the old.
    Told before the list of categories changes."""

    left = Signal()
    """The project was left: whatever of it is kept elsewhere is to be forgotten now."""

    def __init__(self, executor: Executor, on_main: OnMain, *, writer: Executor | None = None):
        self.model = ReviewModel()
        self.images = ImagesModel()
        """Kept here, for the queue says where each image stands; `Opener` shows it."""
        self._make_background = partial(Background, executor, on_main, self.notify)
        self._writer_executor = writer
        self.lasting = self._make_background()
        """For what does not belong to a project: the server, the samples, opening a project."""
        self._begin()

    def _begin(self) -> None:
        background = self._make_background()
        self.background = background
        self.writer = JournalWriter(
            lambda status: background.on_main(lambda: self._show_save_status(status)),
            executor=self._writer_executor,
            on_rest=self._rest,
        )
        self._project: Project | None = None
        self._fields: dict[Path, LoadedField] = {}
        self._states: dict[str, FieldState] = {}
        self._of_project: tuple[Event, ...] = ()
        """The events about the project as a whole, in the journal's order."""
        self.history = History()
        """What this person did in the project, and can take back."""
        self.book = CategoryBook()
        """The categories, and what became of those that there are no more."""
        self._in_use: dict[str, frozenset[str]] = {}
        """Categories of the nuclei in each image that was shown."""

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

    @property
    def of_project(self) -> tuple[Event, ...]:
        """The events about the project as a whole, in the journal's order."""
        return self._of_project

    def set_project(self, project: Project) -> None:
        """Take the project and its categories."""
        self._project = project
        self.model.project = project.path
        self._of_project = project.journal_of_project()
        self._take_categories()
        self.model.current_category = self.model.categories[0].name

    def leave(self) -> tuple[JournalWriter, Project | None]:
        """Forget the project, on the screen and in memory; what is left of it is to be closed.

        Only when nothing is under way for it (`is_at_rest`).
        """
        left = self.writer, self._project
        self.background.close()
        self._begin()
        self.left.emit()
        self.images.forget_project()
        self.model.forget_project()
        return left

    @property
    def is_at_rest(self) -> bool:
        """Whether all that was done is durable, and nothing is under way in the background."""
        return self.background.is_idle and not self.writer.pending

    def _rest(self) -> None:
        """Make the one file whole, in the writer's thread, once nobody has written for a while."""
        project = self._project
        if project is not None:
            project.checkpoint()

    # Words

    def notify(self, notice: Notice) -> None:
        """Show one sentence."""
        self.model.notice = notice

    def _show_save_status(self, status: SaveStatus) -> None:
        self.model.save = status

    # States

    def known_field(self, path: Path) -> LoadedField | None:
        """An image that was opened before."""
        return self._fields.get(path)

    def keep_field(self, path: Path, loaded: LoadedField) -> None:
        """Keep an image that was read, whether it is shown or not."""
        sha256 = loaded.field.entry.sha256
        self._fields[path] = loaded
        if sha256 not in self._states:
            self._states[sha256] = self._caught_up(loaded.state)

    def take_field(self, path: Path, loaded: LoadedField) -> None:
        """Make an image that was read the one under review."""
        sha256 = loaded.field.entry.sha256
        self.keep_field(path, loaded)
        self.images.open_field = loaded.field
        self.show_state(sha256, self._states[sha256])

    def forget_field(self, path: Path) -> None:
        """Let go of an image that was read and is not shown; it can be read again."""
        known = self._fields.get(path)
        if known is None or self.is_open(known.field.entry.sha256):
            return
        del self._fields[path]
        sha256 = known.field.entry.sha256
        if all(other.field.entry.sha256 != sha256 for other in self._fields.values()):
            del self._states[sha256]

    def mark_unreadable(self, path: Path, problem: str) -> None:
        """Say in the queue that an image cannot be read, and why."""
        queue = self.images.queue
        items = tuple(
            replace(item, status="unreadable", problem=problem) if item.path == path else item
            for item in queue.items
        )
        self.images.queue = replace(queue, items=items)

    def rescale(self, mpp: float, is_meant: Callable[[ImageEntry], bool]) -> None:
        """Give images that were opened another scale, from the user."""
        for path, known in self._fields.items():
            entry = known.field.entry
            if is_meant(entry):
                self._fields[path] = replace(
                    known,
                    field=replace(known.field, entry=replace(entry, mpp=mpp, mpp_source="user")),
                )
        field = self.images.open_field
        if field is not None and is_meant(field.entry):
            entry = replace(field.entry, mpp=mpp, mpp_source="user")
            self.images.open_field = replace(field, entry=entry)

    def state_of(self, sha256: str) -> FieldState:
        """The state of an image that was opened."""
        return self._states[sha256]

    def show_state(self, sha256: str, state: FieldState) -> None:
        """Put a new state in the place of the old one."""
        self._put_state(sha256, state)
        self._show_categories()

    def _put_state(self, sha256: str, state: FieldState) -> None:
        self._states[sha256] = state
        self._update_queue(sha256, state)
        if self.is_open(sha256):
            self.model.state = state
        table = self.model.table if self.is_open(sha256) else NucleusTable.empty().after(state)
        self._in_use[sha256] = frozenset(name for name, count in table.counts().items() if count)
        if not self.is_open(sha256):
            return
        self.show_history()

    def is_known(self, sha256: str) -> bool:
        """Whether an image was read in this session."""
        return sha256 in self._states

    def is_open(self, sha256: str) -> bool:
        """Whether an image is the one under review."""
        field = self.images.open_field
        return field is not None and field.entry.sha256 == sha256

    def reachable(self) -> set[str | None]:
        """The images in which something can be undone: those of the queue; None for all at once."""
        items = self.images.queue.items
        return {None, *(i.sha256 for i in items if i.sha256 and i.status != "unreadable")}

    def show_history(self) -> None:
        """Say how far undo and redo reach."""
        reachable = self.reachable()
        self.model.undo_steps = self.history.steps(reachable)
        self.model.undo_words = self.history.undo_words(reachable)
        self.model.can_redo = self.history.next_redo(reachable) is not None

    def _update_queue(self, sha256: str, state: FieldState) -> None:
        paths = {p for p, known in self._fields.items() if known.field.entry.sha256 == sha256}
        status = status_of(state)
        items = tuple(
            replace(item, status=status, sha256=sha256)
            if item.path in paths and not (item.problem and item.sha256 not in ("", sha256))
            else item
            for item in self.images.queue.items
        )
        self.images.queue = replace(self.images.queue, items=items)

    # Events

    def commit(self, sha256: str, new: Sequence[Event], *, in_history: bool = True) -> None:
        """Show what events of this person do, and hand them to the writer.

        Parameters
        ----------
        sha256 : str
        new : sequence of Event
        in_history : bool
            Whether the next undo takes it back: not what the background did while the person
            was at something else.
        """
        if not new:
            return
        if any(e.kind in ("undo", "redo") and self._is_of_project(e.target) for e in new):
            self.commit_to_project([replace(event, image_sha256=None) for event in new])
            return
        stamped, old = self.project.stamp(new), self._states[sha256]
        self._take(sha256, stamped, old.apply(*stamped), in_history=in_history)

    def commit_made(
        self, sha256: str, stamped: Sequence[Event], before: FieldState, after: FieldState
    ) -> None:
        """The same for a large gesture, whose outcome was made in the background.

        Parameters
        ----------
        sha256 : str
        stamped : sequence of Event
            Edits of one image, by `Project.stamp`.
        before, after : FieldState
            What it was made of, and the outcome; made anew if something happened meanwhile.
        """
        old = self._states[sha256]
        self._take(sha256, stamped, after if old is before else old.apply(*stamped))

    def _take(
        self, sha256: str, stamped: Sequence[Event], state: FieldState, *, in_history: bool = True
    ) -> None:
        old = self._states[sha256]
        if in_history:
            self._follow(stamped)
        self.show_state(sha256, state)
        self._keep_what_is_named(old, stamped)
        self.writer.submit(partial(self.project.append, stamped))
        if (state.acceptances, state.flagged) != (old.acceptances, old.flagged):
            self.truth_changed.emit()

    def _keep_what_is_named(self, state: FieldState, stamped: Sequence[Event]) -> None:
        """Record the predictions that events are about, of windows still being searched, first."""
        for run in [run for run in state.runs.values() if run.status == "running"]:
            uids = as_uids(event.uid for event in stamped if event.uid is not None)
            rows = run.nuclei.rows_of(uids)
            if (rows >= 0).any():
                nuclei = run.nuclei.at(rows[rows >= 0])
                self.writer.submit(partial(self.project.keep_unfinished, run.run_id, nuclei))

    def _follow(self, stamped: Sequence[Event]) -> None:
        for _, gesture in groupby(stamped, key=lambda event: id(event.group)):
            self.history.take(next(gesture))

    def _is_of_project(self, group: UUID) -> bool:
        return any(event.group == group for event in self._of_project)

    def commit_to_project(self, new: Sequence[Event]) -> None:
        """The same for events about the project as a whole, which may change every image."""
        if not new:
            return
        listed = {category.name for category in self.book.categories}
        unlisted = [c for c in self.model.categories if c.name not in listed]
        if unlisted and new[0].is_edit and new[0].kind != "set_categories":
            # What was shown because it is in use, or by default, is what the gesture changes.
            new = [events.learn_categories(unlisted), *new]
        stamped = self.project.stamp(new)
        self._of_project = (*self._of_project, *stamped)
        self._follow(stamped)
        shared = for_every_image(stamped)
        for sha256, state in list(self._states.items()):
            if shared:
                self._put_state(sha256, state.apply(*shared))
        field, now = self.images.open_field, self.model.state
        if shared and field is not None and now is not None:
            # It may be every nucleus that has another name: to accept them is to be no work.
            self.background.run(lambda: now.seen_in(field.box))
        self._take_categories()
        self.writer.submit(partial(self.project.append, stamped))

    def _take_categories(self) -> None:
        before, self.book = self.book, fold_categories(self._of_project)
        shown = [category.name for category in self.model.categories]
        now = {name: before.followed(name, self.book) for name in shown}
        if moved := {name: to for name, to in now.items() if name != to}:
            current = self.model.current_category
            self.model.current_category = moved.get(current, current)
            self.renamed.emit(moved)
        self._show_categories()

    def _show_categories(self) -> None:
        """List the project's categories, and behind them every other one that is in use.

        One comes into use without being listed where a nucleus was placed before a model taught
        its own, or where a model calls nuclei something that it had not announced.
        """
        shown = list(self.book.categories)
        in_use = frozenset().union(*self._in_use.values())
        for name in sorted(in_use - {category.name for category in shown}):
            shown.append(Category(name, next_color([category.color for category in shown])))
        categories = tuple(shown) or default_categories([UNCATEGORISED])
        if categories != self.model.categories:
            self.model.categories = categories
        names = {category.name for category in categories}
        if self.model.current_category not in names:
            self.model.current_category = categories[0].name

    def _caught_up(self, state: FieldState) -> FieldState:
        """A state that was read in the background, with what was done to categories meanwhile."""
        shared = for_every_image(self._of_project)
        known = sum(event.image_sha256 is None for event in state.events)
        return state.apply(*shared[known:]) if known < len(shared) else state
