"""A project with real pixels in which people ask, answer and judge."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from napari_nunext.core.answers.boxes import AnswerBox, boxes_of
from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.opinions import Correction, Preference, Rating
from napari_nunext.core.answers.points import nuclei_of_picture
from napari_nunext.core.answers.prompts import SYSTEM, Question, after_nuclei
from napari_nunext.core.answers.reply import choice_of, parse_reply
from napari_nunext.core.geometry import Box, as_points_xy
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.core.uids import as_uids
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.store import Project, events
from napari_nunext.store.answers import COUNTS, Answer, AnsweredBy, Asked, Evidence, Said
from napari_nunext.store.exports.training import export_training
from tests.store.conftest import entry

if TYPE_CHECKING:
    from collections.abc import Sequence

QUESTION = Question("question", "Is there necrosis", ("yes", "no"))
LESIONS = Question("lesions", "tumour", organ="breast")
REGION = Box(10.5, 20, 70, 60)
"""Cut to whole pixels, it is 60 x 40 px."""
CROP = Box(10, 20, 70, 60)


class AskingLab:
    def __init__(self, project: Project) -> None:
        self.project = project
        self.tiles = {}
        self._asked = 0

    def add_image(self, seed: int = 0, **more) -> str:
        rgb = np.random.default_rng(seed).integers(0, 256, (80, 100, 3), dtype=np.uint8)
        sha = pixels_sha256(rgb)
        self.tiles[sha] = tile_of_rgb(rgb, f"{seed}.png")
        self.project.add_image(entry(sha, **({"name": f"{seed}.png"} | more)))
        return sha

    def ask(
        self,
        sha: str,
        raw: str,
        question: Question = QUESTION,
        *,
        region: Box = REGION,
        sent_px: tuple[int, int] | None = (28, 28),
        boxes: str = "pixels",
        may_train: bool = True,
        name: str = "qwen",
        nuclei: Sequence[tuple[float, float, str]] | None = None,
        **said,
    ) -> str:
        """Record an answer as a model gives it; of the counting rule without `sent_px`.

        `nuclei` are what it read, level-0 px; None of an answerer that reads none.
        """
        self._asked += 1
        reply = parse_reply(raw)
        asked = Asked(question=question, region=region, mpp=0.5)
        by, read, told = COUNTS, (), Evidence()
        if sent_px is not None:
            sent = SentPicture(region, *sent_px)
            asked = Asked(
                question=question,
                region=region,
                mpp=0.5,
                prompt=question.prompt,
                system=SYSTEM,
                sent_px=sent_px,
                budget=256,
                image_tokens=sent.image_tokens,
            )
            read = boxes_of(reply.answer, sent, boxes).boxes
            by = AnsweredBy(name=name, host="10.0.0.7", may_train=may_train, boxes=boxes)
            if nuclei is not None:
                by = replace(by, reads_nuclei=True)
                told = Evidence(
                    uids=as_uids(UUID(int=100 + i) for i in range(len(nuclei))),
                    places_xy=as_points_xy([(x, y) for x, y, _ in nuclei]),
                    categories=tuple(category for _, _, category in nuclei),
                )
                words = nuclei_of_picture(sent, told.places_xy, told.categories)
                asked = replace(asked, prompt=after_nuclei(words, question.prompt))
        fields = {
            "answer": reply.answer,
            "think": reply.think,
            "raw": raw,
            "choice": choice_of(reply.answer, question.options),
            "boxes": read,
        }
        answer = Answer(
            answer_id=str(UUID(int=self._asked)),
            image_sha256=sha,
            asked=asked,
            by=by,
            said=Said(**(fields | said)),
            evidence=told,
        )
        return self.project.add_answer(answer).answer_id

    def rate(self, sha: str, answer_id: str, stars: int, *tags: str, **more) -> None:
        self.project.append([events.rate_answer(sha, answer_id, Rating(stars, tags), **more)])

    def correct(self, sha: str, answer_id: str, text=None, boxes=None, **more) -> None:
        drawn = None if boxes is None else tuple(map(AnswerBox, boxes))
        self.project.append(
            [events.correct_answer(sha, answer_id, Correction(text, drawn), **more)]
        )

    def prefer(self, sha: str, left: str, right: str, what: str, *, blind=True, **more) -> None:
        vote = Preference(left, right, what, blind)
        self.project.append([events.compare_answers(sha, vote, **more)])

    def export(self, out, **more):
        return export_training(self.project, out, images=self.image, **more)

    def image(self, image):
        return self.tiles[image.sha256]
