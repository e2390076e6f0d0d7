"""Who can be asked: the rule that counts, and the answerers of the model server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from napari_nunext.core.answers.budget import usual_budget
from napari_nunext.core.errors import ServerError
from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.ask import COUNTS_ANSWERER, STAYS, Answerer
from napari_nunext.serving.addresses import is_loopback
from napari_nunext.serving.client import answerers
from napari_nunext.store.answers import COUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.ask import AskModel
    from napari_nunext.serving.ask_protocol import AnswererInfo


class Answerers:
    """The room that knows whom to ask.

    Parameters
    ----------
    session : Session
    model : AskModel
    server : ModelServer
        Has them.
    finder : Finder
        Connects to the server once it was started again.
    """

    def __init__(
        self, session: Session, model: AskModel, server: ModelServer, finder: Finder
    ) -> None:
        self._session = session
        self._model = model
        self._server = server
        self._finder = finder
        self._was_looked_for = False
        self._wanted = ""
        """Chosen as soon as the server offers it."""
        finder.model.events.server.connect(self._follow)

    def look(self) -> None:
        """Ask the model server for its answerers; their own servers are asked by it."""
        if self._model.looking:
            return
        self._was_looked_for = True
        self._model.looking = True

        def ask() -> tuple[Answerer, ...]:
            client = self._server.client()
            return tuple(_answerer(info, client.url) for info in client.answerers())

        self._session.lasting.run(ask, self._take, self._not_known)

    def look_once(self) -> None:
        """The same, unless it was asked before: for when the tab is shown."""
        if not self._was_looked_for:
            self.look()

    def choose(self, name: str) -> None:
        """Whom to ask next."""
        if self._model.answerer_named(name) is not None:
            self._model.answerer = name

    def _follow(self) -> None:
        """Look again once the server was started again."""
        if self._was_looked_for and self._finder.model.server.phase == "ready":
            self.look()

    def _take(self, found: Sequence[Answerer]) -> None:
        model = self._model
        model.looking, model.problem = False, ""
        model.answerers = (COUNTS_ANSWERER, *found)
        if self._wanted and model.answerer_named(self._wanted) is not None:
            model.answerer, self._wanted = self._wanted, ""
        elif model.answerer_named(model.answerer) is None:
            model.answerer = COUNTS.name

    def _not_known(self, error: BaseException) -> None:
        model = self._model
        model.looking, model.problem = False, in_words(error).words
        model.answerers, model.answerer = (COUNTS_ANSWERER,), COUNTS.name

    # Answerers of our own server

    def add(self, text: str) -> None:
        """Have the window's own server ask another model: ``NAME=URL#MODEL`` with options.

        It is kept for the next time, without a key, and the server is started again with it. Where
        the server is somebody else's, nothing is kept, and the person is told what to do.
        """
        name = text.partition("=")[0].strip()
        self._change(
            lambda known: answerers.merged([*known, text]),
            lambda: answerers.keep(text),
            wanted=name,
        )

    def remove(self, name: str) -> None:
        """Have the window's own server forget an answerer."""
        self._change(lambda known: answerers.without(known, name), lambda: answerers.forget(name))

    def _change(
        self,
        change: Callable[[Sequence[str]], Sequence[str]],
        keep: Callable[[], object],
        *,
        wanted: str = "",
    ) -> None:
        if self._finder.model.run.busy or self._model.status.busy:
            self._session.notify(
                Notice(
                    "The model server has to be started again for that, and it is at work. Wait "
                    "until it is done, or stop it.",
                    "warning",
                )
            )
            return

        def work() -> None:
            self._server.take_answerers(change(self._server.answerers))
            keep()

        def changed(_: None) -> None:
            self._wanted, self._was_looked_for = wanted, True
            self._finder.connect()

        self._session.lasting.run(work, changed, self._not_changed)

    def _not_changed(self, error: BaseException) -> None:
        self._session.notify(in_words(error))
        if isinstance(error, ServerError):
            self._finder.connect()  # it was stopped for that


def _answerer(info: AnswererInfo, url: str) -> Answerer:
    """An answerer of the model server at an address: pictures go there, or further."""
    server = urlsplit(url).hostname or ""
    host = server if info.local else info.host
    stays = info.local and is_loopback(server)
    return Answerer(
        info.id,
        info.id,
        model=info.model,
        where=STAYS if stays else f"goes to {host}",
        local=stays,
        may_train=info.may_train,
        patch_px=info.patch_px,
        reads_nuclei=info.reads_nuclei,
        allocates=info.allocates,
        budget=usual_budget(info.budget, allocates=info.allocates),
        problem=info.problem or "",
    )
