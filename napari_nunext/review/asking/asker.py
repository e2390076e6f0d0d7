"""Asking: the part of the review, with its model and its rooms."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.errors import InputError, ServerUnavailableError
from napari_nunext.review.asking.agreeing import judgements_in_words
from napari_nunext.review.asking.answerers import Answerers
from napari_nunext.review.asking.book import AnswerBook
from napari_nunext.review.asking.comparing import Comparer
from napari_nunext.review.asking.judging import Judge
from napari_nunext.review.asking.lists import OptionLists
from napari_nunext.review.asking.round import Put, Round
from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.ask import AskModel, AskStatus, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.geometry import Box
    from napari_nunext.review.asking.round import AskNews
    from napari_nunext.review.correcting.viewing import View
    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.ask import Where
    from napari_nunext.store.answers import Answer

SAMPLED_AT = 0.7
"""Temperature of two samples that are compared: without one they would be the same."""


class Asker:
    """The part of the review that asks.

    Attributes
    ----------
    model : AskModel
        What its panel draws.
    answerers : Answerers
        Who can be asked.
    book : AnswerBook
        The answers of the open image, and where they point to.
    judge : Judge
        Stars, reasons, corrections.
    compare : Comparer
        Two answers side by side.
    lists : OptionLists
        Lists to choose from that the project keeps.
    """

    def __init__(
        self,
        session: Session,
        server: ModelServer,
        finder: Finder,
        view: View,
        *,
        ratings: bool = True,
    ) -> None:
        self._session = session
        self._server = server
        self._finder = finder
        self._view = view
        self._round: Round | None = None
        model = self.model = AskModel(ratings=ratings)
        self.book = AnswerBook(session, model, view)
        self.answerers = Answerers(session, model, server, finder)
        self.judge = Judge(session, model, self.book)
        self.compare = Comparer(session, model, self.book)
        self.lists = OptionLists(session, model)
        session.images.events.open_field.connect(self._drop_draft)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._round = None

    # What is asked about

    def choose_where(self, where: Where) -> None:
        """What the next question is about."""
        self.model.where = where

    def set_budget(self, tokens: int) -> None:
        """Image tokens that the next picture may cost."""
        self.model.budget = tokens

    def region(self) -> Box | None:
        """What the next question is about, level-0 px; None where that is nothing of the image."""
        field, view = self._session.images.open_field, self._view.model
        if field is None:
            return None
        whole = field.box
        box = {"view": view.view_box, "region": view.region, "field": whole}[self.model.where]
        region = None if box is None else box.clipped_to(whole)
        return None if region is None or region.width < 1 or region.height < 1 else region

    def picture(self) -> SentPicture | None:
        """The picture that the next question sends, for its tokens; None where none is sent."""
        answerer, region = self.model.answerer_named(self.model.answerer), self.region()
        if answerer is None or not answerer.needs_picture or region is None:
            return None
        return SentPicture.of(region, self.model.budget, answerer.patch_px)

    # Asking

    @property
    def way(self) -> Way:
        """How the next question is put, as it was chosen."""
        return Way(self.model.answerer, self.model.budget)

    def ask(self, question: Question, way: Way | None = None) -> None:
        """Ask about `region`; nothing while somebody is being asked."""
        self._put(question, (way or self.way,))

    def ask_two(self, question: Question, first: Way, second: Way) -> None:
        """Ask twice, to compare the answers blind; shown once both are there."""
        self._put(question, (first, second))

    def ask_two_samples(self, question: Question, way: Way | None = None) -> None:
        """Ask the same answerer twice, by two seeds."""
        way = way or self.way
        first, second = (
            replace(way, temperature=way.temperature or SAMPLED_AT, seed=secrets.randbelow(2**31))
            for _ in range(2)
        )
        self._put(question, (first, second))

    def _put(self, question: Question, ways: Sequence[Way]) -> None:
        session, region = self._session, self.region()
        field = session.images.open_field
        if field is None or self.model.status.busy:
            return
        try:
            if region is None:
                raise InputError(_NOTHING[self.model.where])
            for way in ways:
                self._check(question, way)
        except InputError as error:
            session.notify(in_words(error))
            return
        session.model.notice = None
        self.compare.close()
        self.book.select("")
        categories = tuple(category.name for category in session.model.categories)
        put = Put(field, session.model.table, categories, question, region, tuple(ways))
        background = session.background
        asked = self._round = Round(
            put, tell=lambda news: background.on_main(lambda: self._take_news(asked, news))
        )
        self.model.status = AskStatus(
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

    def _check(self, question: Question, way: Way) -> None:
        answerer = self.model.answerer_named(way.answerer)
        if answerer is None:
            raise InputError(f"There is no answerer {way.answerer!r}. Choose one of the list.")
        if question.task not in answerer.tasks:
            raise InputError(
                f"{answerer.title} answers questions alone. Choose a model for that, or ask a "
                "question."
            )

    def stop(self) -> None:
        """Stop the answer that is being written; what came stays."""
        asked, status = self._round, self.model.status
        if asked is None or not status.busy:
            return
        asked.hang_up()
        self.model.status = replace(status, phase="stopping", waiting="")
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
        status, sha256 = self.model.status, asked.put.field.entry.sha256
        if status.phase != "stopping":
            is_there = news.draft is not None or news.answers > 0
            status = replace(
                status, phase="writing" if is_there else "starting", waiting=news.waiting
            )
        self.model.status = replace(status, answers=news.answers)
        if news.draft is not None and not status.comparing and self._session.is_open(sha256):
            self.model.draft = news.draft
            self.book.show_places()

    def _drop_draft(self) -> None:
        """What is being written is of another image; when that is open again, it goes on."""
        asked = self._round
        if asked is None or not self._session.is_open(asked.put.field.entry.sha256):
            self.model.draft = None

    def _over(self, asked: Round, error: BaseException | None = None) -> None:
        """Record what was said, and show it."""
        if asked is not self._round:
            return
        self._round = None
        said = [self._record(answer) for answer in asked.answers()]
        status, self.model.status = self.model.status, AskStatus()
        self.model.draft = None
        whole = [answer for answer in said if answer.said.finish in ("stop", "length")]
        if status.comparing and len(whole) > 1:
            self.compare.begin(whole)
        self.book.refresh()
        if said and not self.compare.is_of(said) and self._session.is_open(said[0].image_sha256):
            self.book.select(said[-1].answer_id)
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
        self.book.take(stamped)
        return stamped

    def _tell(self, error: BaseException, said: Sequence[Answer]) -> None:
        notice = in_words(error)
        words = f"{notice.words} What was said so far stays." if said else notice.words
        if isinstance(error, ServerUnavailableError):
            restart = self._finder.restart
            notice = Notice(words, "error", "Restart", restart, notice.details)
        self._session.notify(replace(notice, words=words))

    # What readers' judgements add up to

    def look_at_agreement(self) -> None:
        """Work out whether readers agree and whom they prefer, in the background."""
        session = self._session
        if not session.has_project:
            return

        def work() -> tuple[str, ...]:
            session.writer.call(lambda: None)  # after all that is under way
            return judgements_in_words(session.project)

        def take(sentences: tuple[str, ...]) -> None:
            self.model.agreement = sentences

        session.background.run(work, take)


_NOTHING: dict[Where, str] = {
    "view": "Nothing of the image is in view. Move it back, or ask about the whole field.",
    "region": "No region is drawn. Draw one on the image, or ask about the whole field.",
    "field": "The image holds nothing to ask about.",
}
