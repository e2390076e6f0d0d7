"""What came of a training: the new model's name, its figures beside the old one's, and its use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_nunext.ui.widgets.controls import Card, Text, button
from napari_nunext.ui.widgets.figures_table import FiguresTable

if TYPE_CHECKING:
    from napari_nunext.review.shown.learn import TrainingStatus


class OutcomeCard(Card):
    """There once a new model is; gone while another one is trained."""

    use_wanted = Signal()

    def __init__(self) -> None:
        super().__init__("THE NEW MODEL")
        self._name = Text(wraps=True)
        self._table = FiguresTable()
        self._worse = Text(role="caution", wraps=True)
        self._problem = Text(role="caution", wraps=True)
        self._kept = Text(role="muted", wraps=True)
        self._use = button("Use it", role="primary", tip="Find nuclei with the new model")
        parts = self._name, self._table, self._worse, self._problem, self._kept, self._use
        for widget in parts:
            self.body.addWidget(widget)
        self._use.clicked.connect(self.use_wanted.emit)

    def show_outcome(self, status: TrainingStatus, model_id: str) -> None:
        """Show what is known; `model_id` is the model that is chosen now."""
        self.setVisible(status.phase == "done" and status.checkpoint is not None)
        show_words(self._name, status.name)
        comparison, lesson = status.comparison, status.lesson
        has_figures = comparison is not None and bool(comparison.lines)
        is_compared = comparison is not None and (has_figures or bool(comparison.earlier.lines))
        if comparison is not None and is_compared:
            self._table.show_figures(comparison)
        self._table.setVisible(is_compared)
        show_words(self._worse, "" if comparison is None else comparison.warning)
        show_words(self._problem, "" if comparison is None else comparison.problem)
        is_tested = lesson is not None and (has_figures or not lesson.kept_fields)
        show_words(self._kept, lesson.kept_words if lesson is not None and is_tested else "")
        is_used = status.checkpoint is not None and model_id == status.checkpoint.name
        self._use.setEnabled(not is_used)
        self._use.setText("In use" if is_used else "Use it")


def show_words(label: Text, words: str) -> None:
    """Show a line, or none where there is nothing to say."""
    label.setText(words)
    label.setVisible(bool(words))
