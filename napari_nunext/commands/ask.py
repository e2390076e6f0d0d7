"""``napari-nunext ask``: one question about an image, or a list of them, answered as JSON lines."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.commands.export import reader_name
from napari_nunext.commands.scales import scale_of
from napari_nunext.core.answers.answerer import LONGEST_ANSWER
from napari_nunext.core.answers.budget import MOST_TOKENS
from napari_nunext.core.answers.counts import answer_from_counts
from napari_nunext.core.answers.field import NucleusField
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import (
    MALFORMED,
    InputError,
    NunextError,
    OtherImageError,
    ServerUnavailableError,
)
from napari_nunext.core.geometry import Box
from napari_nunext.images import open_image
from napari_nunext.serving.ask_protocol import Answered, AskRequest, AskStarted
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.client.found import Found
from napari_nunext.serving.client.local_server import TOKEN_VARIABLE, LocalServer
from napari_nunext.serving.protocol import DetectRequest, Failed
from napari_nunext.store import Project
from napari_nunext.store.exports.files import as_marked

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.core.nuclei import Nucleus

COUNTS = "counts"
_FIELDS = {"task", "question", "options", "organ", "region"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a region; of the whole image where that is None."""

    question: Question
    region: Box | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Asked:
        """From ``{"question": ..., "options": [...], "task": ..., "organ": ..., "region": [...]}``.

        Raises
        ------
        InputError
            If it is something else, or nothing that can be asked.
        """
        try:
            if further := data.keys() - _FIELDS:
                raise InputError(
                    f"{sorted(further)[0]!r} is no part of a question; expected some of "
                    f"{', '.join(sorted(_FIELDS))}."
                )
            region = data.get("region")
            question = Question(
                data.get("task", "question"),
                str(data.get("question", "")),
                tuple(str(option) for option in data.get("options", ())),
                str(data.get("organ", "")),
            )
            return cls(question, None if region is None else Box.from_sequence(region))
        except InputError:
            raise
        except MALFORMED as error:
            raise InputError(
                f"A question is malformed ({type(error).__name__}); expected a JSON object with "
                f"some of {', '.join(sorted(_FIELDS))}."
            ) from error


@dataclass(frozen=True, slots=True)
class AskOptions:
    """Whom to ask, and with what.

    Raises
    ------
    InputError
        If a number of tokens is below 1 or more than a server takes.
    """

    answerer: str = COUNTS
    """`COUNTS`, or an answerer of the server."""
    project: Path | None = None
    """Whose nuclei count, or are read; without one they are looked for first."""
    mpp: float | None = None
    server: str = ""
    """Where the answerer is asked; its token is in the environment."""
    budget: int | None = None
    """Image tokens; None: as many as the answerer was taught with, or 256."""
    allocate: bool = False
    """Whether the answerer chooses how much of the budget it spends."""
    max_tokens: int | None = None
    """Of an answer; None: as the answerer's option says, or 1024."""
    model_paths: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.budget is not None and not 1 <= self.budget <= MOST_TOKENS:
            raise InputError(
                f"The budget is {self.budget} image tokens; expected 1 to {MOST_TOKENS}."
            )
        if self.max_tokens is not None and not 1 <= self.max_tokens <= LONGEST_ANSWER:
            raise InputError(
                f"An answer may have {self.max_tokens} tokens; expected 1 to {LONGEST_ANSWER}."
            )


def question_of(args: argparse.Namespace) -> Asked:
    """The question of a command line; `InputError` for what cannot be asked."""
    question = Question(args.task, args.question, tuple(args.options), args.organ)
    return Asked(question, None if args.region is None else Box.from_sequence(args.region))


def read_list(path: Path) -> list[Asked]:
    """The questions of a JSON Lines file.

    Raises
    ------
    InputError
        If a line is no question, with its number, or there is none.
    """
    asked = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is no text; expected one JSON object a line.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            asked.append(Asked.from_json(json.loads(line)))
        except InputError as error:
            raise InputError(f"{path.name}, line {number}: {error}") from error
        except ValueError as error:
            raise InputError(
                f"{path.name}, line {number} is no JSON; expected an object a line."
            ) from error
    if not asked:
        raise InputError(f"{path.name} holds no question; expected a JSON object a line.")
    return asked


def ask_image(
    path: Path,
    asked: Sequence[Asked],
    options: AskOptions,
    *,
    tell: Callable[[dict[str, Any]], None],
    say: Callable[[str], None],
) -> int:
    """Answer questions about an image, in their order.

    One that fails of several is named to `say`, and the others are answered nevertheless.

    Returns
    -------
    int
        How many could not be answered at all.

    Raises
    ------
    NunextError
        If the image, the project or the answerer cannot be used, or the only question fails.
    """
    image = open_image(path)
    failed = 0
    with _answering(image, asked, options, say) as answer:
        for number, each in enumerate(asked, start=1):
            try:
                said = answer(each)
            except NunextError as error:
                if len(asked) == 1:
                    raise
                failed += 1
                say(f"Question {number}: {error}")
                continue
            tell({"image": image.name, **_as_json(each), "answerer": options.answerer, **said})
    return failed


