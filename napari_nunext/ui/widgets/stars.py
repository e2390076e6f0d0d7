"""Five stars, and what each number of them means."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget

from napari_nunext.core.answers.opinions import STARS
from napari_nunext.ui.widgets.controls import Once, Text, row, set_property
from napari_nunext.ui.widgets.theme import Palette, icon

ICON_PX = 18
MEANINGS = " \N{MIDDLE DOT} ".join(
    f"{stars}\N{NO-BREAK SPACE}{words.replace(' ', chr(0xA0))}" for stars, words in STARS.items()
)
"""All of them in a line that breaks between two only."""


class _Star(Once, QToolButton):
    """One of them."""


class Stars(QWidget):
    """Says which star was clicked; whoever owns them says how many there are then."""

    clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._stars = 0
        self._palette: Palette | None = None
        self._buttons = [self._button(number) for number in STARS]
        self._said = Text(role="strong", wraps=True)
        self._meanings = Text(MEANINGS, role="muted", wraps=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        line = row(*self._buttons, self._said, stretch=len(self._buttons), gap_px=2)
        layout.addLayout(line)
        layout.addWidget(self._meanings)
        self.show_stars(None)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        self._draw()

    def stars(self) -> int | None:
        """How many there are."""
        return self._stars or None

    def show_stars(self, stars: int | None) -> None:
        """Have so many; None for no rating."""
        self._stars = stars or 0
        self._said.setText(STARS[self._stars] if self._stars else "not rated")
        set_property(self._said, "role", "strong" if self._stars else "muted")
        for number, made in zip(STARS, self._buttons, strict=True):
            made.setChecked(number == self._stars)
        self._draw()

    def star(self, number: int) -> QToolButton:
        """The button of one."""
        return self._buttons[number - 1]

    def _button(self, number: int) -> QToolButton:
        made = _Star()
        made.setProperty("role", "star")
        made.setText(str(number))
        made.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        made.setIconSize(QSize(ICON_PX, ICON_PX))
        made.setCheckable(True)
        made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        made.setCursor(Qt.CursorShape.PointingHandCursor)
        words = f"{number} star{'' if number == 1 else 's'}: {STARS[number]}"
        made.setAccessibleName(words)
        made.setToolTip(f"{words}  ({number}); again takes it back")
        made.clicked.connect(lambda: self._click(number))
        return made

    def _click(self, number: int) -> None:
        self.star(number).toggle()  # as before, until its owner says so
        self.clicked.emit(number)

    def _draw(self) -> None:
        if self._palette is None:
            return
        p = self._palette
        for number, made in zip(STARS, self._buttons, strict=True):
            is_on = number <= self._stars
            color = p.warn if is_on else p.muted
            made.setIcon(icon("star", color, widget=self, size_px=ICON_PX, filled=is_on))
