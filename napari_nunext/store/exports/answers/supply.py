"""How much a project's judged answers give each way of training, and what of it is kept aside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_nunext.store.exports.answers.files import AnswerFiles, files_of
from napari_nunext.store.exports.answers.gathering import judged_answers
from napari_nunext.store.exports.splits import HELD_OUT_FRACTION, SPLIT_SEED, origins_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.formats.answer_records import AnswerRecord
    from napari_nunext.store.project import Project


@dataclass(frozen=True, slots=True)
class Supply:
    """Records of one kind."""

    learned: int = 0
    """Of the training split."""
    kept: int = 0
    """Of patients who are kept aside to test on."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.learned + self.kept


@dataclass(frozen=True, slots=True)
class AnswerSupply:
    """What an export of answers alone would hold for trainers."""

    right: Supply = field(default_factory=Supply)
    """Answers that are right as they are, or were corrected."""
    better: Supply = field(default_factory=Supply)
    """Pairs, one of which readers prefer, or which is the other one corrected."""
    rated: Supply = field(default_factory=Supply)
    """Answers that readers found good, or bad."""
    patients: int = 0
    kept_patients: int = 0
    patients_named: bool = True
    """Whether each image says whose it is; one that does not counts as a patient of its own."""
    restricted: int = 0
    """Judged answers that are left out: their models' terms forbid to learn from them."""

    @property
    def is_empty(self) -> bool:
        """Whether nobody judged any answer."""
        counted = (self.right, self.better, self.rated)
        return not self.restricted and not any(each.total for each in counted)


def answer_supply(project: Project) -> AnswerSupply:
    """Count what there is, split as `export_training` without regions splits it.

    Raises
    ------
    RecordError
        If an answer is about a place outside of its image.
    """
    judged = judged_answers(project)
    used = {each.entry.sha256 for each in judged.answers.values()}
    entries = [entry for entry in project.images() if entry.sha256 in used]
    origins = origins_of(
        project.uid,
        entries,
        project.origins(),
        seed=SPLIT_SEED,
        val_fraction=HELD_OUT_FRACTION,
    )
    files: AnswerFiles = files_of(judged, origins)
    splits = {origin.patient: origin.split for origin in origins.values()}
    return AnswerSupply(
        right=_supply(files.sft),
        better=_supply(files.preferences),
        rated=_supply(files.kto),
        patients=len(splits),
        kept_patients=sum(split != "train" for split in splits.values()),
        patients_named=all(entry.patient is not None for entry in entries),
        restricted=judged.restricted,
    )


def _supply(records: Sequence[AnswerRecord]) -> Supply:
    kept = Counter(record.source.split != "train" for record in records)
    return Supply(kept[False], kept[True])
