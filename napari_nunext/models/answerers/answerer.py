"""What every answerer offers, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.answers.answerer import AnswererPlace
    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.models.answerers.about import Allocation

Finish: TypeAlias = Literal["stop", "length", "broken", "cancelled"]
"""How a reply ended: by itself, at the most tokens, by a server that broke off, or by a person."""


@dataclass(frozen=True, slots=True)
class AnswerSampling:
    """How tokens are chosen."""

    temperature: float = 0.0
    seed: int | None = None
    max_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of a reply."""

    text: str
    reasoning: bool = False
    """Whether the server sent it apart, as the model's thought."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A reply is over."""

    finish: Finish
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    """As the server counted them; None where it does not tell."""
    image_tokens: int | None = None
    """Those of the picture among the prompt's; None where it does not tell them apart."""


class Allocator(Protocol):
    """Chooses how many image tokens a question deserves (arXiv 2505.15687)."""

    @property
    def allocation(self) -> Allocation:
        """What it chooses from, and how much it looks at."""
        ...

    def choose(
        self,
        thumbnail_rgb: NDArray[np.uint8],
        question: Question,
        menu: Sequence[int],
        *,
        current_tokens: int,
        most_tokens: int,
    ) -> Iterator[int | None]:
        """Choose; see `napari_nunext.models.answerers.allocator.choose_tokens`.

        Yields
        ------
        int or None
            None where nothing has come for a moment. The choice is the last.

        Raises
        ------
        CheckpointError
            If its model cannot be brought into memory.
        """
        ...


class Answerer(Protocol):
    """Answers questions about pictures."""

    @property
    def address(self) -> AnswererPlace:
        """What it is, and its ways."""
        ...

    @property
    def apart(self) -> bool:
        """Whether another process does the work: then it takes no turn among our models."""
        ...

    @property
    def allocator(self) -> Allocator | None:
        """Chooses its image tokens; None where nothing does."""
        ...

    def problem(self) -> str | None:
        """One sentence where it cannot be asked now. May take seconds."""
        ...

    def answer(
        self,
        rgb: NDArray[np.uint8],
        prompt: str,
        system: str,
        sampling: AnswerSampling,
        *,
        cancelled: Callable[[], bool],
    ) -> Iterator[Said | Ended | None]:
        """Answer, piece by piece.

        Parameters
        ----------
        rgb : ndarray of uint8, shape (H, W, 3)
            Sent as it is, pixel by pixel.
        prompt, system : str
        sampling : AnswerSampling
        cancelled : callable
            Asked before every step.

        Yields
        ------
        Said, Ended or None
            None where nothing has come for a moment. `Ended` is the last.

        Raises
        ------
        ServerUnavailableError
            If it cannot be reached, or has too much to do; before anything was said.
        RequestRejectedError
            If it refuses, or is no such server.
        CheckpointError
            If it is a folder whose model cannot be brought into memory.
        """
        ...

    def close(self) -> None:
        """Stop whatever is under way, from any thread."""
        ...