@contextmanager
def _answering(
    image: ImageSource, asked: Sequence[Asked], options: AskOptions, say: Callable[[str], None]
) -> Iterator[Callable[[Asked], dict[str, Any]]]:
    """What answers a question about the image."""
    if options.answerer == COUNTS:
        mpp, nuclei, categories = _nuclei(image, asked, options, say)
        yield lambda each: counted(
            each, NucleusField.of(nuclei, _region(each, image), mpp, categories)
        )
        return
    with Client(options.server, os.environ.get(TOKEN_VARIABLE)) as client:
        known = {each.id: each.reads_nuclei for each in client.answerers()}
        told: list[Nucleus] | None = None
        if known.get(options.answerer):
            mpp, told, _ = _nuclei(image, asked, options, say)
        else:
            mpp = scale_of(image, options.mpp, say)
        sha256 = client.put_image(image)

        def answer(each: Asked) -> dict[str, Any]:
            nuclei = None
            if told is not None:
                nuclei = NucleusField.of(told, _region(each, image), mpp).nuclei
            return asked_of_model(each, client, sha256, mpp, options, nuclei)

        yield answer


def _region(asked: Asked, image: ImageSource) -> Box:
    region = image.box if asked.region is None else asked.region.clipped_to(image.box)
    if region.width <= 0 or region.height <= 0:
        raise InputError(
            f"The region holds nothing of {image.name}, whose pixels are {image.box.as_tuple()}."
        )
    return region


def _as_json(asked: Asked) -> dict[str, Any]:
    question = asked.question
    return {
        "task": question.task,
        "question": question.text,
        "options": list(question.options),
        "region": None if asked.region is None else list(asked.region.as_tuple()),
    }


# Counts


def _nuclei(
    image: ImageSource, asked: Sequence[Asked], options: AskOptions, say: Callable[[str], None]
) -> tuple[float, list[Nucleus], tuple[str, ...]]:
    """Scale, nuclei and categories to count."""
    if options.project is not None:
        return _reviewed(image, options.project)
    mpp = scale_of(image, options.mpp, say)
    # A region beside the image is said when its question comes.
    inside = [each.region.clipped_to(image.box) for each in asked if each.region is not None]
    regions = inside if len(inside) == len(asked) else [image.box]
    around = Box(
        min(r.x0 for r in regions),
        min(r.y0 for r in regions),
        max(r.x1 for r in regions),
        max(r.y1 for r in regions),
    )
    found = Found()
    with LocalServer(options.model_paths) as server:
        client = server.client()
        request = DetectRequest(
            image=client.put_image(image), mpp=mpp, region=around.as_tuple(), priority="batch"
        )
        for event in client.detect(request):
            found.take(event)
    assert found.started is not None  # every stream that is not cancelled begins with it
    return mpp, found.nuclei(), tuple(c.name for c in found.started.model.categories)


def _reviewed(
    image: ImageSource, project_path: Path
) -> tuple[float, list[Nucleus], tuple[str, ...]]:
    """The nuclei that stand in a project, at its scale."""
    with Project.open(project_path, annotator=reader_name(), mode="r", create=False) as project:
        entries = {entry.sha256: entry for entry in project.images()}
        entry = entries.get(image.id)
        if entry is None:
            raise OtherImageError(
                f"{project_path.name} holds no image with the pixels of {image.name}. Name an "
                "image that was reviewed in it, or leave out --project."
            )
        entry = project.with_scale_of_all(entry)
        marked = as_marked(tuple(project.state(image.id).nuclei.values()))
        nuclei = [each.nucleus for each in marked if each.marks.stands]
        return entry.mpp, nuclei, tuple(category.name for category in project.categories())


def counted(asked: Asked, field: NucleusField) -> dict[str, Any]:
    """What the nuclei of a region answer, as JSON values."""
    said = answer_from_counts(asked.question, field)
    return {
        "answered": said.answered,
        "answer": said.answer,
        "think": said.think,
        "choice": said.choice,
        "boxes": [box.to_json() for box in said.boxes],
        "evidence": [
            {"uid": str(uid), "x": x, "y": y}
            for uid, (x, y) in zip(said.evidence, said.places_xy, strict=True)
        ],
    }


# Models


def asked_of_model(
    asked: Asked,
    client: Client,
    sha256: str,
    mpp: float,
    options: AskOptions,
    nuclei: Sequence[Nucleus] | None,
) -> dict[str, Any]:
    """What an answerer of a server says of an image that the server has, as JSON values.

    Raises
    ------
    ServerError
        If it says nothing.
    """
    request = AskRequest.of(
        asked.question,
        image=sha256,
        mpp=mpp,
        answerer=options.answerer,
        region=None if asked.region is None else asked.region.as_tuple(),
        budget=options.budget,
        allocate=options.allocate,
        max_tokens=options.max_tokens,
        nuclei=None if nuclei is None else [(n.x_px, n.y_px, n.category) for n in nuclei],
        priority="batch",
    )
    started: dict[str, Any] = {}
    for event in client.ask(request):
        if isinstance(event, AskStarted):
            started = event.model_dump(mode="json", exclude={"event", "run", "system", "region"})
        elif isinstance(event, Answered):
            said = event.model_dump(mode="json", exclude={"event", "sample"})
            return {"answered": event.finish != "broken", **said, "made_by": started}
        elif isinstance(event, Failed):
            raise ServerUnavailableError(event.message)
    raise ServerUnavailableError("The model server ended without an answer. Ask again.")
