"""``nn.ask``: a question about an image, answered from its nuclei or by a model of a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.api.detecting import detect, region_of
from napari_nunext.api.images import mpp_of, source_of
from napari_nunext.api.models import server_at
from napari_nunext.commands.ask import COUNTS, Asked, AskOptions, asked_of_model, counted
from napari_nunext.core.answers.boxes import AnswerBox
from napari_nunext.core.answers.field import NucleusField
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import as_points_xy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_nunext.api.images import ImageLike
    from napari_nunext.api.nuclei import Nuclei
    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.process.asked import AskTask


@dataclass(frozen=True, eq=False)
class Answer:
    """What was said, and what it rests on."""

    text: str
    """The answer; why there is none, where `answered` is False."""
    answered: bool
    thought: str
    """How it came to it."""
    choice: int | None
    """Index of the option that it chooses."""
    boxes: tuple[AnswerBox, ...]
    """Where, level-0 px."""
    evidence_xy: PointsXY
    """Centroids of the nuclei that were counted, shape (N, 2), level-0 px."""
    about: Mapping[str, Any]
    """How it was made: answerer, image tokens, prompt, as its server tells."""

    def __str__(self) -> str:
        return self.text


def ask(
    image: ImageLike,
    question: str = "",
    mpp: float | None = None,
    *,
    options: Sequence[str] = (),
    task: AskTask = "question",
    organ: str = "",
    region: Box | Sequence[float] | None = None,
    nuclei: Nuclei | None = None,
    answerer: str = COUNTS,
    budget: int | None = None,
    allocate: bool = False,
    max_tokens: int | None = None,
    server: str | None = None,
) -> Answer:
    """Ask a question about an image.

    Parameters
    ----------
    image : path, array or ImageSource
        As `detect` takes it.
    question : str
        In English; of a search for lesions, their category.
    mpp : float, optional
        Micrometres per pixel; what the nuclei or the file say by default.
    options : sequence of str
        What to choose from; of a subtype, the categories.
    task : {"question", "subtype", "lesions"}
        A question, a subtype out of the options, or where lesions are.
    organ : str
        In which lesions are looked for.
    region : Box or sequence of float, optional
        What it is about, level-0 pixels; all of the image by default.
    nuclei : Nuclei, optional
        What is counted, or told to an answerer that reads nuclei; found first where they are
        needed and not given.
    answerer : str
        Counts, which answers from the nuclei (default), or an answerer of a model server.
    budget : int, optional
        Most image tokens; by default as many as the answerer was taught with, or 256.
    allocate : bool
        Let the answerer choose how many image tokens it spends, up to the budget.
    max_tokens : int, optional
        Of an answer at most, its thought included; by default as the answerer's option says, or
        1024.
    server : str, optional
        As `detect` takes it.

    Raises
    ------
    InputError
        If nothing can be asked, the answerer needs a server, or a number of tokens is below 1 or
        more than a server takes.
    ServerError
        If the server fails.
    """
    if mpp is None and nuclei is not None:
        mpp = nuclei.mpp
    source = source_of(image, mpp)
    box = source.box if region is None else region_of(region, source)
    asked = Asked(Question(task, question, tuple(options), organ), box)
    asking = AskOptions(answerer=answerer, budget=budget, allocate=allocate, max_tokens=max_tokens)

    def told() -> Nuclei:
        return detect(source, region=box, server=server) if nuclei is None else nuclei

    if answerer == COUNTS:
        field = _field(told(), box)
        return _answer(counted(asked, field), {"answerer": COUNTS})
    if server is None:
        raise InputError(
            f"The answerer {answerer!r} is a model of a server. Give its address with server, or "
            'leave out answerer: "counts" answers from nuclei here.'
        )
    with server_at(server) as client:
        known = {each.id: each for each in client.answerers()}
        if answerer not in known:
            raise InputError(
                f"The server has no answerer {answerer!r}; expected one of "
                f"{', '.join(known) or 'none: start it with --answerer'}."
            )
        read = _field(told(), box).nuclei if known[answerer].reads_nuclei else None
        said = asked_of_model(
            asked,
            client,
            client.put_image(source),
            mpp_of(source),
            asking,
            read,
        )
    return _answer(said, {"answerer": answerer, **said["made_by"]})


def _field(nuclei: Nuclei, box: Box) -> NucleusField:
    names = (category.name for category in nuclei.palette)
    return NucleusField.of(nuclei.predictions, box, nuclei.mpp, names)


def _answer(said: Mapping[str, Any], about: Mapping[str, Any]) -> Answer:
    evidence = [(place["x"], place["y"]) for place in said.get("evidence", ())]
    return Answer(
        said["answer"],
        said["answered"],
        said["think"],
        said["choice"],
        tuple(map(AnswerBox.from_json, said["boxes"])),
        as_points_xy(evidence),
        about,
    )
