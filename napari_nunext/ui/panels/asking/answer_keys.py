"""Keys that judge answers: they work while the card of an answer has the focus, nowhere else.

They are Qt's shortcuts of the card. A field for text that lies on it keeps its letters, digits and
arrows, as Qt has it; the canvas and its keys never hear of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

from napari_nunext.core.answers.opinions import MOST_STARS
from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_nunext.core.answers.opinions import Preferred

PREFERRING: Mapping[Preferred, str] = {
    "left": "Left is better",
    "tie": "Tie",
    "both_bad": "Both bad",
    "skipped": "Skip",
    "right": "Right is better",
}
"""What each key of a comparison says."""
_OF_AN_ANSWER: Mapping[str, str] = {
    "wrong finding": "F",
    "wrong place": "P",
    "unsupported reasoning": "R",
    "unsafe": "U",
    "too vague": "V",
    "correct": "E",
    "comment": "C",
}
_OF_A_PAIR: Mapping[str, str] = {
    "left": "Left",
    "tie": "Up",
    "both bad": "Down",
    "skip": "S",
    "right": "Right",
}
_NAMES: Mapping[Preferred, str] = {"both_bad": "both bad", "skipped": "skip"}
"""How people call what has another name here."""
_FIXED = ("1", "2", "3", "4", "5", "Ctrl+Z", "Ctrl+Shift+Z", "Esc", "Tab")
_ARROWS = {
    "Left": "\N{LEFTWARDS ARROW}",
    "Right": "\N{RIGHTWARDS ARROW}",
    "Up": "\N{UPWARDS ARROW}",
    "Down": "\N{DOWNWARDS ARROW}",
}


@dataclass(frozen=True, slots=True)
class AnswerKeys:
    """Which key says what. Stars are the digits, whose number they are."""

    by_name: Mapping[str, str] = field(default_factory=lambda: {**_OF_AN_ANSWER, **_OF_A_PAIR})
    """Qt's name of each key, by what people call what it says."""

    @classmethod
    def chosen(cls, text: str) -> AnswerKeys:
        """The usual keys but those that a person chose, as in ``left=A, right=D``.

        Raises
        ------
        InputError
            If something else has a key, a key is none, or says two things on one card.
        """
        by_name = {**_OF_AN_ANSWER, **_OF_A_PAIR}
        for part in filter(None, map(str.strip, text.split(","))):
            name, _, key = (each.strip() for each in part.partition("="))
            sequence = QKeySequence(key)
            if name not in by_name or sequence.count() != 1 or not _is_key(sequence):
                raise InputError(
                    f"{part!r} chooses no key for an answer; expected a name and a key, as in "
                    f"left=A. Names are {', '.join(by_name)}."
                )
            by_name[name] = sequence.toString()
        for card in (_OF_AN_ANSWER, _OF_A_PAIR):
            keys = Counter([*_FIXED, *(by_name[name] for name in card)])
            if twice := [key for key, times in keys.items() if times > 1]:
                raise InputError(
                    f"The key {twice[0]} would say two things of an answer. Choose another one."
                )
        return cls(by_name)

    def of(self, what: str) -> str:
        """Qt's name of the key for a reason, a preference, ``"correct"`` or ``"comment"``."""
        return self.by_name[_NAMES.get(cast("Preferred", what), what)]

    def shown(self, what: str) -> str:
        """The same as people read it."""
        key = self.of(what)
        return _ARROWS.get(key, key)

    @property
    def sheet(self) -> tuple[tuple[str, str], ...]:
        """Lines of the cheat sheet."""
        reasons = " ".join(self.shown(reason) for reason in MOST_STARS)
        better = f"{self.shown('left')} {self.shown('right')}"
        neither = " ".join(self.shown(each) for each in ("tie", "both_bad", "skipped"))
        return (
            ("1 \N{EN DASH} 5", "Stars; the same again takes back"),
            (reasons, "Reasons; the same again takes back"),
            (f"{self.shown('correct')}, {self.shown('comment')}", "Correct it, comment on it"),
            (better, "Left or right is better"),
            (neither, "Tie, both bad, skip"),
        )


def _is_key(sequence: QKeySequence) -> bool:
    """Whether Qt knows it; what it does not know it writes as a key that no keyboard has."""
    name = sequence.toString()
    return name.isprintable() and QKeySequence(name) == sequence and bool(name)


GROUP = "On an answer (click on it)"


def bind(card: QWidget, keys: Mapping[str, Callable[[], object]]) -> None:
    """Have keys, by Qt's names, do things while `card` or what lies on it has the focus."""
    for name, act in keys.items():
        shortcut = QShortcut(QKeySequence(name), card)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.setAutoRepeat(False)  # a key held down would give stars and take them back
        shortcut.activated.connect(act)
