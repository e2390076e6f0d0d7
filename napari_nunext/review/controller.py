"""The review controller: what a panel, a key or a script can ask for.

Every method is called on the main thread and returns at once. Slow work (reading, hashing, upload,
search, saving, export) happens elsewhere; its results arrive through ``on_main`` and show up in
`ReviewModel`, which the panels watch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

from psygnal import Signal

from napari_nunext.core.errors import StoreError
from napari_nunext.images import find_images
from napari_nunext.review import editing
from napari_nunext.review.background import in_words
from napari_nunext.review.categories import CategoryEditor
from napari_nunext.review.deciding import Decider
from napari_nunext.review.fields import load_field, queue_items
from napari_nunext.review.finding import Finder
from napari_nunext.review.history import History, Rewinder
from napari_nunext.review.improving import Improver
from napari_nunext.review.model import Notice, QueueItem
from napari_nunext.review.outlining import Outliner
from napari_nunext.review.scaling import Scaler
from napari_nunext.review.session import Session
from napari_nunext.review.training import Trainer
from napari_nunext.store import events
from napari_nunext.store.exports.geojson import write_geojson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.background import OnMain
    from napari_nunext.review.fields import LoadedField
    from napari_nunext.review.model import ReviewModel, Tool
    from napari_nunext.review.servers import ModelServer
    from napari_nunext.store import Event, FieldState, Project

    Found: TypeAlias = tuple[Project, tuple[QueueItem, ...], Path, History]
    """The project, what is new in the queue, the image that is meant, and what was done before."""

REACH_UM = 2.0
"""From a nucleus' point: where a click means it that has no outline."""
EXPORT_ALL_THE_SAME = "Export all the same"
DEFAULT_MPP = 0.5
"""Assumed where neither the file nor the user says otherwise: a 20x objective."""


