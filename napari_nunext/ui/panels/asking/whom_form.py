"""About which part of the image, whom, and for how many image tokens."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QMenu, QSlider, QVBoxLayout, QWidget

from napari_nunext.core.process.asked import Put
from napari_nunext.core.process.parameters import label_of
from napari_nunext.ui.panels.asking.words import answerer_words, tokens_words
from napari_nunext.ui.widgets.controls import (
    EntryLine,
    IconButton,
    Segments,
    Text,
    breakable,
    button,
    row,
)
from napari_nunext.ui.widgets.model_chooser import ModelChooser

if TYPE_CHECKING:
    from napari_nunext.review.asking.asker import Asker
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.ask import Where
    from napari_nunext.ui.widgets.theme import Palette

ADD = "Add a model\N{HORIZONTAL ELLIPSIS}"
ADD_TIP = "In a server that speaks OpenAI's interface: vLLM, Ollama, LM Studio, llama.cpp"
LET_CHOOSE_TIP = "It looks at a small picture first, and spends what the question deserves"
PLACES: tuple[Where, ...] = ("view", "region", "field")
STEP_TOKENS, MOST_STEPS = 16, 64
"""The slider's steps: up to 1,024 image tokens; more is asked for by the command line."""


class WhomForm(QWidget):
    """Follows the review, and passes on what is chosen."""

    region_wanted = Signal()
    """A person wants to draw the region."""

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        super().__init__()
        self._view = controller.view.model
        self._asker: Asker = controller.ask
        self._where = Segments(["This view", "Region", "Whole field"])
        self._where.set_enabled(0, True, "What the window shows of the image now")
        self._where.set_enabled(1, True, "A rectangle that you draw")
        self._hint = Text("Drag a rectangle on the image.", role="muted")
        self._who = ModelChooser()
        self._who.setAccessibleName("Who is asked")
        self._add = button(ADD, role="link", tip=ADD_TIP)
        self._more = IconButton("more", "Add, remove or look for models")
        self._address = EntryLine("name=http://127.0.0.1:11434/v1#model")
        self._about = Text(role="muted", wraps=True)
        self._problem = Text(role="caution", wraps=True)
        self._budget = QSlider(Qt.Orientation.Horizontal)
        self._budget.setRange(1, MOST_STEPS)
        self._budget.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._budget.setAccessibleName("Most image tokens")
        self._budget.setToolTip(
            "How large the picture is that the model sees: more tokens, more detail, more time"
        )
        self._tokens = Text(role="muted")
        self._allocate = QCheckBox(label_of(Put, "allocate"))
        self._allocate.setToolTip(LET_CHOOSE_TIP)
        self._spending = QWidget()
        self._spending.setLayout(row(self._budget, self._tokens, stretch=0))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self._where)
        layout.addWidget(self._hint)
        layout.addLayout(row(Text("Ask"), self._who, self._add, self._more, stretch=1))
        for made in (self._address, self._about, self._problem, self._spending, self._allocate):
            layout.addWidget(made)
        self._where.chosen.connect(self._choose_where)
        self._who.activated.connect(lambda i: self._asker.answerers.choose(self._who.itemData(i)))
        self._add.clicked.connect(self._address.ask)
        self._more.clicked.connect(self._offer)
        self._address.entered.connect(self._asker.answerers.add)
        self._budget.valueChanged.connect(lambda n: self._asker.set_budget(n * STEP_TOKENS))
        self._allocate.toggled.connect(self._asker.let_choose)
        asking, events = self._asker.model.events, self._view.events
        connections.call(
            self._show_who, asking.answerers, asking.answerer, asking.looking, asking.problem
        )
        connections.call(self._show_where, asking.where, events.region)
        connections.call(
            self._show_tokens,
            asking.budget,
            asking.allocate,
            asking.answerer,
            asking.where,
            events.region,
            events.view_box,
            controller.images.model.events.open_field,
        )
        self._show_who()
        self._show_where()
        self._show_tokens()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._more.set_palette(palette)

    def menu(self) -> QMenu:
        """What can be done to the list of models."""
        asking, answerers = self._asker.model, self._asker.answerers
        menu = QMenu(self)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.addAction(ADD, self._address.ask)
        menu.addAction("Look for models again", answerers.look)
        chosen = asking.answerer_named(asking.answerer)
        if chosen is not None and chosen.needs_picture:
            words = f"Remove {chosen.title}".replace("&", "&&")
            menu.addAction(words, partial(answerers.remove, chosen.name))
        return menu

    def _offer(self) -> None:
        self.menu().popup(self._more.mapToGlobal(self._more.rect().bottomLeft()))

    def _choose_where(self, index: int) -> None:
        self._asker.choose_where(PLACES[index])
        if PLACES[index] == "region":
            self.region_wanted.emit()
        self._show_where()

    def _show_where(self) -> None:
        where = self._asker.model.where
        self._where.choose(PLACES.index(where))
        self._hint.setVisible(where == "region" and self._view.region is None)

    def _show_who(self) -> None:
        asking = self._asker.model
        self._who.clear()
        for answerer in asking.answerers:
            self._who.addItem(answerer.title, answerer.name)
            if answerer.name == asking.answerer:
                self._who.setCurrentIndex(self._who.count() - 1)
        self._add.setVisible(len(asking.answerers) == 1)
        chosen = asking.answerer_named(asking.answerer)
        about = "" if chosen is None else answerer_words(chosen)
        self._about.setText(breakable(about))
        problem = asking.problem if chosen is None or not chosen.problem else chosen.problem
        self._problem.setText(problem)
        self._problem.setVisible(bool(problem) and not asking.looking)
        self._more.setVisible(len(asking.answerers) > 1 or bool(problem))
        self._show_tokens()

    def _show_tokens(self) -> None:
        asking, picture = self._asker.model, self._asker.picture()
        chosen = asking.answerer_named(asking.answerer)
        self._spending.setVisible(chosen is not None and chosen.needs_picture)
        self._budget.blockSignals(True)
        self._budget.setValue(round(asking.budget / STEP_TOKENS))
        self._budget.blockSignals(False)
        self._allocate.setVisible(chosen is not None and chosen.allocates)
        self._allocate.setChecked(asking.allocate)
        words = f"{asking.budget} image tokens"
        if self._asker.way.allocate:
            self._tokens.setText(f"up to {words}")
            return
        self._tokens.setText(
            words if picture is None else tokens_words(picture.image_tokens, asking.budget)
        )
