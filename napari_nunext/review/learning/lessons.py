"""A lesson: what an answerer is taught, kept on disk until somebody took what came of it.

So a teaching that was stopped, or whose window was closed, goes on where it was; and figures that
took an hour are not lost with the window. In the user's folder of answerers stand, for a new
answerer ``patho-2``:

    patho-2            the new answerer, once it is complete
    patho-2.training   the state of its training, while that lasts
    patho-2.lesson     ``lesson.json`` and, until it was tested, the export that it learns from
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.answerer import AnswererFolder, answerer_from_json
from napari_nunext.core.sentences import counted
from napari_nunext.review.shown.taught import AnswerComparison

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_nunext.review.shown.teach import TeachingWay
    from napari_nunext.store.exports.answers.supply import AnswerSupply

logger = logging.getLogger(__name__)

SUFFIX = ".lesson"
LESSON_FILE = "lesson.json"
MADE_FILE = "training.json"
"""What a folder that training completed has."""
ROUNDS, LEAST_STEPS, MOST_STEPS, BATCH = 8, 20, 400, 4
"""Each answer is seen so often, within these steps of so many answers. Ours."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Everything that makes one teaching, so that another process of ours goes on with it."""

    home: Path
    """The folder of answerers."""
    name: str
    """Of the new answerer."""
    parent: AnswererFolder
    project: str
    """Unique id of the project that it learns from."""
    way: TeachingWay
    recipe: str
    steps: int
    budget: int
    """Image tokens of a picture, in training and in the test."""
    kept: str
    """What is kept aside, in sentences."""
    can_be_tested: bool
    """Whether any answers are kept aside."""
    is_tested: bool = False
    comparison: AnswerComparison = field(default_factory=AnswerComparison)

    @property
    def folder(self) -> Path:
        """Its own folder."""
        return self.home / f"{self.name}{SUFFIX}"

    @property
    def export(self) -> Path:
        """What is learned from."""
        return self.folder / "export"

    @property
    def out(self) -> Path:
        """The new answerer."""
        return self.home / self.name

    @property
    def is_trained(self) -> bool:
        """Whether the new answerer is complete."""
        return (self.out / MADE_FILE).is_file()

    def save(self) -> None:
        """Write it, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = {
            **{name: value for name, value in asdict(self).items() if name != "home"},
            "parent": self.parent.to_json(),
            "comparison": self.comparison.to_json(),
        }
        sibling = self.folder / "lesson.new"
        sibling.write_text(json.dumps(data, ensure_ascii=False) + "\n", encoding="utf-8")
        sibling.replace(self.folder / LESSON_FILE)

    def forget_export(self) -> None:
        """It is learned and tested: pictures of patients are not kept for longer than needed."""
        shutil.rmtree(self.export, ignore_errors=True)

    def remove(self) -> None:
        """Forget it, and a training that was not completed; a new answerer stays."""
        shutil.rmtree(self.out.with_name(f"{self.name}.training"), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def lessons_of(home: Path, project: str) -> Iterator[Lesson]:
    """Lessons of a project that nobody took yet; what cannot be read is passed over."""
    for path in sorted(home.glob(f"*{SUFFIX}/{LESSON_FILE}")):
        try:
            lesson = _lesson(home, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, KeyError, TypeError, ValueError) as error:
            logger.warning("the lesson %s is passed over: %r", path.parent.name, error)
            continue
        if lesson.project == project:
            yield lesson


def _lesson(home: Path, data: dict[str, Any]) -> Lesson:
    parent = answerer_from_json(data["parent"])
    if not isinstance(parent, AnswererFolder):
        raise TypeError("its parent is no folder")
    comparison = AnswerComparison.from_json(data["comparison"])
    return Lesson(home=home, **data | {"parent": parent, "comparison": comparison})


def steps_for(answers: int) -> int:
    """How many steps so many answers are worth."""
    return min(max(math.ceil(ROUNDS * answers / BATCH), LEAST_STEPS), MOST_STEPS)


def can_be_tested(supply: AnswerSupply) -> bool:
    """Whether anything is known of the answers kept aside; what is only bad has no figure."""
    return bool(supply.right.kept or supply.better.kept)


def kept_words(supply: AnswerSupply) -> str:
    """Who is kept aside, in sentences."""
    if not supply.kept_patients:
        return "All answers are of one patient: how good it is on others cannot be tested."
    if not can_be_tested(supply):
        return (
            "Nobody said what is right, or better, of the patients kept aside: how good it is on "
            "others cannot be tested."
        )
    words = (
        f"Tested on {counted(supply.kept_patients, 'patient')} kept aside, of "
        f"{supply.patients}, from whom it did not learn."
    )
    if not supply.patients_named:
        words += (
            " The names of some images do not say whose they are: each counts as a patient of its "
            "own, so tested and learned answers may be of one person."
        )
    return words
