"""Asking: the part of the review, with its model and its rooms."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nunext.core.answers.budget import MOST_TOKENS, SentPicture
from napari_nunext.core.errors import InputError
from napari_nunext.review.asking.agreeing import judgements_of
from napari_nunext.review.asking.answerers import Answerers
from napari_nunext.review.asking.book import AnswerBook
from napari_nunext.review.asking.comparing import Comparer
from napari_nunext.review.asking.conversation import Conversation
from napari_nunext.review.asking.judging import Judge
from napari_nunext.review.asking.lists import OptionLists
from napari_nunext.review.asking.since import Follower
from napari_nunext.review.asking.telling import Telling, look_at_nuclei
from napari_nunext.review.background import in_words
from napari_nunext.review.shown.ask import AskModel, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.geometry import Box
    from napari_nunext.review.correcting.viewing import View
    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.ask import Answerer, Where

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
        self._view = view
        model = self.model = AskModel(ratings=ratings)
        self._budgets: dict[str, int] = {}
        model.events.answerer.connect(self._follow_answerer)
        model.events.answerers.connect(self._follow_answerer)
        self.book = AnswerBook(session, model, view)
        self.answerers = Answerers(session, model, server, finder)
        self.judge = Judge(session, model, self.book)
        self.compare = Comparer(session, model, self.book)
        self.lists = OptionLists(session, model)
        self._since = Follower(session, model)
        self._conversation = Conversation(session, model, server, finder, self.book, self.compare)

    # What is asked about

    def choose_where(self, where: Where) -> None:
        """What the next question is about."""
        self.model.where = where

    def set_budget(self, tokens: int) -> None:
        """Image tokens that the next picture may cost, 1 to `MOST_TOKENS`."""
        self.model.budget = min(max(tokens, 1), MOST_TOKENS)
        self._budgets[self.model.answerer] = self.model.budget

    def _follow_answerer(self) -> None:
        """Each answerer has its own budget: what was set for it, or what it was taught with."""
        chosen = self.model.answerer_named(self.model.answerer)
        if chosen is not None and chosen.needs_picture:
            self.model.budget = self._budgets.get(chosen.name, chosen.budget)

    def let_choose(self, on: bool) -> None:
        """Whether answerers that can choose their image tokens do so, up to the budget."""
        self.model.allocate = on

    def limit_answer(self, tokens: int | None) -> None:
        """Tokens that the next answers have at most; None: as their answerers say."""
        self.model.max_tokens = tokens

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
        model = self.model
        chosen = model.answerer_named(model.answerer)
        can_choose = chosen is not None and chosen.allocates
        return Way(model.answerer, model.budget, model.allocate and can_choose, model.max_tokens)

    def ask(self, question: Question, way: Way | None = None) -> None:
        """Ask about `region`; nothing while somebody is being asked."""
        self._put(question, (way or self.way,))

    def ask_again(self) -> None:
        """Put the question of the shown answer once more, as it was put: its nuclei have changed.

        About the same region, whatever is chosen now.
        """
        chosen = self.model.selected
        if chosen is None:
            return
        asked = chosen.answer.asked
        way = Way(
            chosen.answer.by.name,
            asked.budget or self.model.budget,
            asked.look_tokens is not None,
            temperature=asked.temperature or 0.0,
            seed=asked.seed,
        )
        self._put(asked.question, (way,), asked.region)

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

    def _put(self, question: Question, ways: Sequence[Way], region: Box | None = None) -> None:
        field, region = self._session.images.open_field, region or self.region()
        if field is None:
            return
        try:
            if region is None:
                raise InputError(_NOTHING[self.model.where])
            for way in ways:
                self._check(question, way, region)
        except InputError as error:
            self._session.notify(in_words(error))
            return
        self._conversation.begin(field, question, region, ways)

    def _check(self, question: Question, way: Way, region: Box) -> None:
        answerer = self.model.answerer_named(way.answerer)
        if answerer is None:
            raise InputError(f"There is no answerer {way.answerer!r}. Choose one of the list.")
        if question.task not in answerer.tasks:
            raise InputError(
                f"{answerer.title} answers questions alone. Choose a model for that, or ask a "
                "question."
            )
        if lacks := self._telling(answerer, region).lacks:
            raise InputError(lacks)

    def telling(self) -> Telling:
        """Whether the next answerer can be told what it has to be told of nuclei."""
        answerer, region = self.model.answerer_named(self.model.answerer), self.region()
        if answerer is None or region is None:
            return Telling()
        return self._telling(answerer, region)

    def _telling(self, answerer: Answerer, region: Box) -> Telling:
        review = self._session.model
        if not answerer.reads_nuclei or review.state is None:
            return Telling()
        return look_at_nuclei(answerer.title, review.state, review.table, region)

    def stop(self) -> None:
        """Stop the answer that is being written; what came stays."""
        self._conversation.stop()

    def close(self) -> None:
        """Keep what came; the window is closing."""
        self._conversation.close()

    # What readers' judgements add up to

    def look_at_agreement(self) -> None:
        """Work out whether readers agree and whom they prefer, in the background."""
        session = self._session
        if not session.has_project:
            return

        def work() -> tuple[str, ...]:
            session.writer.call(lambda: None)  # after all that is under way
            return judgements_of(session.project).in_words

        def take(sentences: tuple[str, ...]) -> None:
            self.model.agreement = sentences

        session.background.run(work, take)


_NOTHING: dict[Where, str] = {
    "view": "Nothing of the image is in view. Move it back, or ask about the whole field.",
    "region": "No region is drawn. Draw one on the image, or ask about the whole field.",
    "field": "The image holds nothing to ask about.",
}
