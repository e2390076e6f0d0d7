"""What travels when a question is asked; see `napari_nunext.serving.protocol` for all else.

`POST /v1/ask` answers with one JSON object a line (NDJSON): `AskStarted`, then for each sample
`AskText` as it is written and one `Answered`, then `AskDone`, or `Failed`. What was written stays
valid whatever comes after. A reader who wants to show an answer before it is whole reads the text
so far by `napari_nunext.core.answers.reply.parse_reply`, as the server does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, TypeAdapter

from napari_nunext.core.answers.answerer import LONGEST_ANSWER
from napari_nunext.core.answers.boxes import BoxConvention, LeftOut
from napari_nunext.core.answers.budget import MOST_TOKENS
from napari_nunext.core.answers.prompts import MOST_CHARACTERS, MOST_OPTIONS
from napari_nunext.core.answers.reply import Reason, Thought
from napari_nunext.core.process.asked import AskTask
from napari_nunext.serving.fields import Number, Sentence
from napari_nunext.serving.protocol import (
    Event,
    Failed,
    JobRequest,
    Message,
)

if TYPE_CHECKING:
    from napari_nunext.core.answers.prompts import Question

BoxXY: TypeAlias = tuple[Number, Number, Number, Number]
"""x0, y0, x1, y1, level-0 px."""
NamedNucleus: TypeAlias = tuple[Number, Number, str]
"""x and y, level-0 px, and its category."""
Text: TypeAlias = Annotated[str, Field(max_length=MOST_CHARACTERS)]


class AnswererInfo(Message):
    """A model that answers questions, and all that an answer of its must be kept with."""

    id: str
    """What requests name."""
    model: str
    """As its own server names it, or its folder's name."""
    host: str
    """Where pictures are sent."""
    local: bool
    """Whether that is the model server's own machine."""
    may_train: bool
    """Whether its answers may be learned from."""
    boxes: BoxConvention
    thought: Thought
    patch_px: int
    reads_nuclei: bool = False
    """Whether it has to be told the nuclei of the region."""
    allocates: bool = False
    """Whether it can choose how many image tokens a question deserves."""
    budget: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    """Image tokens of the pictures that it was taught with; None where nobody says."""
    problem: Sentence | None = None
    """One sentence where it cannot be asked now; None too where nobody has looked."""


class AnswererList(Message):
    """Reply of ``GET /v1/answerers``."""

    answerers: list[AnswererInfo]


class AskRequest(JobRequest):
    """Ask about a region of an image."""

    answerer: str
    region: BoxXY | None = None
    """The whole image when None."""
    task: AskTask = "question"
    question: Text = ""
    """What is asked; of lesions, their category."""
    options: Annotated[tuple[Text, ...], Field(max_length=MOST_OPTIONS)] = ()
    organ: Text = ""
    nuclei: tuple[NamedNucleus, ...] | None = None
    """The nuclei of the region, for an answerer that reads them; those beyond it do not count. None
    where nobody has looked for nuclei, empty where there are none."""
    budget: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    """Image tokens that may be spent; None: as many as the answerer was taught with, or 256."""
    allocate: bool = False
    """Whether the answerer chooses how many of them it spends; one that cannot refuses."""
    samples: Annotated[int, Field(ge=1, le=4)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Of the first sample; the next ones count up."""
    max_tokens: Annotated[int, Field(ge=1, le=LONGEST_ANSWER)] | None = None
    """Of an answer, its thought included; None: as the answerer's option says, or 1024."""
    priority: Literal["interactive", "batch"] = "interactive"

    @classmethod
    def of(cls, question: Question, **further: Any) -> Self:
        """A question with all else that it takes; raises pydantic's error where that is wrong."""
        return cls.model_validate(
            {
                "task": question.task,
                "question": question.text,
                "options": question.options,
                "organ": question.organ,
                **further,
            }
        )


class AskStarted(Event):
    """First event: everything that made the answer, besides the request."""

    event: Literal["started"] = "started"
    run: str
    answerer: AnswererInfo
    prompt: str
    """All words that are sent with the picture, those of nuclei too."""
    system: str
    region: BoxXY
    """The part of the image that was drawn."""
    sent_px: tuple[int, int]
    """Width and height of the picture that is sent."""
    image_tokens: int
    """What it costs, as we count."""
    region_tokens: int
    """What it would cost without a budget."""
    allocated: int | None = None
    """Image tokens that the answerer has chosen; None where it was not to choose, or had nothing to
    choose from."""
    look_tokens: int = 0
    """Image tokens of the thumbnail that it chose by, not among `image_tokens`."""
    max_tokens: int | None = None
    """Tokens that the answer may have; None from servers of before."""


class AskText(Event):
    """A piece of a reply."""

    event: Literal["text"] = "text"
    sample: int
    part: Literal["text", "reasoning"]
    """``"reasoning"``: the answerer's server sent it apart, as thought."""
    text: str


class AnswerBoxOut(Message):
    """A box that an answer points to."""

    box: BoxXY
    label: str


class Answered(Event):
    """A reply is over, read by the grammar."""

    event: Literal["answered"] = "answered"
    sample: int
    raw: str
    """All of the text."""
    reasoning: str
    """All that was sent apart."""
    think: str
    answer: str
    failure: Reason | None
    """Why it is not exactly a thought and an answer; None where it is."""
    choice: int | None
    """Index of the option that it chooses."""
    boxes: list[AnswerBoxOut]
    boxes_left_out: dict[LeftOut, int]
    finish: Literal["stop", "length", "broken", "cancelled"]
    prompt_tokens: int | None
    output_tokens: int | None
    """As the answerer's server counted; None where it does not tell."""
    notes: list[Sentence]
    """What a reader should know of it."""


class AskDone(Event):
    """Last event of a question that was answered, or stopped by a person."""

    event: Literal["done"] = "done"
    answers: int
    finish: Literal["complete", "cancelled"]


AskEvent: TypeAlias = Annotated[
    AskStarted | AskText | Answered | AskDone | Failed, Field(discriminator="event")
]
ask_event: TypeAdapter[AskEvent] = TypeAdapter(AskEvent)
"""Parses a line of the stream."""
