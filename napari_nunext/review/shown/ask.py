"""What the part that asks shows: who can be asked, what is being said, what was said before."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from psygnal import SignalGroupDescriptor

from napari_nunext.core.answers.budget import BUDGET_TOKENS, PATCH_PX
from napari_nunext.core.process.asked import TASKS
from napari_nunext.review.shown.resetting import reset
from napari_nunext.store.answers import COUNTS, Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nunext.core.answers.boxes import AnswerBox
    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.process.asked import AskTask
    from napari_nunext.review.shown.answers import ShownAnswer, ShownPair, Since
    from napari_nunext.store.answers import AnswererKind

STAYS = "stays on this machine"

Where: TypeAlias = Literal["view", "region", "field"]
"""What is asked about: what the canvas shows, the region that is drawn, all of the image."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """Somebody who can be asked."""

    name: str
    """What a `Way` names."""
    title: str
    """What people read."""
    kind: AnswererKind = "model"
    tasks: tuple[AskTask, ...] = tuple(TASKS)
    """What it can be asked."""
    model: str = ""
    """As its own server names it."""
    where: str = STAYS
    """Where the picture goes, in words."""
    local: bool = True
    """Whether the picture stays on this machine."""
    may_train: bool = True
    """Whether its answers may be learned from; where not, say "not for training"."""
    patch_px: int = PATCH_PX
    """Side of one image token."""
    reads_nuclei: bool = False
    """Whether it is told the nuclei of the region."""
    allocates: bool = False
    """Whether it can choose how many image tokens a question deserves."""
    budget: int = BUDGET_TOKENS
    """Image tokens that are asked of it where nobody says otherwise."""
    problem: str = ""
    """One sentence where it cannot be asked now."""

    @property
    def needs_picture(self) -> bool:
        """Whether a picture is sent, so that a budget counts."""
        return self.kind == "model"


COUNTS_ANSWERER = Answerer(COUNTS.name, "Counts", "counts", ("question",))
"""The rule that answers from the nuclei; always there."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a question is put: to whom, and with what."""

    answerer: str = COUNTS.name
    """The name of an `Answerer`."""
    budget: int = BUDGET_TOKENS
    """Image tokens that may be spent."""
    allocate: bool = False
    """Whether the answerer chooses how many of them it spends."""
    max_tokens: int | None = None
    """Of the answer at most; None: as the answerer's option says, or 1024."""
    temperature: float = 0.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class AskStatus:
    """How the question that was put last is going."""

    phase: Literal["idle", "starting", "writing", "stopping"] = "idle"
    question: Question | None = None
    image_sha256: str = ""
    """The image it was asked of: not always the one that is open."""
    image_name: str = ""
    waiting: str = ""
    """What is waited for before the first word; a sentence."""
    comparing: bool = False
    """Whether it is put twice, to be compared. Nothing is shown of either then."""
    answers: int = 0
    """How many of the answers are there."""

    @property
    def busy(self) -> bool:
        """Whether somebody is being asked."""
        return self.phase != "idle"


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer as far as it is written."""

    answerer: str
    """Name of who writes it."""
    answer: str = ""
    think: str = ""
    raw: str = ""
    """All of its text."""
    boxes: tuple[AnswerBox, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)
    """The nuclei that it was told."""
    image_tokens: int | None = None
    """What the picture costs."""
    region_tokens: int | None = None
    """What it would cost without a budget."""
    allocated: int | None = None
    """What the answerer chose, where it was to choose."""
    look_tokens: int = 0
    """What it looked at for that."""


@dataclass(frozen=True, slots=True)
class AnswerFilter:
    """Which of the answers are listed."""

    text: str = ""
    """In the question, its options, the answer, a correction or a comment; case does not matter."""
    answerer: str = ""
    """Name of who answered; empty for all."""
    task: AskTask | Literal[""] = ""
    rated: bool | None = None
    """Whether I said anything of it; None for either."""
    stars: frozenset[int] = frozenset()
    """My stars; empty for any."""


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What may be asked for, the latest first: what was asked for before, and of the images."""

    lesions: tuple[str, ...] = ()
    organs: tuple[str, ...] = ()


@dataclass(eq=False)
class AskModel:
    """Everything that the panel for questions draws."""

    answerers: tuple[Answerer, ...] = (COUNTS_ANSWERER,)
    """Who can be asked, `COUNTS_ANSWERER` first."""
    looking: bool = False
    """Whether the model server is being asked for its answerers."""
    problem: str = ""
    """Why no answerers of the model server are known; one sentence."""
    answerer: str = COUNTS.name
    """Who is asked next."""
    budget: int = BUDGET_TOKENS
    """Image tokens that may be spent on the next picture."""
    allocate: bool = False
    """Whether answerers that can choose how many of them they spend do so."""
    max_tokens: int | None = None
    """Tokens of an answer at most; None: as its answerer says."""
    where: Where = "field"
    status: AskStatus = field(default_factory=AskStatus)
    draft: Draft | None = None
    """What is being written about the open image; None where nothing is, or it is compared."""
    answers: tuple[ShownAnswer, ...] = ()
    """Those about the open image that the filter lets through, the newest first."""
    total: int = 0
    """How many there are about the open image, whatever the filter."""
    filter: AnswerFilter = field(default_factory=AnswerFilter)
    selected: ShownAnswer | None = None
    """The one that is shown whole, as it stands now; of a pair one side."""
    pair: ShownPair | None = None
    """Two answers that are compared; None where none are."""
    boxes: tuple[AnswerBox, ...] = ()
    """What the image shows now: of the draft, else of the selected answer as corrected."""
    evidence: Evidence = field(default_factory=Evidence)
    """Nuclei that the image shows now, of the draft or of the selected answer, as they were."""
    since: Since | None = None
    """What became of the nuclei of the selected answer; None where nothing did."""
    kept: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Lists to choose from that the project keeps, by name."""
    suggestions: Suggestions = field(default_factory=Suggestions)
    agreement: tuple[str, ...] = ()
    """What readers' judgements add up to, a sentence each; empty until it was asked for."""
    ratings: bool = True
    """Whether answers can be rated, corrected and compared here."""

    def forget_project(self) -> None:
        """Show nothing of the project that was left; who can be asked, and how, stays."""
        chosen = ("answerer", "budget", "allocate", "max_tokens", "where")
        reset(self, keep=("answerers", "looking", "problem", "ratings", *chosen))

    def answerer_named(self, name: str) -> Answerer | None:
        """The one of this name, if it can be asked."""
        return next((each for each in self.answerers if each.name == name), None)

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()
