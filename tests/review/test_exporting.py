"""What the window exports of answers, and what it asks first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from napari_nunext.core.answers.opinions import Rating
from napari_nunext.core.answers.prompts import Question
from napari_nunext.store import Project, events
from napari_nunext.store.answers import COUNTS, Answer, Asked, Said

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController


def judge(controller: ReviewController, comment: str) -> None:
    """Record an answer about the open image, and what its reader says of it."""
    image = controller.images.model.open_field.entry
    project: Project = controller.session.project
    answer = Answer(
        answer_id=str(uuid4()),
        image_sha256=image.sha256,
        asked=Asked(question=Question("question", "How many"), region=image.box, mpp=image.mpp),
        by=COUNTS,
        said=Said(answer="2"),
    )
    project.add_answer(answer)
    rating = Rating(5, (), comment)
    project.append([events.rate_answer(image.sha256, answer.answer_id, rating)])


def counts(folder: Path) -> dict[str, int]:
    return json.loads((folder / "manifest.json").read_text())["counts"]


def test_judged_answers_leave_with_the_training_data(opened, tmp_path):
    judge(opened, "well seen")
    opened.export.training(tmp_path / "e")
    assert counts(tmp_path / "e")["answers_sft"] == 1
    assert opened.model.notice.words.startswith("Exported 1 answer to")
    assert "name nobody" in opened.model.notice.words


@pytest.mark.parametrize("with_answers", [True, False])
def test_words_that_seem_to_name_somebody_are_asked_about(opened, tmp_path, with_answers):
    opened.correct.add(30, 30)
    opened.decide.accept()
    judge(opened, "as Mrs Doe's")
    opened.export.training(tmp_path / "e")
    notice = opened.model.notice
    assert notice.level == "warning"
    assert "Doe" not in notice.words
    assert not (tmp_path / "e").exists()
    (notice.action if with_answers else notice.other)()
    assert ("answers" in counts(tmp_path / "e")) == with_answers
    assert opened.model.notice.level == "info"


def test_what_trains_the_detector_takes_no_words_along(opened, tmp_path):
    opened.correct.add(30, 30)
    opened.decide.accept()
    judge(opened, "as Mrs Doe's")
    opened.export.write_training(tmp_path / "e")
    assert "answers" not in counts(tmp_path / "e")
