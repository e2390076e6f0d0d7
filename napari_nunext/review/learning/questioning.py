"""The old answerer against the new one, on answers about patients who were kept aside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nunext.review.learning.pupils import trains_additions
from napari_nunext.review.learning.training import TrainingError
from napari_nunext.review.shown.taught import AnswerComparison, figures_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.core.answers.answerer import AnswererFolder
    from napari_nunext.review.learning.lessons import Lesson
    from napari_nunext.review.learning.training import Trainer
    from napari_nunext.review.shown.taught import AnswerFigure


def made_by(lesson: Lesson) -> AnswererFolder:
    """The new answerer, where it lies."""
    if trains_additions(lesson.parent, lesson.recipe):
        return replace(lesson.parent, name=lesson.name, adapter=lesson.out)
    return replace(lesson.parent, name=lesson.name, folder=lesson.out)


def question_both(
    trainer: Trainer, lesson: Lesson, tell: Callable[[str], None]
) -> AnswerComparison:
    """Ask both what was kept aside; one that cannot be asked has no figures. Blocks.

    Parameters
    ----------
    tell : callable
        Told in words what is being done.

    Raises
    ------
    TrainingError
        If the test was stopped.
    """
    if not lesson.can_be_tested:
        return AnswerComparison()
    found: list[dict[str, AnswerFigure]] = []
    problem = ""
    for which, place in (("old", lesson.parent), ("new", made_by(lesson))):
        words = f"Testing the {which} answerer"
        tell(words)

        def count(done: int, total: int, words: str = words) -> None:
            tell(f"{words}, {min(done + 1, total)} of {total}")

        try:
            report = trainer.question(lesson.export, place, budget=lesson.budget, tell=count)
            found.append(figures_of(report))
        except (TrainingError, KeyError, TypeError, ValueError) as error:
            if trainer.stopped:
                raise TrainingError("The test was stopped.") from error
            problem = f"The {which} answerer was not tested. {error}"
            found.append({})
    before, after = found
    return AnswerComparison(before, after, problem)
