"""Replies of a vLLM server to questions, for GRPO: the rollouts of an answerer.

As `nunext_training.trainers.vllm_rollouts` has it for detectors: a server that was started on the
checkpoint is sent the weights of now before each set of rollouts, and draws all replies to a
question by one request. No grammar binds a reply. What it is worth and how likely it is, is said by
the model in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import ServerError
from napari_nunext.models.next_point.sampling import Sampling
from napari_nunext.models.vllm.requests import Choice, reply_request
from nunext_training.trainers.vllm_rollouts import VllmReplies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class AskedOfServer:
    """A question about a picture."""

    rgb: NDArray[np.uint8]
    """As it is sent, shape (H, W, 3)."""
    prompt: str
    system: str
    prompt_ids: tuple[int, ...]
    """Tokens that training takes the prompt for, those of the picture among them."""

    @classmethod
    def of(cls, row: Mapping[str, Any], prompt_ids: Sequence[int]) -> AskedOfServer:
        """From a row of TRL's, of one picture."""
        said = {message["role"]: message["content"] for message in row["prompt"]}
        (picture,) = row["images"]
        rgb = np.asarray(picture.convert("RGB"))
        return cls(rgb, said["user"], said.get("system", ""), tuple(map(int, prompt_ids)))


class VllmAnswers(VllmReplies):
    """Replies of a vLLM server to questions. Parameters and errors are those of `VllmReplies`."""

    def replies(
        self,
        questions: Sequence[AskedOfServer],
        sampling: Sampling,
        *,
        max_tokens: int,
        ends: Sequence[int],
        never: Sequence[int] = (),
    ) -> list[list[int]]:
        """Sampled replies; the k-th to question i at ``i * rollouts + k``.

        Parameters
        ----------
        questions : sequence of AskedOfServer
        sampling : Sampling
            With a seed for each question.
        max_tokens : int
            A reply that has not ended by then is cut off, and has no end token.
        ends : sequence of int
            Tokens that end a reply.
        never : sequence of int
            Tokens that are not drawn.

        Raises
        ------
        TrainingError
            If the server fails, or answers to another prompt than training learns from.
        """
        return self.gathered(
            [
                self._replies_to(
                    question,
                    Sampling(sampling.temperature, (seed,), sampling.rollouts),
                    max_tokens,
                    tuple(ends),
                    never,
                )
                for question, seed in zip(questions, sampling.seeds, strict=True)
            ]
        )

    async def _replies_to(
        self,
        question: AskedOfServer,
        sampling: Sampling,
        max_tokens: int,
        ends: tuple[int, ...],
        never: Sequence[int],
    ) -> list[list[int]]:
        request = reply_request(
            question.rgb,
            question.prompt,
            question.system,
            model=self.model,
            max_tokens=max_tokens,
            sampling=sampling,
            ends=ends,
            never=never,
        )
        choices = await self.choices(request, question.prompt_ids, sampling.rollouts)
        replies = [_whole(Choice.read(choice), choice, ends) for choice in choices]
        if any(not reply or len(reply) > max_tokens for reply in replies):
            raise ServerError(
                f"{self.url} sent replies of {sorted(map(len, replies))} tokens; expected 1 to "
                f"{max_tokens} of each. Compare its version with the one in docs/vllm.md."
            )
        return replies


def _whole(choice: Choice, told: Mapping[str, Any], ends: tuple[int, ...]) -> list[int]:
    """A reply to the token that ended it, which some versions of vLLM tell apart from it."""
    said = list(choice.token_ids)
    if choice.finish != "stop" or (said and said[-1] in ends):
        return said
    reason = told.get("stop_reason")
    return [*said, reason if reason in ends else ends[0]]
