"""An answer, or two side by side, with what people say of them, as the panel shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_nunext.core.answers.reply import choice_of
from napari_nunext.store.answers import Evidence
from napari_nunext.store.kinds.answers import Opinion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nunext.core.answers.boxes import AnswerBox
    from napari_nunext.core.answers.opinions import Correction, Preferred, Rating
    from napari_nunext.store.answers import Answer


@dataclass(frozen=True, eq=False)
class ShownAnswer:
    """An answer and what is said of it. Equal to another one that shows the same."""

    answer: Answer
    """As it was given; it never changes."""
    mine: Opinion = field(default_factory=Opinion)
    """What the person at this window says of it."""
    others: Mapping[str, Opinion] = field(default_factory=lambda: MappingProxyType({}))
    """What others say, by their names."""
    hides_name: bool = False
    """Whether who answered must not be seen: it is being compared."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShownAnswer) and (
            (self.id, self.mine, dict(self.others), self.hides_name)
            == (other.id, other.mine, dict(other.others), other.hides_name)
        )

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        """Of the answer."""
        return self.answer.answer_id

    @property
    def rating(self) -> Rating:
        """Mine."""
        return self.mine.rating

    @property
    def correction(self) -> Correction:
        """Mine."""
        return self.mine.correction

    @property
    def text(self) -> str:
        """The answer as I corrected it, else as it was said."""
        mine = self.correction.text
        return self.answer.said.answer if mine is None else mine

    @property
    def boxes(self) -> tuple[AnswerBox, ...]:
        """The boxes as I corrected them, else as they were said; level-0 px."""
        mine = self.correction.boxes
        return self.answer.said.boxes if mine is None else mine

    @property
    def evidence(self) -> Evidence:
        """The nuclei that it rests on; none while that would tell who answered.

        Nuclei that an answerer was told are no part of what it says.
        """
        answer = self.answer
        return Evidence() if self.hides_name and answer.by.reads_nuclei else answer.evidence

    @property
    def choice(self) -> int | None:
        """Index of the option that `text` chooses."""
        if self.correction.text is None:
            return self.answer.said.choice
        return choice_of(self.text, self.answer.asked.question.options)

    @property
    def answerer(self) -> str:
        """Name of who answered; empty while it is hidden."""
        return "" if self.hides_name else self.answer.by.name


@dataclass(frozen=True, slots=True)
class Since:
    """What became of the nuclei that an answer rests on, since it was given."""

    of: int
    """How many it rests on."""
    changed: int = 0
    """How many of them are gone, rejected, elsewhere or of another category."""
    new: int = 0
    """How many it would rest on besides."""
    says_other: bool = False
    """Whether these are the same, and the nuclei say something else nevertheless."""

    @property
    def is_other(self) -> bool:
        """Whether there is anything to say."""
        return bool(self.changed or self.new or self.says_other)


@dataclass(frozen=True)
class ShownPair:
    """Two answers side by side."""

    left: ShownAnswer
    right: ShownAnswer
    preferred: Preferred | None = None
    """What the person at this window says; None before that."""

    @property
    def hides_names(self) -> bool:
        """Whether names, budgets and tokens must not be seen yet."""
        return self.left.hides_name
