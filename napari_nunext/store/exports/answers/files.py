"""The files of a project's answers: what trainers read, and the answers whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_nunext.core.formats.answer_records import ANSWERS_FILE, ReaderVote
from napari_nunext.core.formats.json_lines import write_jsonl
from napari_nunext.store.exports.answers.judging import judge_pair
from napari_nunext.store.exports.answers.records import RecordsOf

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.formats.answer_records import (
        AnswerKtoRecord,
        AnswerPreferenceRecord,
        AnswerRecord,
        AnswerRftRecord,
        AnswerSftRecord,
        JudgedAnswerRecord,
    )
    from napari_nunext.store.entries import Origin
    from napari_nunext.store.exports.answers.gathering import JudgedAnswers
    from napari_nunext.store.exports.answers.pictures import Picture


@dataclass(slots=True)
class AnswerFiles:
    """What is written of a project's answers."""

    answers: list[JudgedAnswerRecord] = field(default_factory=list)
    sft: list[AnswerSftRecord] = field(default_factory=list)
    rft: list[AnswerRftRecord] = field(default_factory=list)
    preferences: list[AnswerPreferenceRecord] = field(default_factory=list)
    kto: list[AnswerKtoRecord] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)
    """What is drawn, by its path in the export."""
    restricted: int = 0
    disputed: int = 0
    """Answers and pairs that readers contradict each other about."""

    @property
    def for_trainers(self) -> dict[str, Sequence[AnswerRecord]]:
        """The records of each file that trainers read, by its name without suffix."""
        return {
            "answers_sft": self.sft,
            "answers_rft": self.rft,
            "answers_preferences": self.preferences,
            "answers_kto": self.kto,
        }

    def write(self, folder: Path) -> dict[str, int]:
        """Write all files, and return how many records each has; none where there is no answer."""
        if not self.answers and not self.restricted:
            return {}
        counts = {"answers": write_jsonl(folder / ANSWERS_FILE, self.answers)}
        for name, records in self.for_trainers.items():
            counts[name] = write_jsonl(folder / f"{name}.jsonl", records)
        return counts | {
            "answers_restricted": self.restricted,
            "answers_disputed": self.disputed,
        }


def files_of(judged: JudgedAnswers, origins: Mapping[str, Origin]) -> AnswerFiles:
    """The records of judged answers; `origins` are those of their images, by hash."""
    files = AnswerFiles(restricted=judged.restricted)
    known = {
        answer_id: RecordsOf(each, origins[each.entry.sha256])
        for answer_id, each in judged.answers.items()
    }
    labels: dict[str, tuple[bool, Iterable[str]]] = {}
    """Whether each answer is good, and who says so."""
    for answer_id, each in known.items():
        files.pictures[each.image] = each.picture
        files.answers.append(each.whole(_votes_from(answer_id, judged)))
        files.disputed += each.verdict.disputed
        if (sft := each.sft()) is not None:
            files.sft.append(sft)
        if (rft := each.rft()) is not None:
            files.rft.append(rft)
        if (pair := each.corrected_pair()) is not None:
            files.preferences.append(pair)
        if each.verdict.accepted or each.verdict.bad:
            labels[answer_id] = each.verdict.accepted, each.opinions
    for (first, second), votes in judged.votes.items():
        verdict = judge_pair(votes.values())
        files.disputed += verdict.disputed
        if verdict.better_id is not None:
            worse_id = second if verdict.better_id == first else first
            pair = known[verdict.better_id].compared_pair(known[worse_id], verdict.blind, votes)
            files.preferences += [] if pair is None else [pair]
        elif verdict.both_bad:
            for answer_id in (first, second):
                if not known[answer_id].verdict.disputed:
                    labels.setdefault(answer_id, (False, votes))  # its own rating says more
    rows = (known[answer_id].kto(*said) for answer_id, said in labels.items())
    files.kto = [row for row in rows if row is not None]
    return files


def _votes_from(answer_id: str, judged: JudgedAnswers) -> tuple[ReaderVote, ...]:
    """The votes that had an answer on the left."""
    return tuple(
        ReaderVote(reader, vote)
        for of in judged.votes.values()
        for reader, vote in of.items()
        if vote.left_id == answer_id
    )
