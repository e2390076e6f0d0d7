"""The Ask tab: what is asked, the answer, and the answers there are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QVBoxLayout, QWidget

from napari_nunext.core.answers.budget import MOST_TOKENS
from napari_nunext.core.errors import InputError
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.panels.asking.answer_card import AnswerCard
from napari_nunext.ui.panels.asking.answers_list import AnswersList
from napari_nunext.ui.panels.asking.compare_card import CompareCard
from napari_nunext.ui.panels.asking.question_form import QuestionForm
from napari_nunext.ui.panels.asking.whom_form import WhomForm
from napari_nunext.ui.widgets.controls import (
    Card,
    Text,
    breakable,
    button,
    give_keyboard_back,
    row,
)
from napari_nunext.ui.widgets.scrolling import scrolling
from napari_nunext.ui.widgets.theme import SPACE_PX

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.ask import Way
    from napari_nunext.ui.panels.asking.answer_keys import AnswerKeys
    from napari_nunext.ui.widgets.theme import Palette

COMPARE = "Ask twice, and say which answer is better before you know whose it is"


class AskPanel(QWidget):
    """All of the Ask tab."""

    region_wanted = Signal()
    boxes_wanted = Signal(str)
    box_to_delete = Signal()
    editor_closed = Signal()

    def __init__(
        self,
        controller: ReviewController,
        palette: Palette,
        connections: Connections,
        keys: AnswerKeys,
    ) -> None:
        super().__init__()
        self._controller = controller
        self._view = controller.view.model
        self._asker = controller.ask
        self._asking = controller.ask.model
        self._asked_of = ""
        """The image that was asked about last."""
        self.form = QuestionForm(self._asker, connections)
        self.whom = WhomForm(controller, connections)
        self.card = AnswerCard(controller, connections, keys)
        self.pair = CompareCard(controller, connections, keys)
        self.answers = AnswersList(self._asker, connections)
        self._missing = Text(role="muted", wraps=True)
        self._doubt = Text(role="caution", wraps=True)
        self.go = button("Ask", role="primary")
        self.compare = button("Compare\N{HORIZONTAL ELLIPSIS}", tip=COMPARE)
        self._agreement = Text(role="muted", wraps=True)
        self._agree = button("Do readers agree?", role="link")
        ask = Card()
        ask.body.addWidget(self.form)
        ask.body.addWidget(self.whom)
        ask.body.addWidget(self._missing)
        ask.body.addWidget(self._doubt)
        ask.body.addLayout(row(self.go, self.compare, stretch=0))
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_PX)
        for made in (ask, self.card, self.pair, self.answers):
            layout.addWidget(made)
        layout.addWidget(self._agree)
        layout.addWidget(self._agreement)
        layout.addStretch(1)
        self._area = scrolling(inside)
        around = QVBoxLayout(self)
        around.setContentsMargins(0, 0, 0, 0)
        around.addWidget(self._area)
        self._pacer = Pacer(self._reveal, 0.0)
        self._told = Pacer(lambda: self._area.ensureWidgetVisible(self._agreement), 0.0)
        # Nuclei and views come many times a second.
        self._nuclei = Pacer(self._show_ready, 0.1)
        for pacer in (self._pacer, self._told, self._nuclei):
            connections.stop(pacer.stop)
        for grown in (self.card, self.pair):
            grown.resized.connect(self._pacer.ask)
            grown.gone.connect(self._keep_keyboard)
        self.form.changed.connect(self._show_ready)
        self.form.entered.connect(self.ask)
        self.whom.region_wanted.connect(self.region_wanted.emit)
        self.go.clicked.connect(self._ask_or_stop)
        self.compare.clicked.connect(self._offer_comparisons)
        self.card.boxes_wanted.connect(self.boxes_wanted.emit)
        self.card.box_to_delete.connect(self.box_to_delete.emit)
        self.card.editor_closed.connect(self.editor_closed.emit)
        self._agree.clicked.connect(self._asker.look_at_agreement)
        events = self._asking.events
        connections.call(self._show_status, events.status)
        connections.call(self._show_ready, events.where, self._view.events.region)
        connections.call(
            self._nuclei.ask,
            controller.model.events.state,
            controller.images.model.events.open_field,
            self._view.events.view_box,
        )
        connections.call(self._show_answerer, events.answerer, events.answerers)
        connections.call(self._show_ratings, events.ratings)
        connections.call(self._show_agreement, events.agreement)
        self.set_palette(palette)
        self._show_answerer()
        self._show_status()
        self._show_ratings()
        self._show_agreement()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.card.set_palette(palette)
        self.whom.set_palette(palette)

    def ask(self) -> None:
        """Ask what is typed, of whom was chosen; nothing while somebody is asked."""
        try:
            question = self.form.question()
        except InputError as error:
            self._missing.setText(str(error))
            return
        if not self._asking.status.busy:
            self._asker.ask(question)
            self._go_to_answer()

    def _ask_or_stop(self) -> None:
        if self._asking.status.busy:
            self._asker.stop()
        else:
            self.ask()

    def _go_to_answer(self) -> None:
        """Give the answer the keyboard: its keys judge it."""
        self.card.flush()
        self.pair.flush()
        card = self._shown_card()
        if card is not None:
            card.setFocus()

    def _keep_keyboard(self) -> None:
        """Nobody answered: on with the question; about another image: on with the image.

        By itself the keyboard would go to the search, and what is typed hide answers.
        """
        if self._controller.session.is_open(self._asked_of):
            self.form.take_keyboard()
            self._area.ensureWidgetVisible(self.form)
        else:
            give_keyboard_back(self)

    def _shown_card(self) -> QWidget | None:
        return next((card for card in (self.pair, self.card) if card.isVisible()), None)

    def _reveal(self) -> None:
        """Bring into sight what has the keyboard: an answer that grows would leave it."""
        card = self._shown_card()
        if card is not None and card.property("current"):
            below_px = min(card.height(), self._area.viewport().height())
            self._area.ensureVisible(0, card.y() + below_px, 0, 0)

    # Comparing

    def _offer_comparisons(self) -> None:
        menu = self.comparisons()
        menu.popup(self.compare.mapToGlobal(self.compare.rect().bottomLeft()))

    def comparisons(self) -> QMenu:
        """What the question can be asked of twice."""
        asker, asking = self._asker, self._asking
        menu = QMenu(self)
        menu.aboutToHide.connect(menu.deleteLater)
        way, chosen = asker.way, asking.answerer_named(asking.answerer)

        def offer(words: str, other: Way) -> None:
            def ask(question: Question) -> None:
                asker.ask_two(question, way, other)

            menu.addAction(words.replace("&", "&&"), lambda: self._ask_two(ask))

        if chosen is not None and chosen.needs_picture:
            menu.addAction("The same model twice", lambda: self._ask_two(asker.ask_two_samples))
            for budget in (max(way.budget // 4, 1), min(way.budget * 4, MOST_TOKENS)):
                offer(f"{way.budget} and {budget} image tokens", replace(way, budget=budget))
            if chosen.allocates:
                words = f"All {way.budget} image tokens, and as many as the model chooses"
                offer(words, replace(way, allocate=not way.allocate))
        for answerer in asking.answerers:
            if chosen is not None and answerer is not chosen and self.form.task in answerer.tasks:
                offer(
                    f"{chosen.title} and {answerer.title}",
                    replace(
                        way,
                        answerer=answerer.name,
                        allocate=way.allocate and answerer.allocates,
                    ),
                )
        if menu.isEmpty():
            menu.addAction("Add a model to compare with").setEnabled(False)
        return menu

    def _ask_two(self, ask: Callable[[Question], None]) -> None:
        try:
            question = self.form.question()
        except InputError as error:
            self._missing.setText(str(error))
            return
        ask(question)
        self._go_to_answer()

    # What is shown

    def _show_answerer(self) -> None:
        chosen = self._asking.answerer_named(self._asking.answerer)
        if chosen is not None:
            self.form.show_tasks(
                chosen.tasks, f"{chosen.title} answers questions alone. Choose a model for this."
            )
        self._show_ready()

    def _show_status(self) -> None:
        status = self._asking.status
        self._asked_of = status.image_sha256 or self._asked_of
        self.go.setText("Stop" if status.busy else "Ask")
        tip = "Keep what came so far" if status.busy else "Return"
        self.go.setToolTip(tip)
        self._show_ready()

    def _show_ready(self) -> None:
        """What has to happen before it can be asked."""
        status, missing = self._asking.status, self.missing()
        self.go.setEnabled(status.phase != "stopping" and (status.busy or not missing))
        self.compare.setEnabled(not status.busy and not missing)
        words = self._elsewhere() if status.busy else missing
        self._missing.setText(words)
        self._missing.setVisible(bool(words))
        doubt = "" if missing or status.busy else self._asker.telling().doubt
        self._doubt.setText(doubt)
        self._doubt.setVisible(bool(doubt))

    def _elsewhere(self) -> str:
        """That the answer is of an image that is not shown; empty where it is."""
        status = self._asking.status
        if self._controller.session.is_open(status.image_sha256):
            return ""
        name = breakable(status.image_name)
        return f"An answer about {name} is being written. It will wait there."

    @property
    def rates(self) -> bool:
        """Whether answers can be rated."""
        return self._asking.ratings

    def missing(self) -> str:
        """What has to happen before it can be asked; empty where nothing has."""
        chosen = self._asking.answerer_named(self._asking.answerer)
        if chosen is not None and self.form.task not in chosen.tasks:
            return f"{chosen.title} answers questions alone. Choose a model for this."
        if self._asking.where == "region" and self._view.region is None:
            return ""
        return self._asker.telling().lacks or self.form.problem()

    def _show_ratings(self) -> None:
        self.compare.setVisible(self._asking.ratings)
        self._agree.setVisible(self._asking.ratings)
        self._show_agreement()

    def _show_agreement(self) -> None:
        said = self._asking.agreement if self._asking.ratings else ()
        self._agreement.setText("\n".join(said))
        self._agreement.setVisible(bool(said))
        if said:
            self._told.ask()
