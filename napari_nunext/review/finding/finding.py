"""Finding nuclei: the model server, the choice of a model, and the run that is under way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.core.naming import only_words
from napari_nunext.core.nuclei import UNCATEGORISED, Category
from napari_nunext.core.shapes.area import Area
from napari_nunext.core.stains.telling import among_in
from napari_nunext.review.background import in_words
from napari_nunext.review.colors import in_free_colors
from napari_nunext.review.finding import looking
from napari_nunext.review.finding.checkup import examine
from napari_nunext.review.finding.pausing import PauseWatch, paused_run
from napari_nunext.review.finding.search import Search, Wanted
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.checks import Check
from napari_nunext.review.shown.find import Checkup, RunStatus, ServerStatus
from napari_nunext.serving.client.found import failed_words
from napari_nunext.store import events
from napari_nunext.store.kinds.regions import regions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.finding.scale_check import ScaleCheck
    from napari_nunext.review.finding.search import SearchNews
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.find import FindModel
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.review.shown.view import ViewModel
    from napari_nunext.serving.protocol import ModelInfo
    from napari_nunext.store import Run
    from napari_nunext.store.entries import RunStatus as RunStatusName

    Ended: TypeAlias = Callable[[Search, RunStatusName, BaseException | None], None]
    """How a search ended, and what broke it off, if anything did."""

MIB = 2**20


class Finder:
    """The part of the review that talks to the model server.

    Parameters
    ----------
    session : Session
    model : FindModel
        What the panels show of it.
    view : ViewModel
        Knows where a person looks, and whether outlines are wanted.
    server : ModelServer
        Where the detectors run.
    scale_check : ScaleCheck
        Asks before an image is searched at a scale that looks like a slip.
    """

    def __init__(
        self,
        session: Session,
        model: FindModel,
        view: ViewModel,
        server: ModelServer,
        scale_check: ScaleCheck,
    ) -> None:
        self._session = session
        self.model = model
        self._view = view
        self._review = session.model
        self._images = session.images
        self._server = server
        self._scale_check = scale_check
        self._search: Search | None = None
        self._ended: Ended | None = None
        """Told how the search ended, in the place of the person."""
        self._wanted_model = ""
        """Chosen as soon as the server offers it; empty where none is."""
        self._pauses = PauseWatch(session, model)
        self._looked_for = looking.LastLookedFor(session, model)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._search = None

    # The server

    def connect(self) -> None:
        """Start or reach the server and ask for its models."""
        self.model.server = ServerStatus("starting", "starting")
        ask = self._server.client
        self._session.lasting.run(lambda: ask().models(), self._take_models, self._server_failed)

    def check(self) -> None:
        """Try the whole way to the model, and show in words what is wrong."""
        if self.model.checkup.phase == "running":
            return
        self.model.checkup = Checkup("running")
        field, model_id = self._images.open_field, self.model.model_id
        folder = None if field is None else self._session.project.path.parent
        self._session.background.run(
            lambda: examine(self._server.client, model_id=model_id, folder=folder),
            self._take_checkup,
            self._checkup_broke,
        )

    def restart(self) -> None:
        """Start the server anew."""
        self._review.notice = None
        self._session.lasting.run(self._server.restart, lambda _: self.connect())

    def want_model(self, model_id: str) -> None:
        """Choose this model as soon as the server offers it, and look for it now."""
        self._wanted_model = model_id
        self.connect()

    def choose_model(self, model_id: str) -> None:
        """The detector that the next run uses."""
        self.model.model_id = model_id

    def _take_models(self, models: Sequence[ModelInfo]) -> None:
        detectors = tuple(m for m in models if m.kind == "detector")
        self.model.models = detectors
        usable = {m.id for m in detectors if m.problem is None}
        if self._wanted_model in usable:
            self.model.model_id, self._wanted_model = self._wanted_model, ""
        elif self.model.model_id not in usable:
            default = next((m.id for m in detectors if m.default and m.problem is None), "")
            self.model.model_id = default or next(iter(sorted(usable)), "")
        self.model.server = ServerStatus("ready", "ready")

    def _take_checkup(self, checkup: Checkup) -> None:
        self.model.checkup = checkup
        health = checkup.health
        if health is None:
            words = next(check.words for check in checkup.checks if not check.passed)
            self.model.server = ServerStatus("failed", "not running", words)
            return
        words = f"ready on {health.device}" if health.status == "ready" else health.status
        if not checkup.well:
            words = "something is wrong"
        loaded = ", ".join(health.loaded) or "no model yet"
        details = f"In memory: {loaded}"
        if health.memory_bytes is not None:
            details += f", {health.memory_bytes / MIB:.0f} MiB in use"
        self.model.server = ServerStatus("ready" if checkup.well else "failed", words, details)

    def _checkup_broke(self, error: BaseException) -> None:
        notice = in_words(error)
        self.model.checkup = Checkup("done", (Check(False, notice.words),))
        self._session.notify(notice)

    def _server_failed(self, error: BaseException) -> None:
        notice = in_words(error)
        self.model.server = ServerStatus("failed", "not running", notice.words)
        self._review.notice = Notice(
            notice.words, "error", "Restart", self.restart, details=notice.details
        )

    # The run

    @property
    def searching(self) -> str | None:
        """Hash of the image that is being searched; None while no search is under way."""
        return None if self._search is None else self._search.image_sha256

    def search(self, region: Box | None = None, *, in_regions: bool = False) -> None:
        """Search a region of the open image, or all of it; nothing while a search is under way.

        Where a region says *leave out* is never searched. Asks first where the image's scale looks
        like a slip.

        Parameters
        ----------
        region : Box, optional
            Level-0 px.
        in_regions : bool
            Whether only those regions are searched that say *search here*.
        """
        field, state = self._images.open_field, self._review.state
        if field is None or state is None:
            return
        area = Area.of(regions_of(state).values(), search_here=in_regions)
        if in_regions and area.box is None:
            self._session.notify(Notice(looking.NO_REGION_WORDS, "warning"))
            return
        box = field.box
        for wanted in (region, area.box):
            box = box if wanted is None else wanted.clipped_to(box)
        self._scale_check.before(
            lambda: self._find(box, area), "Search all the same", field, field.entry.mpp, box
        )

    def _find(self, region: Box, area: Area) -> None:
        self._begin(Wanted.chosen(self.model, self._view, region, area))

    def search_in_turn(self, field: OpenField, wanted: Wanted, ended: Ended) -> None:
        """Search an image that need not be the open one; nothing while a search is under way.

        How it ended is told to the caller, and to nobody else; undo does not take it back.
        """
        self._begin(wanted, field, ended)

    def leave_out_glass(self, wanted: bool) -> None:
        """Whether the next searches leave out windows of bare glass."""
        self.model.tissue = wanted

    def leave_out_pen(self, wanted: bool) -> None:
        """Whether marks of a pen count as glass, where glass is left out."""
        self.model.pen = wanted

    def look_for(self, categories: Sequence[str]) -> None:
        """Which categories the next searches are for alone; everything without any."""
        self.model.only = tuple(categories)

    def go_on(self) -> None:
        """Go on with the search of the open image that was broken off, if there is one."""
        if (run := paused_run(self._review.state)) is not None:
            self._begin(Wanted.again(run, self._view.view_xy))

    def _begin(
        self, wanted: Wanted, field: OpenField | None = None, ended: Ended | None = None
    ) -> None:
        field = field or self._images.open_field
        if field is None or self.model.run.busy:
            return
        self._ended = ended
        session, background = self._session, self._session.background
        self.model.run = RunStatus("starting", image=Path(field.entry.path))
        if ended is None:
            self._review.notice = None
        search = Search(
            session.project,
            session.writer,
            field,
            wanted,
            tell=lambda news: background.on_main(
                lambda: self._take_news(search, field.entry.sha256, news)
            ),
        )
        self._search = search
        background.run(
            lambda: search.work(self._server.client),
            lambda status: self._finished(search, status),
            lambda error: self._run_failed(search, error),
        )

    def pause(self) -> None:
        """Stop the search so that it can go on later, in another session too."""
        self._end("pausing")

    def stop(self) -> None:
        """Stop the search, or give up the one that is paused; what was found stays."""
        if self.model.run.busy:
            self._end("stopping")
            return
        run = paused_run(self._review.state)
        if run is None:
            return
        session, project, run_id = self._session, self._session.project, run.run_id
        session.writer.submit(lambda: project.finish_run(run_id, "cancelled"))
        ended = session.state_of(run.image_sha256).with_finished(run_id, "cancelled")
        session.show_state(run.image_sha256, ended)
        session.notify(Notice("Stopped. What was found so far stays."))

    def _end(self, phase: Literal["pausing", "stopping"]) -> None:
        search, run = self._search, self.model.run
        if search is None or not run.busy:
            return
        self.model.run = replace(run, phase=phase, seconds_left=None)
        self._session.background.run(lambda: search.stop(to_go_on=phase == "pausing"))

    def _take_news(self, search: Search, sha256: str, news: SearchNews) -> None:
        if news.waiting:
            if self.model.run.phase == "starting":
                self.model.run = replace(self.model.run, waiting=news.waiting)
            return
        if news.started is not None:
            self._take_run(search, news.started, resumed=news.resumed)
        else:
            self._show_found(search.run_id, sha256, news)
        run = self.model.run
        self.model.run = replace(
            run,
            phase=run.phase if run.phase in ("pausing", "stopping") else "running",
            waiting="",
            found=news.found,
            windows_done=news.windows_done,
            windows=news.windows,
            windows_left_out=news.windows_left_out,
            outlines_done=news.outlines_done,
            outlines=news.outlines,
            progress=news.progress,
            seconds_left=news.seconds_left if run.phase in ("starting", "running") else None,
        )

    def _take_run(self, search: Search, started: Run, *, resumed: bool) -> None:
        session, sha256 = self._session, started.image_sha256
        state = session.state_of(sha256)
        known = [c.name for c in started.info.model.categories]
        said = among_in(started.info.decoding) or known
        self.learn_categories([session.book.called(name) for name in said])
        if (words := only_words(started.info.decoding)) and self._ended is None:
            session.notify(Notice(words))
        if not resumed and search.wanted.run is not None and self._ended is None:
            session.notify(Notice(looking.ANEW_WORDS))
        session.show_state(sha256, state.with_run(started))
        if not resumed:
            region = started.info.region
            used = [events.use_run(sha256, started.run_id, region)]
            session.commit(sha256, used, in_history=self._ended is None)

    def _show_found(self, run_id: str, sha256: str, news: SearchNews) -> None:
        session = self._session
        before = state = session.state_of(sha256)
        if news.nuclei:
            state = state.with_predictions(run_id, news.nuclei)
        if news.hidden:
            state = state.with_hidden(run_id, news.hidden)
        if news.back:
            state = state.with_back(run_id, news.back)
        if news.masks:
            state = state.with_masks(run_id, news.masks)
        if state is not before:
            session.show_state(sha256, state)

    def learn_categories(self, names: Sequence[str]) -> None:
        """Add what a model or a file distinguishes, as it is called now, to the categories."""
        known = self._review.categories
        chosen = self.model.chosen
        colors = {} if chosen is None else {c.name: c.color for c in chosen.categories}
        session = self._session
        base = () if self._is_untouched_default(known, names) else known
        added = in_free_colors(names, base, colors)
        if not added:
            return
        learnt = [events.learn_categories(added)]
        session.commit_to_project(learnt if base else [events.set_categories([]), *learnt])

    def _is_untouched_default(self, known: Sequence[Category], names: Sequence[str]) -> bool:
        """Whether the only category is the one that stands for none, and nothing carries it."""
        state = self._review.state
        return (
            bool(names)
            and [category.name for category in known] == [UNCATEGORISED]
            and not (state and any(state.nuclei.touched()))
        )

    def _conclude(self, search: Search, status: RunStatusName) -> int:
        """Let the state know how the search ended, and return how many nuclei it found."""
        found, self._search = self.model.run.found, None
        if search.run_id:
            self._pauses.learn(search.run_id, search.found.windows_done)
            state = self._session.state_of(search.image_sha256)
            ended = state.with_finished(search.run_id, status)
            self._session.show_state(search.image_sha256, ended)
        self.model.run = RunStatus()
        return found

    def _finished(self, search: Search, status: RunStatusName) -> None:
        ended, found = self._ended, self._conclude(search, status)
        self.model.server = ServerStatus("ready", "ready", self.model.server.details)
        if ended is not None:
            ended(search, status, None)
        elif status == "cancelled":
            self._session.notify(Notice(f"Stopped. The {found} nuclei found so far stay."))
        elif words := failed_words(search.found):
            self._session.notify(Notice(words, "warning"))
        elif status == "complete" and not found:
            words = "No nuclei were found here."
            if not search.found.windows and (started := search.found.started):
                words = looking.nothing_words(started.windows_left_out)
            self._session.notify(Notice(words, "warning"))

    def _run_failed(self, search: Search, error: BaseException) -> None:
        ended, found = self._ended, self._conclude(search, "interrupted")
        if ended is not None:
            ended(search, "interrupted", error)
            return
        notice = in_words(error)
        if not isinstance(error, ServerUnavailableError):
            self._session.notify(notice)
            return
        self.model.server = ServerStatus("failed", "stopped", notice.words)
        kept = f" The {found} nuclei found so far stay." if found else ""
        self._session.notify(
            Notice(
                f"The model server stopped.{kept}", "error", "Restart", self.restart, notice.words
            )
        )
