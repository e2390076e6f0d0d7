"""Keys that judge answers: they work while the card of an answer has the focus, nowhere else.

They are Qt's shortcuts of the card. A field for text that lies on it keeps its letters, digits and
arrows, as Qt has it; the canvas and its keys never hear of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_nunext.core.answers.opinions import Preferred, Tag

PREFERRING: Mapping[Preferred, tuple[str, str, str]] = {
    "left": ("Left", "\N{LEFTWARDS ARROW}", "Left is better"),
    "tie": ("Up", "\N{UPWARDS ARROW}", "Tie"),
    "both_bad": ("Down", "\N{DOWNWARDS ARROW}", "Both bad"),
    "skipped": ("S", "S", "Skip"),
    "right": ("Right", "\N{RIGHTWARDS ARROW}", "Right is better"),
}
"""Qt's name of each key, how it is shown, and what it says."""
REASONS: Mapping[Tag, str] = {
    "wrong finding": "F",
    "wrong place": "P",
    "unsupported reasoning": "R",
    "unsafe": "U",
    "too vague": "V",
}
"""The key of each reason why an answer is not better."""
CORRECT, COMMENT = "E", "C"
SHEET = (
    ("1 \N{EN DASH} 5", "Stars; the same again takes back"),
    (" ".join(REASONS.values()), "Reasons; the same again takes back"),
    (f"{CORRECT}, {COMMENT}", "Correct it, comment on it"),
    ("\N{LEFTWARDS ARROW} \N{RIGHTWARDS ARROW}", "Left or right is better"),
    ("\N{UPWARDS ARROW} \N{DOWNWARDS ARROW} S", "Tie, both bad, skip"),
)
"""Lines of the cheat sheet."""
GROUP = "On an answer (click on it)"


def bind(card: QWidget, keys: Mapping[str, Callable[[], object]]) -> None:
    """Have keys, by Qt's names, do things while `card` or what lies on it has the focus."""
    for name, act in keys.items():
        shortcut = QShortcut(QKeySequence(name), card)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.setAutoRepeat(False)  # a key held down would give stars and take them back
        shortcut.activated.connect(act)
