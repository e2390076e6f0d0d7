"""What a folder says of how its answerer was taught: training writes it, and the server reads it.

Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from napari_nunext.core.answers.budget import MOST_TOKENS
from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.integrity import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.answers.answerer import AnswererFolder

ABOUT_FILE = "training.json"
"""What a new answerer says of the run that made it."""
TaughtThought: TypeAlias = Literal["none", "prose", "points"]
"""What an answerer was taught to go by: the picture alone, figures that it writes first, or nuclei
that it is told."""


def _said(folder: Path) -> dict[str, Any]:
    """What a folder says of the run that made it; empty where it says nothing.

    Raises
    ------
    CheckpointError
        If that cannot be read.
    """
    path = folder / ABOUT_FILE
    try:
        is_there = path.exists()
    except OSError:  # of the whole folder, and who looks at its weights says so
        is_there = False
    return read_json(path) if is_there else {}


def taught_thought(folder: Path) -> TaughtThought | None:
    """How the answerer of a folder was taught; None where the folder does not say.

    Raises
    ------
    CheckpointError
        If what it says cannot be read or is not known.
    """
    thought = _said(folder).get("thought")
    if thought is None or thought in get_args(TaughtThought):
        return thought
    raise CheckpointError(
        f"{ABOUT_FILE} of {folder.name} says thought={thought!r:.40}; expected one of "
        f"{', '.join(get_args(TaughtThought))}. Update napari-nunext, or train the answerer again."
    )


def taught_budget(place: AnswererFolder) -> int | None:
    """Image tokens of the pictures that an answerer was taught with; None where nobody says.

    What was said of it counts first, then what its adapter says of its training, then what its
    folder says.

    Raises
    ------
    CheckpointError
        If what is said cannot be read, or is no budget.
    """
    if place.budget is not None:
        return place.budget
    said = (_said(each).get("budget") for each in (place.adapter, place.folder) if each is not None)
    budget = next((each for each in said if each is not None), None)
    if budget is None or (type(budget) is int and 1 <= budget <= MOST_TOKENS):
        return budget
    raise CheckpointError(
        f"{ABOUT_FILE} says budget={budget!r:.40}; expected 1 to {MOST_TOKENS} image tokens. "
        "Train the answerer again."
    )


def new_tokens(folder: Path) -> range:
    """Tokens of a base that it has never learnt; none where the folder says nothing of them.

    Raises
    ------
    CheckpointError
        If what it says cannot be read.
    """
    said = _said(folder).get("new_tokens")
    if said is None:
        return range(0)
    try:
        first, end = map(int, said)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{ABOUT_FILE} of {folder.name} says new_tokens={said!r:.40}; expected the first of "
            "them and one more than the last. Make the base again."
        ) from error
    return range(first, end)


def reads_nuclei(place: AnswererFolder) -> bool:
    """Whether an answerer is told the nuclei of the region.

    What was said of it counts first, then what its adapter says of its training, then what its
    folder says.

    Raises
    ------
    CheckpointError
        As `taught_thought`.
    """
    if place.reads_nuclei is not None:
        return place.reads_nuclei
    folders = (each for each in (place.adapter, place.folder) if each is not None)
    thoughts = (taught_thought(each) for each in folders)
    return next((thought for thought in thoughts if thought is not None), None) == "points"


@dataclass(frozen=True, slots=True)
class Allocation:
    """What an allocator was taught."""

    menu: tuple[int, ...]
    """Image tokens that it chooses from, in rising order."""
    look_tokens: int
    """Of the thumbnail that it looks at, at most."""

    def within(self, budget: int) -> tuple[int, ...]:
        """What may be chosen under a budget; the budget alone where the least is above it."""
        return tuple(tokens for tokens in self.menu if tokens <= budget) or (budget,)


def taught_allocation(folder: Path) -> Allocation:
    """What the allocator of a folder chooses from.

    Raises
    ------
    CheckpointError
        If the folder is no allocator's, or what it says cannot be used.
    """
    path = folder / ABOUT_FILE
    try:
        said = read_json(path) if path.exists() else {}
    except OSError as error:
        raise CheckpointError(f"{folder.name} cannot be read ({error.strerror}).") from error
    menu: Any = said.get("menu")
    look_tokens: Any = said.get("look_tokens")
    counts = [*menu, look_tokens] if isinstance(menu, list) and menu else [None]
    if not all(type(count) is int and 1 <= count <= MOST_TOKENS for count in counts):
        raise CheckpointError(
            f"{folder.name} is no allocator: its {ABOUT_FILE} says menu={menu!r:.40} and "
            f"look_tokens={look_tokens!r:.40}; expected whole numbers of 1 to {MOST_TOKENS}. Name "
            "a folder of nunext-train ask allocate."
        )
    return Allocation(tuple(sorted({*menu})), look_tokens)
