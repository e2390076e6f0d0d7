"""What an answer points to, to be clicked: boxes and nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QVBoxLayout, QWidget

from napari_nunext.core.sentences import counted
from napari_nunext.ui.canvas.evidence.boxes_layer import MOST_NAMED
from napari_nunext.ui.panels.asking.words import done_with_nuclei
from napari_nunext.ui.widgets.controls import button, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.answers.boxes import AnswerBox
    from napari_nunext.review.asking.book import AnswerBook

MOST_ROWS, ROW_PX = 4, 20


class EvidenceList(QWidget):
    """A click goes there."""

    def __init__(self, book: AnswerBook) -> None:
        super().__init__()
        self._book = book
        self._boxes: tuple[AnswerBox, ...] = ()
        self._count = 0
        self._next = 0
        self._nuclei = button("", role="link", tip="Select them all on the image")
        self._step = button(
            "Go to the next", role="link", tip="Look at them one by one", repeats=True
        )
        self._of_nuclei = QWidget()
        self._of_nuclei.setLayout(row(self._nuclei, self._step, stretch=0))
        self.list = QListWidget()
        self.list.setAccessibleName("Boxes of the answer")
        self.list.setUniformItemSizes(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.list)
        layout.addWidget(self._of_nuclei)
        self._nuclei.clicked.connect(book.select_nuclei)
        self._step.clicked.connect(self._go_on)
        self.list.currentRowChanged.connect(self._look)
        self.list.itemClicked.connect(lambda item: self._look(self.list.row(item)))
        self.show_evidence((), 0)

    def show_evidence(
        self, boxes: Sequence[AnswerBox], nuclei: int, *, reads: bool = False
    ) -> None:
        """List these; the nuclei were counted, or read."""
        if nuclei != self._count:
            self._count, self._next = nuclei, 0
        words = counted(nuclei, "nucleus", "nuclei")
        self._nuclei.setText(f"{words} {done_with_nuclei(reads)}")
        self._of_nuclei.setVisible(nuclei > 0)
        if tuple(boxes) != self._boxes:
            self._boxes = tuple(boxes)
            self._list_boxes()
        self.list.setVisible(bool(boxes))
        self.setVisible(bool(boxes) or nuclei > 0)

    def _list_boxes(self) -> None:
        rows = self.list
        chosen = rows.currentRow()
        rows.blockSignals(True)
        rows.clear()
        are_numbered = len(self._boxes) > MOST_NAMED
        rows.addItems(
            [
                f"{number if are_numbered else ''}  {_words(number, each)}".lstrip()
                for number, each in enumerate(self._boxes, start=1)
            ]
        )
        rows.setCurrentRow(chosen if chosen < len(self._boxes) else -1)
        rows.blockSignals(False)
        shown = min(len(self._boxes), MOST_ROWS)
        rows.setFixedHeight(shown * max(rows.sizeHintForRow(0), ROW_PX) + 4 if shown else 0)

    def _look(self, index: int) -> None:
        self._book.look_at_box(index)

    def _go_on(self) -> None:
        self._book.look_at_nucleus(self._next)
        self._next = (self._next + 1) % max(self._count, 1)


def _words(number: int, each: AnswerBox) -> str:
    box = each.box
    label = " ".join(each.label.split())[:80] or f"box {number}"
    return f"{label}   {box.width:.0f} \N{MULTIPLICATION SIGN} {box.height:.0f} px"
