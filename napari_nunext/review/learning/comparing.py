"""The old model against the new one, on patients whose fields the new one did not learn from."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from napari_nunext.core.formats.json_lines import read_jsonl
from napari_nunext.core.formats.records import SFT_FILE, SftRecord
from napari_nunext.core.sentences import counted
from napari_nunext.review.learning.training import TrainingError
from napari_nunext.review.outcome import Comparison, Lesson

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from napari_nunext.core.scores.metrics import DetectionReport
    from napari_nunext.review.learning.training import Subject, Trainer

logger = logging.getLogger(__name__)

STOPPED = "The test was stopped: there are no figures."


def lesson_of(export: Path, nameless: Collection[str] = ()) -> Lesson:
    """Count what an export holds.

    Parameters
    ----------
    export : Path
    nameless : collection of str
        Content hashes of images of which nobody knows the patient.
    """
    records = [record for _, record in read_jsonl(export / SFT_FILE, SftRecord.from_json)]
    fields: Counter[bool] = Counter()
    points: Counter[bool] = Counter()
    for record in records:
        kept = record.source.split != "train"
        fields[kept] += 1
        points[kept] += len(record.nuclei)
    return Lesson(
        fields=fields[False],
        nuclei=points[False],
        kept_fields=fields[True],
        kept_nuclei=points[True],
        kept_patients=len({r.source.patient for r in records if r.source.split != "train"}),
        patients_named=not any(r.source.image_sha256 in nameless for r in records),
    )


def compare(
    trainer: Trainer,
    export: Path,
    lesson: Lesson,
    old: Subject,
    new: Subject,
    tell: Callable[[str], None],
    *,
    remembers: bool = False,
    added: Sequence[str] = (),
) -> Comparison:
    """Test both models on what was kept aside, and on tissue that the old one knew. Blocks.

    A model that cannot be tested, or a person who stops the test, leaves a figure out: a new model
    that is there is not lost.

    Parameters
    ----------
    tell : callable
        Told in words what is being done.
    remembers : bool
        Whether the old model knew something that the new one is to remember.
    added : sequence of str
        Categories that the old model lacked.
    """
    kept = f"on {counted(lesson.kept_patients, 'patient')} kept aside"
    tests: list[tuple[Path | None, str]] = [(export, kept)] if lesson.kept_fields else []
    tests += [(None, "on tissue that the old one knew")] if remembers else []
    reports: dict[tuple[Path | None, str], DetectionReport] = {}
    problem = ""
    for data, where in tests:
        for which, subject in (("old", old), ("new", new)):
            words = f"Testing the {which} model {where}"
            tell(words)

            def count(done: int, total: int, words: str = words) -> None:
                tell(f"{words}, field {min(done + 1, total)} of {total}")

            try:
                reports[data, which] = trainer.evaluate(subject, data, count)
            except TrainingError as error:
                if trainer.stopped:
                    return Comparison(problem=STOPPED, added=tuple(added))
                logger.warning("The %s model was not tested: %s", which, error)
                problem = f"The {which} model could not be tested here: {error}"
    return Comparison(
        reports.get((export, "old")),
        reports.get((export, "new")),
        problem,
        earlier_before=reports.get((None, "old")),
        earlier_after=reports.get((None, "new")),
        added=tuple(added),
    )
