"""The Improve tab: what there is to learn from, train here, use the new model; teach answerers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_nunext.core.sentences import counted, left
from napari_nunext.ui.panels.improving.outcome_card import OutcomeCard, show_words
from napari_nunext.ui.panels.improving.teach_card import TeachCard
from napari_nunext.ui.widgets.controls import Card, Text, button, row
from napari_nunext.ui.widgets.progress import LossPlot, ThinBar
from napari_nunext.ui.widgets.theme import SPACE_PX, icon

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.checks import Check
    from napari_nunext.review.shown.learn import Harvest
    from napari_nunext.ui.widgets.theme import Palette


class CheckLine(QWidget):
    """A tick or a dash, and words."""

    def __init__(self, check: Check, palette: Palette) -> None:
        super().__init__()
        mark = QLabel()
        name, color = ("check", palette.good) if check.passed else ("dash", palette.warn)
        mark.setPixmap(icon(name, color, widget=self).pixmap(16, 16))
        self.setLayout(row(mark, Text(check.words, wraps=True), stretch=1))


class ImprovePanel(QWidget):
    """All of the Improve tab."""

    export_wanted = Signal()

    def __init__(
        self, controller: ReviewController, palette: Palette, connections: Connections
    ) -> None:
        super().__init__()
        self._controller = controller
        self._find = controller.find.model
        self._learn = controller.learn.model
        self._palette = palette
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_PX)
        self.outcome = OutcomeCard()
        self.outcome.use_wanted.connect(lambda: self._controller.learn.use())
        layout.addWidget(self.outcome)
        layout.addWidget(self._make_harvest_card())
        layout.addWidget(self._make_training_card())
        self.teach = TeachCard(controller, connections)
        layout.addWidget(self.teach)
        layout.addStretch(1)
        connections.call(self._show_harvest, self._learn.events.harvest)
        teaching = controller.teach.model.events.status
        connections.call(self._show_training, self._learn.events.training, teaching)
        connections.call(self._show_outcome, self._find.events.model_id)
        self._show_harvest(self._learn.harvest)
        self._show_training()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        self._plot.set_palette(palette)
        self._bar.set_palette(palette)
        self.teach.set_palette(palette)
        self._show_harvest(self._learn.harvest)

    def why_not_train(self) -> str:
        """Why nothing can be trained now, in a sentence; empty where it can."""
        if self._learn.training.busy:
            return "A training is under way."
        if self._controller.teach.model.status.busy:
            return "Wait until the answerer is taught."
        lacking = [c.words for c in self._learn.harvest.checks if c.needed and not c.passed]
        return f"Not enough was accepted to train on: {'; '.join(lacking)}." if lacking else ""

    def _make_harvest_card(self) -> QWidget:
        card = Card("WHAT YOU TAUGHT")
        self._count = Text(role="big")
        self._fields = Text(role="muted", wraps=True)
        self._answers = Text(role="muted", wraps=True)
        self._checks = QVBoxLayout()
        self._checks.setSpacing(4)
        self._export = button("Export training data\N{HORIZONTAL ELLIPSIS}")
        self._export.clicked.connect(self.export_wanted.emit)
        card.body.addWidget(self._count)
        card.body.addWidget(self._fields)
        card.body.addWidget(self._answers)
        card.body.addLayout(self._checks)
        card.body.addWidget(self._export)
        return card

    def _make_training_card(self) -> QWidget:
        card = Card("TRAIN ON THIS COMPUTER")
        self._train = button("Train", role="primary")
        self._stop = button("Stop", tip="Stop; your models stay as they are")
        self._words = Text(wraps=True)
        self._bar = ThinBar()
        self._plot = LossPlot(self._palette)
        self._learned = Text(role="muted", wraps=True)
        self._progress = QWidget()
        self._progress.setLayout(row(self._words, self._stop, stretch=0))
        card.body.addWidget(self._train)
        card.body.addWidget(self._progress)
        card.body.addWidget(self._bar)
        card.body.addWidget(self._plot)
        card.body.addWidget(self._learned)
        self._train.clicked.connect(lambda: self._controller.learn.train())
        self._stop.clicked.connect(self._controller.learn.stop)
        return card

    def _show_harvest(self, harvest: Harvest) -> None:
        self._count.setText(
            f"{harvest.corrections} correction{'' if harvest.corrections == 1 else 's'}"
        )
        self._fields.setText(
            f"in {harvest.fields} accepted field{'' if harvest.fields == 1 else 's'}, "
            f"{harvest.nuclei} nuclei. Only accepted fields are learnt from."
        )
        while (item := self._checks.takeAt(0)) is not None:
            line = item.widget()
            if line is not None:
                line.deleteLater()
        for check in harvest.checks:
            self._checks.addWidget(CheckLine(check, self._palette))
        show_words(self._answers, _of_answers(harvest))
        self._export.setEnabled(harvest.can_leave)
        self._show_training()

    def _show_training(self) -> None:
        status = self._learn.training
        self._train.setVisible(not status.busy)
        self._train.setText("Train again" if status.phase == "done" else "Train")
        teaching = self._controller.teach.model.status.busy
        self._train.setEnabled(self._learn.harvest.ready and not teaching)
        self._train.setToolTip("Wait until the answerer is taught" if teaching else "")
        self._progress.setVisible(status.phase != "idle")
        self._stop.setVisible(status.busy)
        self._bar.setVisible(status.busy)
        self._bar.show_progress(status.step, status.steps)
        self._words.setText(status.words + (left(status.seconds_left) if status.busy else ""))
        self._plot.setVisible(len(status.losses) >= 2)
        self._plot.show_losses(status.losses)
        show_words(self._learned, "" if status.lesson is None else status.lesson.words)
        self._show_outcome()

    def _show_outcome(self) -> None:
        self.outcome.show_outcome(self._learn.training, self._find.model_id)


def _of_answers(harvest: Harvest) -> str:
    """What of answers an export would hold; empty where nobody judged any."""
    words = ""
    if harvest.answers:
        words = f"Also {counted(harvest.answers, 'judged answer')}, which an export holds."
    if harvest.restricted_answers:
        words += (
            f" {counted(harvest.restricted_answers, 'judged answer')} may not be learned from: the "
            "model's terms forbid it."
        )
    return words.strip()
