"""A question as a job."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from napari_nunext.core.answers.answerer import LONGEST_ANSWER, USUAL_ANSWER
from napari_nunext.core.answers.budget import SentPicture, usual_budget
from napari_nunext.core.answers.points import nuclei_of_picture
from napari_nunext.core.answers.prompts import SYSTEM, Question, after_nuclei
from napari_nunext.core.answers.reading import read_answer
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box, as_points_xy
from napari_nunext.models.answerers.answerer import AnswerSampling, Ended, Said
from napari_nunext.models.answerers.picture import draw
from napari_nunext.serving.ask_protocol import (
    AnswerBoxOut,
    Answered,
    AskDone,
    AskEvent,
    AskRequest,
    AskStarted,
    AskText,
)
from napari_nunext.serving.jobs.allocating import Allocated, allocated
from napari_nunext.serving.jobs.kind import Kind, Outcome, Prepared
from napari_nunext.serving.models.answerers import describe
from napari_nunext.serving.protocol import Failed

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.models.answerers.answerer import Answerer
    from napari_nunext.serving.jobs.fair_queue import Urgency
    from napari_nunext.serving.jobs.kind import Steps
    from napari_nunext.serving.jobs.work import Work
    from napari_nunext.serving.settings import ServerSettings


class Ask(Kind[AskRequest]):
    """Ask an answerer about a region. Hanging up stops it."""

    name = "ask"
    request = AskRequest
    answer = AskEvent

    async def prepare(self, request: AskRequest, image: ImageSource) -> Prepared:
        """Choose the answerer; `InputError` for what cannot be asked, or lies outside the image."""
        question = Question(request.task, request.question, request.options, request.organ)
        answerer = self._shelf.answerers.choose(request.answerer)
        if request.allocate and answerer.allocator is None:
            raise InputError(
                f"{answerer.address.name} cannot choose image tokens: it has no allocator. Ask "
                "without allocate, or give it one as allocator=FOLDER."
            )
        budget = _budget(request, answerer)
        sent = SentPicture.of(_region(request, image), budget, answerer.address.patch_px)
        _prompt(request, question, sent, answerer)  # refuses at once what cannot be asked
        return Prepared(
            answerer.address.name,
            partial(self._steps, request, question, image, sent, answerer),
            unbegun=AskDone(answers=0, finish="cancelled"),
            apart=answerer.apart,
        )

    def urgency(self, request: AskRequest) -> Urgency:
        """As the request says."""
        return request.priority

    def limit_s(self, settings: ServerSettings) -> float:
        """The longest that an answerer may take, all samples together."""
        return settings.max_ask_s

    def too_long(self, limit_s: float) -> Failed:
        """What is said when an answer takes too long."""
        return Failed(
            code="time_limit",
            message=f"The answer was stopped after {limit_s:g} s, the most this server allows. "
            "What was said is kept.",
        )

    def _steps(
        self,
        request: AskRequest,
        question: Question,
        image: ImageSource,
        sent: SentPicture,
        answerer: Answerer,
        work: Work,
    ) -> Steps:
        chosen = Allocated(sent)
        if request.allocate and answerer.allocator is not None:
            budget = _budget(request, answerer)
            chosen = yield from allocated(answerer.allocator, question, image, sent, budget)
            self._metrics.tokens.labels("image").inc(chosen.look_tokens)
        sent = chosen.sent
        prompt = _prompt(request, question, sent, answerer)
        region, patch = sent.region, sent.patch_px
        rows, columns = (round(side / patch) or 1 for side in (region.height, region.width))
        yield AskStarted(
            run=work.id,
            answerer=describe(answerer.address),
            prompt=prompt,
            system=SYSTEM,
            region=region.as_tuple(),
            sent_px=(sent.width_px, sent.height_px),
            image_tokens=sent.image_tokens,
            region_tokens=rows * columns,
            allocated=chosen.tokens,
            look_tokens=chosen.look_tokens,
            max_tokens=_max_tokens(request, answerer),
        )
        rgb = draw(image, sent)
        answers = 0
        while answers < request.samples and not work.cancelled():
            answered = yield from self._sample(
                request, question, prompt, sent, answerer, rgb, answers, work
            )
            yield answered
            answers += 1
        finish: Literal["cancelled", "complete"] = "cancelled" if work.cancelled() else "complete"
        return Outcome(AskDone(answers=answers, finish=finish), finish)

    def _sample(
        self,
        request: AskRequest,
        question: Question,
        prompt: str,
        sent: SentPicture,
        answerer: Answerer,
        rgb: NDArray[np.uint8],
        sample: int,
        work: Work,
    ) -> Generator[AskText | None, None, Answered]:
        seed = None if request.seed is None else request.seed + sample
        sampling = AnswerSampling(request.temperature, seed, _max_tokens(request, answerer))
        heard: dict[bool, list[str]] = {False: [], True: []}
        ended = Ended("broken")
        for said in answerer.answer(rgb, prompt, SYSTEM, sampling, cancelled=work.cancelled):
            if isinstance(said, Ended):
                ended = said
            elif isinstance(said, Said):
                heard[said.reasoning].append(said.text)
                yield AskText(
                    sample=sample, part="reasoning" if said.reasoning else "text", text=said.text
                )
            else:
                yield None
        self._metrics.tokens.labels("image").inc(sent.image_tokens)
        self._metrics.tokens.labels("output").inc(ended.output_tokens or 0)
        text, reasoning = ("".join(heard[apart]) for apart in (False, True))
        answered = _answered(sample, text, reasoning, question, sent, answerer, ended)
        answered.notes.extend(_notes(sent, ended, sampling.max_tokens))
        return answered


def _budget(request: AskRequest, answerer: Answerer) -> int:
    """Image tokens that may be spent."""
    if request.budget is not None:
        return request.budget
    return usual_budget(answerer.address.budget, allocates=request.allocate)


def _max_tokens(request: AskRequest, answerer: Answerer) -> int:
    """Tokens that an answer may have."""
    return request.max_tokens or answerer.address.max_tokens or USUAL_ANSWER


def _region(request: AskRequest, image: ImageSource) -> Box:
    """The part of the image that is asked about."""
    if request.region is None:
        return image.box
    asked = Box.from_sequence(request.region)
    region = asked.clipped_to(image.box)
    if region.width < 1 or region.height < 1:
        raise InputError(
            f"The region {asked.as_tuple()} holds no pixel of the image "
            f"{image.box.as_tuple()}. Choose one that lies in it."
        )
    return region


def _prompt(request: AskRequest, question: Question, sent: SentPicture, answerer: Answerer) -> str:
    """The words that are sent, behind the nuclei of the region where the answerer reads them."""
    if not answerer.address.reads_nuclei:
        return question.prompt
    if request.nuclei is None:
        raise InputError(
            f"{answerer.address.name} reads the nuclei of the region, and none were sent. Find the "
            "nuclei there first, then ask again."
        )
    points_xy = as_points_xy([(x, y) for x, y, _ in request.nuclei])
    categories = [category for _, _, category in request.nuclei]
    return after_nuclei(nuclei_of_picture(sent, points_xy, categories), question.prompt)


def _answered(
    sample: int,
    raw: str,
    reasoning: str,
    question: Question,
    sent: SentPicture,
    answerer: Answerer,
    ended: Ended,
) -> Answered:
    address = answerer.address
    read = read_answer(
        raw,
        sent,
        options=question.options,
        reasoning=reasoning,
        thought=address.thought,
        boxes=address.boxes,
    )
    reply = read.reply
    return Answered(
        sample=sample,
        raw=raw,
        reasoning=reasoning,
        think=reply.think,
        answer=reply.answer,
        failure=None if reply.failure is None else reply.failure.reason,
        choice=read.choice,
        boxes=[AnswerBoxOut(box=b.box.as_tuple(), label=b.label) for b in read.boxes.boxes],
        boxes_left_out=dict(read.boxes.left_out),
        finish=ended.finish,
        prompt_tokens=ended.prompt_tokens,
        output_tokens=ended.output_tokens,
        notes=[],
    )


def _notes(sent: SentPicture, ended: Ended, most: int) -> list[str]:
    notes = []
    if ended.finish == "length":
        notes.append(
            f"The answer was cut off after {most} tokens, the most that it may have. Whoever adds "
            f"the answerer can allow more with max_tokens={min(4 * most, LONGEST_ANSWER)}."
            if most < LONGEST_ANSWER
            else f"The answer was cut off after {most} tokens, the most that any may have. Ask for "
            "less."
        )
    elif ended.finish == "broken":
        notes.append("The answerer broke off in the middle of its answer. Ask again.")
    if ended.image_tokens not in (None, sent.image_tokens):
        notes.append(
            f"The model made {ended.image_tokens} tokens of a picture that counts "
            f"{sent.image_tokens}: it has resized it, and boxes may be off."
        )
    # Prompt tokens are those of the picture and of the words.
    elif ended.prompt_tokens is not None and ended.prompt_tokens < sent.image_tokens:
        notes.append(
            f"The answerer read {ended.prompt_tokens} tokens, fewer than the {sent.image_tokens} "
            "of the picture: it has shrunk it, and boxes may be off."
        )
    return notes
