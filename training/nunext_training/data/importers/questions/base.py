"""What an importer of questions with their answers is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.answers.rewriting import with_boxes
from napari_nunext.core.errors import InputError, RecordError
from napari_nunext.core.geometry import Box
from napari_nunext.core.sentences import is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.formats.answer_records import NamedPoint
    from napari_nunext.core.formats.records import Split
    from napari_nunext.core.process.asked import AskTask

    Member: TypeAlias = Callable[[], Iterable["AnsweredImage"]]
    """Reads one picture of a data set, or the tiles of one; names its file in what it raises."""


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """A question, and what is right."""

    question: Question
    truth: str
    """Of a closed question the option's words; of lesions their boxes, as a reply writes them."""
    boxes: tuple[Box, ...] = ()
    """Of lesions, in pixels of the picture, from the top down."""
    kind: str | None = None
    """As `AnswerRecord.kind`."""


def known_answer(
    what: str,
    truth: str,
    *,
    task: AskTask = "question",
    text: str = "",
    options: tuple[str, ...] = (),
) -> KnownAnswer:
    """A question in words and its answer.

    Parameters
    ----------
    what : str
        Where it stands, for messages.
    truth : str
        The answer; where there are options, one of them.
    task, text, options
        As `Question` has them.

    Raises
    ------
    RecordError
        If there is no question or no answer, or one is no text.
    """
    if not truth.strip() or not is_text(truth):
        raise RecordError(f"{what} has no answer that can be read.")
    if options and truth not in options:
        raise RecordError(
            f"{what} has the answer {truth!r}; expected one of {', '.join(map(repr, options))}."
        )
    try:
        return KnownAnswer(Question(task, text, options), truth.strip())
    except InputError as error:
        raise RecordError(f"{what}: {error}") from error


def known_boxes(
    category: str, organ: str, boxes: Sequence[Box], size_px: tuple[int, int]
) -> KnownAnswer:
    """A search for lesions, and where they are in a picture of this width and height."""
    ordered = tuple(sorted(boxes, key=lambda box: (box.y0, box.x0, box.y1, box.x1)))
    whole = SentPicture(Box.of_image(*size_px), *size_px)
    truth = with_boxes(whole, "", ordered)
    return KnownAnswer(Question("lesions", category, organ=organ), truth, ordered)


@dataclass(frozen=True, eq=False, slots=True)
class AnsweredImage:
    """A picture, and questions about it whose answers are known."""

    name: str
    """Of its file in an export, where names are public."""
    rgb: NDArray[np.uint8]
    """Shape (H, W, 3)."""
    split: Split
    answers: tuple[KnownAnswer, ...]
    patient: str | None = None
    """Pseudonym; None where nobody knows: the original image stands for a patient."""
    image_sha256: str | None = None
    """Content hash of the original image; None where the picture is it."""
    region: Box | None = None
    """What the picture shows of the original, level-0 px; None for all."""
    tissue: str | None = None
    nuclei: tuple[NamedPoint, ...] | None = None
    """As `AnswerRecord.nuclei`."""
    mpp: float | None = None
    """Micrometres per pixel of the picture; None for those of the data set."""
    subset: str | None = None
    """As `AnswerRecord.subset`."""


class Lister(Protocol):
    """Finds what a data set holds."""

    def __call__(self, folder: Path) -> Sequence[Member]:
        """Every picture, to be read one by one, in a fixed order.

        Raises
        ------
        RecordError
            If the folder as a whole does not fit the layout.
        """
        ...


@dataclass(frozen=True, slots=True)
class QuestionImporter:
    """How to read one published data set of questions, classes or lesions."""

    name: str
    title: str
    """With its reference, for people."""
    recognises: Callable[[Path], bool]
    """Whether a folder has the data set's layout; cheap."""
    members: Lister
    mpp: float
    """Micrometres per pixel of its pictures."""
    mpp_is_said: bool
    """Whether its publishers say so; else it is assumed."""
    licence: str
    link: str
    """Where its publishers describe it."""
    not_carried: str = ""
    """What the data set holds and an import leaves behind."""
    names_are_public: bool = True
    """Whether its file names tell nothing that others may not know."""