class ReviewController:
    """Open, find, correct, accept, export, train.

    Parameters
    ----------
    open_project : callable
        Opens the review project when the first images are known; called in the background.
    server : ModelServer
        Where the model runs.
    executor : Executor
        Does the slow work.
    on_main : OnMain
        Runs a function on the main thread.
    models_dir : Path
        Where new models go.
    default_mpp : float
        Scale of images that have none, marked as assumed.
    mpp : float, optional
        Scale that the user gave for this session; it prevails over the files'.
    writer_executor : Executor, optional
        Runs the writes to the project; a thread of its own by default.
    make_trainer : callable, optional
        Makes what runs a training.
    """

    focus_requested = Signal(float, float)
    """Look at this place: x, y, level-0 px."""

    def __init__(
        self,
        open_project: Callable[[Sequence[Path]], Project],
        server: ModelServer,
        executor: Executor,
        on_main: OnMain,
        *,
        models_dir: Path,
        default_mpp: float = DEFAULT_MPP,
        mpp: float | None = None,
        writer_executor: Executor | None = None,
        make_trainer: Callable[[], Trainer] = Trainer,
    ) -> None:
        self._open_project = open_project
        self._server = server
        self._default_mpp = default_mpp
        self._mpp = mpp
        self.session = Session(executor, on_main, writer=writer_executor)
        self.finder = Finder(self.session, server)
        self.scaler = Scaler(self.session, self.finder)
        self.categories = CategoryEditor(self.session)
        self.outliner = Outliner(self.session, server)
        self.improver = Improver(self.session, self.finder, models_dir, make_trainer)
        self.decider = Decider(self.session, self.finder, self.go_next)
        self.rewinder = Rewinder(self.session, self._open_image)
        self._opening = 0
        self._closed = False
        self._passed: Notice | None = None
        """What to say of an image that was passed, once the next one is shown."""

    @property
    def model(self) -> ReviewModel:
        """What the panels draw."""
        return self.session.model

    # Opening

    def open_paths(self, paths: Sequence[Path], *, joining: bool = False) -> None:
        """Open images and folders of images; they are added to the queue.

        Parameters
        ----------
        paths : sequence of Path
        joining : bool
            Whether images that lie beside a project of their own join the open one all the same;
            without it that is asked first.
        """
        other = None if joining or not self.session.has_project else self._own_project(paths)
        if other is not None:
            name = self.session.project.path
            self.session.notify(
                Notice(
                    f"{other} is another project, with a review of these images. Nothing was "
                    f"opened. Close this window and open {other.parent.name} to go on there, or "
                    f"review them anew in {name}.",
                    "warning",
                    "Review them anew here",
                    lambda: self.open_paths(paths, joining=True),
                )
            )
            return
        queue = self.model.queue

        def look() -> Found:
            found = find_images(paths)
            new = [p for p in found if p not in {i.path for i in queue.items}]
            project = self.session.project if self.session.has_project else self._open_project(new)
            return project, queue_items(project, new), found[0], History(project.gestures())

        self.model.loading = paths[0].name if paths else ""
        self.session.background.run(look, self._take_queue, self._not_opened)

    def _own_project(self, paths: Sequence[Path]) -> Path | None:
        """A project, other than the open one, that lies beside these images."""
        for folder in {path if path.is_dir() else path.parent for path in paths}:
            for found in sorted(folder.glob("*.nunext")):
                if found.resolve() != self.session.project.path.resolve():
                    return found
        return None

    def _take_queue(self, found: Found) -> None:
        project, new, first, history = found
        if not self.session.has_project:
            self.session.set_project(project)
            self.session.history = history
            self.session.soundness.look()
        queue = self.model.queue
        self.model.loading = ""
        self.model.queue = replace(queue, items=(*queue.items, *new))
        if new:
            self.go_to(len(queue.items), passing=1)
        else:  # all are in the queue: the first one is meant
            self.go_to([item.path for item in queue.items].index(first))

    def _not_opened(self, error: BaseException) -> None:
        self.model.loading = ""
        self.session.notify(in_words(error))

    def go_to(self, index: int, *, passing: int = 0) -> None:
        """Open an image of the queue; the latest wish counts.

        Parameters
        ----------
        index : int
            Position in the queue.
        passing : {0, 1, -1}
            Which way to go on from an image that cannot be read; 0 to stay.
        """
        path = self.model.queue.items[index].path
        self._opening += 1
        wish = self._opening
        known = self.session.known_field(path)
        if known is not None:
            self._show(wish, index, known)
            return
        self.model.loading = path.name
        session = self.session
        session.background.run(
            lambda: load_field(
                session.project,
                session.writer,
                path,
                mpp=self._mpp,
                default_mpp=self._default_mpp,
            ),
            lambda loaded: self._show(wish, index, loaded),
            lambda error: self._unreadable(wish, index, error, passing),
        )

    def go_next(self) -> None:
        """Open the next image, if there is one."""
        self._step(1)

    def go_previous(self) -> None:
        """Open the previous image, if there is one."""
        self._step(-1)

    def _step(self, step: int) -> None:
        wanted = self.model.queue.neighbour(step)
        if wanted is not None:
            self.go_to(wanted, passing=step)

    def _show(self, wish: int, index: int, loaded: LoadedField) -> None:
        if wish != self._opening:
            self.session.keep_field(self.model.queue.items[index].path, loaded)
            self.rewinder.resume()
            return
        self.model.loading = ""
        passed, self._passed = self._passed, None
        notes = " ".join(loaded.field.notes)
        untold = self.session.soundness.untold()
        self.model.notice = untold or passed or (Notice(notes) if notes else None)
        self.model.queue = replace(self.model.queue, index=index)
        self.model.region = None
        self.session.take_field(self.model.queue.items[index].path, loaded)
        self.scaler.mention()
        self.rewinder.resume()

    def _open_image(self, sha256: str) -> None:
        """Open the image of the queue with this content."""
        self.go_to([item.sha256 for item in self.model.queue.items].index(sha256))

    def _unreadable(self, wish: int, index: int, error: BaseException, passing: int) -> None:
        """Mark an image that cannot be read, and go past it, so that it blocks no other."""
        notice = in_words(error)
        is_bad = not isinstance(error, StoreError)
        if is_bad:
            queue = self.model.queue
            bad = replace(queue.items[index], status="unreadable", problem=notice.words)
            items = (*queue.items[:index], bad, *queue.items[index + 1 :])
            self.model.queue = replace(queue, items=items)
        self.rewinder.give_up()
        if wish != self._opening:
            return
        self.model.loading = ""
        self._passed = None
        self.session.notify(notice)
        onwards = self.model.queue.neighbour(passing, of=index) if is_bad and passing else None
        if onwards is not None:
            self._passed = replace(notice, words=f"Passed: {notice.words}", level="warning")
            self.go_to(onwards, passing=passing)

    def set_scale(self, mpp: float, *, for_all: bool = False) -> None:
        """Give the open image its micrometres per pixel, or all images without one of their own."""
        self.scaler.set(mpp, for_all=for_all)

    # Finding

    def find_nuclei(self, region: Box | None = None) -> None:
        """Search the region, or all of the open image."""
        field = self.model.open_field
        if field is not None:
            box = field.box if region is None else region.clipped_to(field.box)
            self.scaler.before_search(lambda: self.finder.find(box))

    def stop(self) -> None:
        """Stop the search; what was found stays."""
        self.finder.stop()

    # Correcting

    def _commit(self, make: Callable[[FieldState, str], Iterable[Event]]) -> None:
        field, state = self.model.open_field, self.model.state
        if field is not None and state is not None:
            gesture = tuple(make(state, field.entry.sha256))
            self.session.commit(field.entry.sha256, gesture)
            self.outliner.follow(gesture)

    def add_nucleus(self, x_px: float, y_px: float) -> UUID:
        """Place a nucleus of the current category; returns its identity."""
        uid, category = uuid4(), self.model.current_category
        self._commit(lambda _, sha256: [events.add(sha256, x_px, y_px, category, uid=uid)])
        return uid

    def move_nuclei(self, places_xy: Mapping[UUID, tuple[float, float]]) -> None:
        """Move nuclei to places, as one gesture."""
        self._commit(lambda state, sha256: editing.moved(state, sha256, places_xy))

    def delete_nuclei(self, uids: Iterable[UUID]) -> None:
        """Delete nuclei, as one gesture."""
        self._commit(lambda state, sha256: editing.deleted(state, sha256, uids))

    def relabel_nuclei(self, uids: Iterable[UUID], category: str) -> None:
        """Give nuclei a category, as one gesture."""
        self._commit(lambda state, sha256: editing.relabelled(state, sha256, uids, category))

    def correct_outline(self, x_px: float, y_px: float, *, inside: bool) -> None:
        """Say of a place that it belongs to the selected nucleus, or that it does not.

        Where another nucleus lies there, that one is selected instead: it is meant next.
        """
        field, state = self.model.open_field, self.model.state
        if field is None or state is None:
            return
        chosen = self.model.only_selected
        reach_px = REACH_UM / field.entry.mpp
        there = editing.nucleus_at(state, x_px, y_px, reach_px) if inside else None
        if there is not None and there != chosen:
            self.model.selected = frozenset({there})
        elif chosen is not None:
            self.outliner.refine(chosen, x_px, y_px, inside=inside)
        else:
            self.session.notify(Notice("Click on a nucleus first, then correct its outline."))

    def undo(self) -> None:
        """Take back what was done last, wherever in the project, and go there."""
        self.rewinder.undo()

    def redo(self) -> None:
        """Bring again what was undone last, and go there."""
        self.rewinder.redo()

    # Categories and selection

    def choose_category(self, name: str) -> None:
        """Category of new nuclei, and of the selected ones at once."""
        self.model.current_category = name
        if self.model.selected:
            self.relabel_nuclei(self.model.selected, name)

    def add_category(self, name: str) -> None:
        """A further category, in a colour of its own."""
        self.categories.add(name)

    def show_category(self, name: str, shown: bool) -> None:
        """Show or hide the nuclei of a category."""
        hidden = self.model.hidden_categories
        self.model.hidden_categories = hidden - {name} if shown else hidden | {name}

    def select(self, uids: Iterable[UUID]) -> None:
        """Select nuclei of the open image."""
        self.model.selected = frozenset(uids)

    def choose_tool(self, tool: Tool) -> None:
        """What the mouse does on the image."""
        self.model.tool = tool

    def toggle_tool(self, tool: Tool) -> None:
        """The same, and back to moving the view when it is chosen again."""
        self.model.tool = "look" if self.model.tool == tool else tool

    def set_sure_above(self, confidence: float) -> None:
        """Confidence from which a nucleus counts as sure."""
        self.model.sure_above = confidence

    def next_unsure(self, step: int = 1) -> None:
        """Select and look at the next unsure nucleus; -1 for the previous one."""
        state = self.model.state
        if state is None:
            return
        uid = editing.neighbour_in_order(
            state, self.model.sure_above, self.model.only_selected, step
        )
        if uid is None:
            self.session.notify(Notice("No unsure nuclei are left in this field."))
            return
        self.model.selected = frozenset({uid})
        nucleus = state.nuclei[uid].nucleus
        self.focus_requested.emit(nucleus.x_px, nucleus.y_px)

    def set_region(self, region: Box | None) -> None:
        """The region the user has drawn."""
        self.model.region = region

    def set_outlines(self, wanted: bool) -> None:
        """Whether outlines are shown, and asked for when nuclei are searched."""
        self.model.outlines = wanted

    def set_points(self, shown: bool) -> None:
        """Whether the nuclei's points are shown."""
        self.model.points = shown

    def set_opacity(self, opacity: float) -> None:
        """Opacity of points and outlines, from 0 to 1."""
        self.model.opacity = opacity

    # Deciding

    def accept_field(self) -> None:
        """Say that every nucleus in view is marked, and go on to the next image."""
        self.decider.accept()

    def reopen_field(self) -> None:
        """Take the acceptance of the open image back."""
        self.decider.reopen()

    def flag_field(self) -> None:
        """Mark the open image for a second look, or take the mark away."""
        self._commit(lambda state, sha256: [events.flag_field(sha256, not state.flagged)])

    def comment(self, text: str, uid: UUID | None = None) -> None:
        """Say something about the open image, or about a nucleus of it."""
        if text.strip():
            self._commit(lambda _, sha256: [events.comment(sha256, text.strip(), uid)])

    # Keeping

    def export_geojson(self, path: Path) -> None:
        """Write the nuclei of the open image as QuPath reads them."""
        state, categories = self.model.state, self.model.categories
        if state is None:
            return
        nuclei = tuple(state.nuclei.values())

        def export() -> None:
            self.session.background.run(
                lambda: write_geojson(path, nuclei, categories=categories, masks=True),
                lambda _: self.session.notify(Notice(f"Exported to {path}.")),
            )

        self.session.soundness.before(export, EXPORT_ALL_THE_SAME)

    def export_training(self, folder: Path) -> None:
        """Write what is complete as training data."""
        if self.session.has_project:
            self.session.soundness.before(lambda: self.improver.export(folder), EXPORT_ALL_THE_SAME)

    def retry_save(self) -> None:
        """Try to save again, now."""
        self.session.writer.retry()

    def close(self, timeout_s: float = 10.0) -> bool:
        """End the review: wait for what is being saved, and let go of the server.

        Returns
        -------
        bool
            False when something could not be saved in time.
        """
        if self._closed:
            return True
        self._closed = True
        self.finder.stop()
        self.improver.stop()
        saved = self.session.writer.close(timeout_s)
        self._server.stop()
        if self.session.has_project:
            self.session.project.close()
        return saved
