"""What a performer's answers are worth at each budget of image tokens, computed once.

An allocator learns from it, and no performer is asked meanwhile: the reward of a choice is looked
up (arXiv 2505.15687, Eq. 10, whose r(n') and r(n) these are). One line of JSON says what it is of,
then a line for each question follows, so that a table that was cut off goes on.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_nunext.core.errors import MALFORMED, InputError
from napari_nunext.core.formats.json_lines import read_jsonl
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from nunext_training.runs.files import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TableOf:
    """What a table is of; only the very same goes on."""

    performer_sha256: str
    adapter_sha256: str | None
    split: str
    budgets: tuple[int, ...]
    """In rising order."""
    data: tuple[str, ...]
    """SHA-256 of each export's manifest."""

    @classmethod
    def from_performer(
        cls,
        checkpoint: Path,
        adapter: Path | None,
        split: str,
        budgets: tuple[int, ...],
        data: tuple[str, ...],
    ) -> Self:
        """With the hashes of a performer's files."""
        return cls(
            checkpoint_sha256(checkpoint),
            None if adapter is None else checkpoint_sha256(adapter),
            split,
            budgets,
            data,
        )

    def check_performer(self, checkpoint: Path, adapter: Path | None, name: str) -> None:
        """Raise `InputError` if a table of this name is of another performer."""
        same = self.from_performer(checkpoint, adapter, self.split, self.budgets, self.data)
        if same != self:
            raise InputError(
                f"{name} is a table of another performer's rewards. Name that one, or make the "
                "table of this one."
            )

    def to_json(self) -> dict[str, Any]:
        """The first line."""
        return asdict(self) | {"budgets": list(self.budgets), "data": list(self.data)}


@dataclass(frozen=True, slots=True)
class TabledQuestion:
    """A question at every budget."""

    id: str
    """Of its record."""
    image: str
    """Which image it is about: questions about one image are drawn together."""
    kind: str
    tokens: tuple[int, ...]
    """Of the picture at each budget, by Eq. 4."""
    rewards: tuple[float, ...]
    """R_task, without the format's, at each budget."""

    def __post_init__(self) -> None:
        """Refuse what no choice can be looked up in."""
        if not len(self.tokens) == len(self.rewards) > 0:
            raise InputError(
                f"{self.id} has {len(self.tokens)} sizes and {len(self.rewards)} rewards; expected "
                "one of each for every budget."
            )
        if min(self.tokens) < 1 or not all(map(math.isfinite, self.rewards)):
            raise InputError(
                f"{self.id} has the tokens {self.tokens} and the rewards {self.rewards}; expected "
                "positive integers and finite numbers."
            )


@dataclass(frozen=True, slots=True)
class RewardTable:
    """Every question of a split, at every budget."""

    of: TableOf
    questions: tuple[TabledQuestion, ...]

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Shape (questions, budgets)."""
        return np.array([q.tokens for q in self.questions]).reshape(-1, len(self.of.budgets))

    @property
    def rewards(self) -> NDArray[np.float64]:
        """Shape (questions, budgets)."""
        return np.array([q.rewards for q in self.questions]).reshape(-1, len(self.of.budgets))

    def by_id(self) -> dict[str, TabledQuestion]:
        """Questions by their records' ids."""
        return {question.id: question for question in self.questions}


def read_table(path: Path) -> RewardTable:
    """Read a table.

    Raises
    ------
    InputError
        If it is none, or a question has not every budget.
    """
    try:
        lines = [line for _, line in read_jsonl(path, dict)]
        of, questions = _table_of(lines[0]), tuple(map(_question, lines[1:]))
    except (*MALFORMED, OSError) as error:
        raise InputError(
            f"{path.name} is no table of rewards ({error}). Make one with nunext-train ask table."
        ) from error
    for question in questions:
        if len(question.tokens) != len(of.budgets):
            raise InputError(
                f"{path.name}: {question.id} has {len(question.tokens)} budgets; expected "
                f"{len(of.budgets)}. Make the table again."
            )
    return RewardTable(of, questions)


def open_table(path: Path, of: TableOf) -> RewardTable:
    """Begin a table, or go on with one that was cut off.

    Raises
    ------
    InputError
        If the file is the table of something else.
    """
    if not path.exists():
        path.write_text(json.dumps(of.to_json()) + "\n", encoding="utf-8")
        return RewardTable(of, ())
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]  # the last line may be half a line
    if whole != text:
        write_text(path, whole)
    table = read_table(path)
    if table.of != of:
        raise InputError(
            f"{path.name} is a table of another performer, split, data or budgets. Name another "
            "--out, or delete it."
        )
    return table


def append_questions(path: Path, questions: Sequence[TabledQuestion]) -> None:
    """Add questions, each on a line of its own."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(question)) + "\n" for question in questions)


def _table_of(line: dict[str, Any]) -> TableOf:
    adapter = line["adapter_sha256"]
    return TableOf(
        performer_sha256=str(line["performer_sha256"]),
        adapter_sha256=None if adapter is None else str(adapter),
        split=str(line["split"]),
        budgets=tuple(map(int, line["budgets"])),
        data=tuple(map(str, line["data"])),
    )


def _question(line: dict[str, Any]) -> TabledQuestion:
    return TabledQuestion(
        str(line["id"]),
        str(line["image"]),
        str(line["kind"]),
        tuple(map(int, line["tokens"])),
        tuple(map(float, line["rewards"])),
    )
