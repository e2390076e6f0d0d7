"""The review controller: what a panel, a key or a script can ask for.

Every method is called on the main thread and returns at once. Slow work (reading, hashing, upload,
search, saving, export) happens elsewhere; its results arrive through ``on_main`` and show up in
`ReviewModel`, which the panels watch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from psygnal import Signal

from napari_nunext.core.errors import ImageMissingError
from napari_nunext.images import ImageFinder
from napari_nunext.review.correcting import editing
from napari_nunext.review.correcting.categories import CategoryEditor
from napari_nunext.review.correcting.deciding import Decider
from napari_nunext.review.finding.finding import Finder
from napari_nunext.review.history import Rewinder
from napari_nunext.review.learning.improving import Improver
from napari_nunext.review.learning.training import Trainer
from napari_nunext.review.model import Notice
from napari_nunext.review.opening.locating import Locator
from napari_nunext.review.opening.opening import Opener
from napari_nunext.review.opening.scaling import Scaler
from napari_nunext.review.opening.switching import Switcher
from napari_nunext.review.opening.taking import FileTaker
from napari_nunext.review.outlining.hand import CHOOSE_FIRST, Hand
from napari_nunext.review.outlining.outlining import Outliner
from napari_nunext.review.session import Session
from napari_nunext.store import events
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.formats import write_nuclei

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.background import OnMain
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.model import ReviewModel, Tool
    from napari_nunext.store import Event, FieldState, Project
    from napari_nunext.store.exports.formats import ExportFormat

EXPORT_ALL_THE_SAME = "Export all the same"
DEFAULT_MPP = 0.5
"""Assumed where neither the file nor the user says otherwise: a 20x objective."""


class ReviewController:
    """Open, find, correct, accept, export, train.

    Parameters
    ----------
    open_project : callable
        Opens a review project by its file; called in the background.
    project_of : callable
        The file of the project that images belong to, before any is open; called in the background.
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
        open_project: Callable[[Path], Project],
        project_of: Callable[[Sequence[Path]], Path],
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
        self._server = server
        self.session = Session(executor, on_main, writer=writer_executor)
        self.finder = Finder(self.session, server)
        self.scaler = Scaler(self.session, self.finder)
        self.categories = CategoryEditor(self.session)
        self.outliner = Outliner(self.session, server)
        self.hand = Hand(self.session)
        self.improver = Improver(self.session, self.finder, models_dir, make_trainer)
        self.decider = Decider(self.session, self.finder, self.go_next)
        self.opener = Opener(
            self.session,
            lambda paths: open_project(project_of(paths)),
            mpp=mpp,
            default_mpp=default_mpp,
        )
        self.locator = Locator(self.session, self.opener)
        self.switcher = Switcher(
            self.session, self.opener, self.locator, self.finder, self.improver, open_project
        )
        self.rewinder = Rewinder(self.session, self.opener.go_to_image)
        self.taker = FileTaker(self.session, self.finder, self.opener)
        self.opener.shown.connect(self.scaler.mention)
        self.opener.read.connect(self.rewinder.resume)
        self.opener.not_read.connect(self.rewinder.not_read)
        self._closed = False

    @property
    def model(self) -> ReviewModel:
        """What the panels draw."""
        return self.session.model

    # Opening

    def open_paths(self, paths: Sequence[Path]) -> None:
        """Open images and folders of images, or a project; take files of nuclei in."""
        nuclei = self.taker.for_import(paths)
        images = [path for path in paths if path not in nuclei]
        if images or not nuclei:
            self.switcher.open_paths(images)
        if nuclei:
            self.import_nuclei(nuclei)

    def import_nuclei(self, paths: Sequence[Path]) -> None:
        """Take files of nuclei into the review; what that would do is proposed first."""
        self.taker.take(paths)

    def go_to(self, index: int) -> None:
        """Open an image of the queue; the latest wish counts."""
        self.opener.go_to(index)

    def go_next(self) -> None:
        """Open the next image, if there is one."""
        self.opener.step(1)

    def go_previous(self) -> None:
        """Open the previous image, if there is one."""
        self.opener.step(-1)

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

    def pause(self) -> None:
        """Stop the search so that it can go on."""
        self.finder.pause()

    def go_on(self) -> None:
        """Go on with the search of the open image that was paused, or broken off by a crash."""
        self.finder.go_on()

    def stop(self) -> None:
        """Stop the search, or give up the paused one; what was found stays."""
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
        if inside and self.hand.selects(x_px, y_px):
            return
        chosen = self.model.only_selected
        if chosen is not None:
            self.outliner.refine(chosen, x_px, y_px, inside=inside)
        else:
            self.session.notify(Notice(CHOOSE_FIRST))

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

    def export_nuclei(self, path: Path, format_: ExportFormat) -> None:
        """Write the nuclei of the open image for other programs; not where its file is another.

        They are put on the image by its name, and the file of that name may have been replaced.
        """
        field, state, categories = self.model.open_field, self.model.state, self.model.categories
        if field is None or state is None:
            return
        image = ImageNuclei(field.entry, tuple(state.nuclei.values()))
        finder = ImageFinder(beside=self.session.project.path.parent)

        def write() -> str:
            try:
                finder.find(image.entry)
                unchecked = ""
            except ImageMissingError:
                unchecked = f" {image.entry.name} is not found any more, so it was not checked."
            left_out = write_nuclei(format_, path, [image], categories)
            return f"Exported to {path}{left_out and f'; {left_out}'}.{unchecked}"

        def export() -> None:
            self.session.background.run(write, lambda words: self.session.notify(Notice(words)))

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
        self.finder.pause()
        self.improver.stop()
        self.switcher.close()
        saved = self.session.writer.close(timeout_s)
        self._server.stop()
        if self.session.has_project:
            self.session.project.close()
        return saved
