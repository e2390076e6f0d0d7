"""The question that is put now: begun, stopped, and its answers recorded when it is over.

One at a time. What is being written is shown while its image is open; what was said belongs to the
image that it was asked of, whichever is open by then.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.review.asking.round import Put, Round
from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.ask import AskStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.geometry import Box
    from napari_nunext.review.asking.book import AnswerBook
    from napari_nunext.review.asking.comparing import Comparer
    from napari_nunext.review.asking.round import AskNews
    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.ask import AskModel, Way
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.store.answers import Answer


class Conversation:
    """Puts one question at a time.

    Parameters
    ----------
    session, model
    server : ModelServer
        Has the answerers.
    finder : Finder
        Starts the server again.
    book : AnswerBook
        Takes the answers.
    compare : Comparer
        Takes two that were asked for at once.
    """

    def __init__(
        self,
        session: Session,
        model: AskModel,
        server: ModelServer,
        finder: Finder,
        book: AnswerBook,
        compare: Comparer,
    ) -> None:
        self._session = session
        self._model = model
        self._server = server
        self._finder = finder
        self._book = book
        self._compare = compare
        self._round: Round | None = None
        session.images.events.open_field.connect(self._drop_draft)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._round = None

    def begin(self, field: OpenField, question: Question, region: Box, ways: Sequence[Way]) -> None:
        """Put a question about a region of the open image; nothing while one is being answered."""
        session = self._session
        if self._model.status.busy:
            return
        session.model.notice = None
        self._compare.close()
        self._book.select("")
        categories = tuple(category.name for category in session.model.categories)
        readers = frozenset(each.name for each in self._model.answerers if each.reads_nuclei)
        table = session.model.table
        put = Put(field, table, categories, question, region, tuple(ways), readers)
        background = session.background
        asked = self._round = Round(
            put, tell=lambda news: background.on_main(lambda: self._take_news(asked, news))
        )
        self._model.status = AskStatus(
            "starting",
            question,
            field.entry.sha256,
            field.entry.name,
            comparing=len(ways) > 1,
        )
        background.run(
            lambda: asked.work(self._server.client),
            lambda _: self._over(asked),
            lambda error: self._over(asked, error),
        )

    def stop(self) -> None:
        """Stop the answer that is being written; what came stays."""
        asked, status = self._round, self._model.status
        if asked is None or not status.busy:
            return
        asked.hang_up()
        self._model.status = replace(status, phase="stopping", waiting="")
        self._session.background.run(asked.stop, failed=lambda _: None)

    def close(self) -> None:
        """Keep what came; the window is closing."""
        asked = self._round
        if asked is not None:
            self.stop()
            self._over(asked)

    # What comes of it

    def _take_news(self, asked: Round, news: AskNews) -> None:
        if asked is not self._round:
            return
        status, sha256 = self._model.status, asked.put.field.entry.sha256
        if status.phase != "stopping":
            is_there = news.draft is not None or news.answers > 0
            status = replace(
                status, phase="writing" if is_there else "starting", waiting=news.waiting
            )
        self._model.status = replace(status, answers=news.answers)
        if news.draft is not None and not status.comparing and self._session.is_open(sha256):
            self._model.draft = news.draft
            self._book.show_places()

    def _drop_draft(self) -> None:
        """What is being written is of another image; when that is open again, it goes on."""
        asked = self._round
        if asked is None or not self._session.is_open(asked.put.field.entry.sha256):
            self._model.draft = None
            self._book.show_places()

    def _over(self, asked: Round, error: BaseException | None = None) -> None:
        """Record what was said, and show it."""
        if asked is not self._round:
            return
        self._round = None
        said = [self._record(answer) for answer in asked.answers()]
        status, self._model.status = self._model.status, AskStatus()
        self._model.draft = None
        whole = [answer for answer in said if answer.said.finish in ("stop", "length")]
        if status.comparing and len(whole) > 1:
            self._compare.begin(whole)
        self._book.refresh()
        if said and not self._compare.is_of(said) and self._session.is_open(said[0].image_sha256):
            self._book.select(said[-1].answer_id)
        if error is not None:
            self._tell(error, said)
        elif asked.stopped and not said:
            self._session.notify(Notice("Stopped. Nothing was said yet."))

    def _record(self, answer: Answer) -> Answer:
        """Show it with who and when, ahead of the disk; no event may name it before this."""
        session = self._session
        project = session.project
        stamped = answer.stamped(project.annotator, datetime.now(UTC))
        session.writer.submit(partial(project.add_answer, stamped))
        self._book.take(stamped)
        return stamped

    def _tell(self, error: BaseException, said: Sequence[Answer]) -> None:
        notice = in_words(error)
        words = f"{notice.words} What was said so far stays." if said else notice.words
        if isinstance(error, ServerUnavailableError):
            restart = self._finder.restart
            notice = Notice(words, "error", "Restart", restart, notice.details)
        self._session.notify(replace(notice, words=words))
