"""What the dock says before an image is open: what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_nunext.images.formats import format_names
from napari_nunext.ui.widgets.controls import Card, Text, button, row
from napari_nunext.ui.widgets.theme import icon

if TYPE_CHECKING:
    from napari_nunext.ui.widgets.theme import Palette


class EmptyPanel(QWidget):
    """Drop, open, or try the sample."""

    files_wanted = Signal()
    folder_wanted = Signal()
    sample_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        card = Card()
        card.body.setContentsMargins(18, 26, 18, 22)
        self._picture = QLabel()
        title = Text("Review nuclei", role="title")
        words = Text(
            "Drop a tile or a folder of tiles here. The model points at every nucleus; "
            "you put right what is wrong.",
            wraps=True,
        )
        formats = Text(format_names(), role="muted", wraps=True)
        for made in (self._picture, title, words, formats):
            made.setAlignment(Qt.AlignmentFlag.AlignCenter)
            card.body.addWidget(made)
        card.body.addSpacing(8)
        files, folder = button("Open images"), button("Open a folder")
        sample = button("Try it on a sample", role="primary")
        card.body.addWidget(sample)
        card.body.addLayout(row(files, folder))
        layout.addWidget(card)
        layout.addStretch(1)
        files.clicked.connect(self.files_wanted.emit)
        folder.clicked.connect(self.folder_wanted.emit)
        sample.clicked.connect(self.sample_wanted.emit)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        made = icon("open", palette.muted, widget=self, size_px=48)
        self._picture.setPixmap(made.pixmap(QSize(48, 48)))
