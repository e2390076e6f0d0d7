"""How good an answer is, why it is not better, and a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_nunext.core.answers.opinions import MOST_CHARACTERS, MOST_STARS, Rating
from napari_nunext.ui.widgets.chips import Chips
from napari_nunext.ui.widgets.controls import EntryLine, Text, button, row
from napari_nunext.ui.widgets.stars import Stars

if TYPE_CHECKING:
    from napari_nunext.review.asking.judging import Judge
    from napari_nunext.ui.panels.asking.answer_keys import AnswerKeys
    from napari_nunext.ui.widgets.theme import Palette

USE = "Leaves with the export of training data. Names of patients do not belong here."
TIP = (
    "A rating is kept in the project with the answer, its question and who rated it. Export "
    "training data writes it out, and models can learn from it. Comments and corrections are free "
    "text, and may hold names."
)


class RatingRow(QWidget):
    """Shows the rating of the answer that is selected, and passes on what is said of it."""

    def __init__(self, judge: Judge, keys: AnswerKeys) -> None:
        super().__init__()
        self._judge = judge
        self.stars = Stars()
        self.reasons = Chips(
            list(MOST_STARS),
            about="Why not better",
            keys={str(reason): keys.shown(reason) for reason in MOST_STARS},
        )
        self.comment = EntryLine("A line on this answer, then Enter")
        self.comment.setMaxLength(MOST_CHARACTERS)
        self._said = Text(wraps=True)
        self._say = button("Comment", role="link", tip=f"In a line  ({keys.shown('comment')})")
        use = Text(USE, role="muted", wraps=True)
        use.setToolTip(TIP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.stars)
        layout.addWidget(self.reasons)
        layout.addLayout(row(self._said, self._say, stretch=0))
        layout.addWidget(self.comment)
        layout.addWidget(use)
        self.stars.clicked.connect(judge.rate)
        self.reasons.clicked.connect(judge.tag)
        self.comment.entered.connect(judge.comment)
        self._say.clicked.connect(self.ask_comment)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.stars.set_palette(palette)

    def show_rating(self, rating: Rating) -> None:
        """Show what is said."""
        self.stars.show_stars(rating.stars)
        self.reasons.show_chosen(rating.tags)
        self._said.setText(rating.comment)
        self._said.setVisible(bool(rating.comment))
        self._say.setText("Change" if rating.comment else "Comment")

    def forget_typed(self) -> None:
        """Another answer is shown: a line that is half typed is not about that."""
        self.comment.clear()
        self.comment.hide()

    def ask_comment(self) -> None:
        """Let the person write a line, starting from what it said."""
        if not self.comment.text():
            self.comment.setText(self._said.text())
        self.comment.ask()
