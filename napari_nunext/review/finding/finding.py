"""Finding nuclei: the model server, the choice of a model, and the run that is under way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.core.nuclei import UNCATEGORISED, Category
from napari_nunext.review.background import in_words
from napari_nunext.review.colors import in_free_colors
from napari_nunext.review.finding.checkup import examine
from napari_nunext.review.finding.search import Search
from napari_nunext.review.model import Check, Checkup, Notice, RunStatus, ServerStatus
from napari_nunext.store import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.finding.search import SearchNews
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.session import Session
    from napari_nunext.serving.protocol import ModelInfo
    from napari_nunext.store.entries import RunStatus as RunStatusName

MIB = 2**20


class Finder:
    """The part of the controller that talks to the model server."""

    def __init__(self, session: Session, server: ModelServer) -> None:
        self._session = session
        self._model = session.model
        self._server = server
        self._search: Search | None = None
        self._wanted_model = ""
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._search = None

    # The server

    def connect(self) -> None:
        """Start or reach the server and ask for its models."""
        self._model.server = ServerStatus("starting", "starting")
        self._session.lasting.run(self._ask_models, self._take_models, self._server_failed)

    def check(self) -> None:
        """Try the whole way to the model, and show in words what is wrong."""
        if self._model.checkup.phase == "running":
            return
        self._model.checkup = Checkup("running")
        field, model_id = self._model.open_field, self._model.model_id
        folder = None if field is None else self._session.project.path.parent
        self._session.background.run(
            lambda: examine(self._server.client, model_id=model_id, folder=folder),
            self._take_checkup,
            self._checkup_broke,
        )

    def restart(self) -> None:
        """Start the server anew."""
        self._model.notice = None
        self._session.lasting.run(self._server.restart, lambda _: self.connect())

    def want_model(self, model_id: str) -> None:
        """Choose this model as soon as the server offers it, and look for it now."""
        self._wanted_model = model_id
        self.connect()

    def choose_model(self, model_id: str) -> None:
        """The detector that the next run uses."""
        self._model.model_id = model_id

    def _ask_models(self) -> list[ModelInfo]:
        return self._server.client().models()

    def _take_models(self, models: Sequence[ModelInfo]) -> None:
        detectors = tuple(m for m in models if m.kind == "detector")
        self._model.models = detectors
        usable = {m.id for m in detectors if m.problem is None}
        if self._wanted_model in usable:
            self._model.model_id, self._wanted_model = self._wanted_model, ""
        elif self._model.model_id not in usable:
            default = next((m.id for m in detectors if m.default and m.problem is None), "")
            self._model.model_id = default or next(iter(sorted(usable)), "")
        self._model.server = ServerStatus("ready", "ready")

    def _take_checkup(self, checkup: Checkup) -> None:
        self._model.checkup = checkup
        health = checkup.health
        if health is None:
            words = next(check.words for check in checkup.checks if not check.passed)
            self._model.server = ServerStatus("failed", "not running", words)
            return
        words = f"ready on {health.device}" if health.status == "ready" else health.status
        if not checkup.well:
            words = "something is wrong"
        loaded = ", ".join(health.loaded) or "no model yet"
        details = f"In memory: {loaded}"
        if health.memory_bytes is not None:
            details += f", {health.memory_bytes / MIB:.0f} MiB in use"
        self._model.server = ServerStatus("ready" if checkup.well else "failed", words, details)

    def _checkup_broke(self, error: BaseException) -> None:
        notice = in_words(error)
        self._model.checkup = Checkup("done", (Check(False, notice.words),))
        self._session.notify(notice)

    def _server_failed(self, error: BaseException) -> None:
        notice = in_words(error)
        self._model.server = ServerStatus("failed", "not running", notice.words)
        self._model.notice = Notice(
            notice.words, "error", "Restart", self.restart, details=notice.details
        )

    # The run

    @property
    def searching(self) -> str | None:
        """Hash of the image that is being searched; None while no search is under way."""
        return None if self._search is None else self._search.image_sha256

    def find(self, region: Box) -> None:
        """Search a region of the open image; nothing while a search is under way."""
        field = self._model.open_field
        if field is None or self._model.run.busy:
            return
        session, background = self._session, self._session.background
        self._model.run = RunStatus("starting", image=Path(field.entry.path))
        self._model.notice = None
        search = Search(
            session.project,
            session.writer,
            field,
            region,
            model_id=self._model.model_id,
            masks=self._model.outlines,
            near_xy=self._model.view_xy,
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

    def stop(self) -> None:
        """Stop the search; what was found stays."""
        search = self._search
        if search is None or not self._model.run.busy:
            return
        run = self._model.run
        self._model.run = replace(run, phase="stopping", seconds_left=None)
        self._session.background.run(search.stop)

    def _take_news(self, search: Search, sha256: str, news: SearchNews) -> None:
        if news.waiting:
            if self._model.run.phase == "starting":
                self._model.run = replace(self._model.run, waiting=news.waiting)
            return
        session = self._session
        state = session.state_of(sha256)
        if news.started is not None:
            self.learn_categories([c.name for c in news.started.info.model.categories])
            session.show_state(sha256, state.with_run(news.started))
            region = news.started.info.region
            session.commit(sha256, [events.use_run(sha256, news.started.run_id, region)])
        else:
            if news.nuclei:
                state = state.with_predictions(search.run_id, news.nuclei)
            if news.hidden:
                state = state.with_hidden(search.run_id, news.hidden)
            if news.masks:
                state = state.with_masks(search.run_id, news.masks)
            if news.nuclei or news.hidden or news.masks:
                session.show_state(sha256, state)
        run = self._model.run
        self._model.run = replace(
            run,
            phase="stopping" if run.phase == "stopping" else "running",
            waiting="",
            found=run.found + len(news.nuclei) - len(news.hidden),
            windows_done=news.windows_done,
            windows=news.windows or run.windows,
            outlines_done=news.outlines_done,
            outlines=news.outlines,
            progress=news.progress,
            seconds_left=news.seconds_left,
        )

    def learn_categories(self, names: Sequence[str]) -> None:
        """Add what a model or a file distinguishes to the project's categories."""
        known = self._model.categories
        colors = {
            category.name: category.color
            for model in self._model.models
            if model.id == self._model.model_id
            for category in model.categories
        }
        session = self._session
        called = [session.book.named(name) for name in names]
        base = () if self._is_untouched_default(known, names) else known
        added = in_free_colors(called, base, colors)
        if not added:
            return
        learnt = [events.learn_categories(added)]
        session.commit_to_project(learnt if base else [events.set_categories([]), *learnt])

    def _is_untouched_default(self, known: Sequence[Category], names: Sequence[str]) -> bool:
        """Whether the only category is the one that stands for none, and nothing carries it."""
        state = self._model.state
        return (
            bool(names)
            and [category.name for category in known] == [UNCATEGORISED]
            and not (state and any(state.nuclei.touched()))
        )

    def _conclude(self, search: Search, status: RunStatusName) -> int:
        """Let the state know how the search ended, and return how many nuclei it found."""
        found, self._search = self._model.run.found, None
        if search.run_id:
            state = self._session.state_of(search.image_sha256)
            ended = state.with_finished(search.run_id, status)
            self._session.show_state(search.image_sha256, ended)
        self._model.run = RunStatus()
        return found

    def _finished(self, search: Search, status: RunStatusName) -> None:
        found = self._conclude(search, status)
        self._model.server = ServerStatus("ready", "ready", self._model.server.details)
        if status == "cancelled":
            self._session.notify(Notice(f"Stopped. The {found} nuclei found so far stay."))
        elif not found:
            self._session.notify(Notice("No nuclei were found here.", "warning"))

    def _run_failed(self, search: Search, error: BaseException) -> None:
        found = self._conclude(search, "interrupted")
        notice = in_words(error)
        if not isinstance(error, ServerUnavailableError):
            self._session.notify(notice)
            return
        self._model.server = ServerStatus("failed", "stopped", notice.words)
        kept = f" The {found} nuclei found so far stay." if found else ""
        self._session.notify(
            Notice(
                f"The model server stopped.{kept}", "error", "Restart", self.restart, notice.words
            )
        )
