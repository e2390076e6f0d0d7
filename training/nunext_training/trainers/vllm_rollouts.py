"""Rollouts from a vLLM server, which decodes many replies at once on GPUs of its own.

A server is started on the checkpoint that training begins from (docs/scale-out.md). Before each set
of rollouts it is sent the weights of now, as TRL sends them: over NCCL, by TRL's own client, which
needs vllm installed beside training. Replies come over HTTP, one request for a window with all its
rollouts, drawn under the codec's grammar as `nunext_training.trainers.rollouts` draws them.

What the server drew from and what is learned from are the same distribution but for the precision
of its arithmetic: log-probabilities are computed anew by the model in training.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from trl.import_utils import is_vllm_available

from napari_nunext.core.errors import InputError, ServerError, ServerUnavailableError
from napari_nunext.models.next_point.decoder import last_position
from napari_nunext.models.vllm.connection import VllmConnection
from napari_nunext.models.vllm.names import KEY_VARIABLE
from napari_nunext.models.vllm.requests import (
    PATH,
    Choice,
    check_prompt,
    check_reply,
    points_request,
)
from nunext_training.runs.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from napari_nunext.models.next_point.sampling import Sampling

T = TypeVar("T")
AT_ONCE = 32
"""Requests that wait for the server together."""
TRIES = 4
"""A server that is overloaded or starts again is asked so often, with growing pauses."""


class VllmReplies:
    """What is drawn from a vLLM server.

    Its key, where it wants one, is taken from ``VLLM_API_KEY``.

    Parameters
    ----------
    url : str
        Of the server, without ``/v1``.
    pause_s : float
        Before the second try; doubles from try to try.

    Raises
    ------
    InputError
        If no server answers at `url`.
    """

    def __init__(self, url: str, *, pause_s: float = 2.0) -> None:
        self._connection = VllmConnection(url, os.environ.get(KEY_VARIABLE))
        self.url = self._connection.url
        self._pause_s = pause_s
        self._places = asyncio.Semaphore(AT_ONCE)
        look = self._connection.look()
        if look.problem is not None or not look.served:
            self.close()
            raise InputError(
                f"No vLLM server answers at {self.url} ({look.problem}). Start one on the "
                "checkpoint (docs/scale-out.md), or correct --vllm."
            )
        self.model = look.served[0]

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def gathered(self, works: Sequence[Coroutine[Any, Any, Sequence[T]]]) -> list[T]:
        """What all of them give, in their order; they run side by side.

        Raises
        ------
        TrainingError
            If the server fails.
        """
        asked = [self._connection.submit(work) for work in works]
        try:
            return [found for each in asked for found in each.result()]
        except ServerError as error:
            raise TrainingError(f"{error} Then go on with --resume.") from error
        finally:
            for each in asked:
                each.cancel()

    async def choices(
        self, request: dict[str, Any], prompt_ids: Sequence[int], count: int
    ) -> list[dict[str, Any]]:
        """So many answers to a request, in the order of their numbers.

        Raises
        ------
        ServerError
            If the server fails, or answers to another prompt.
        """
        async with self._places:
            answer = await self._asked(request)
        check_prompt(answer.get("prompt_token_ids"), prompt_ids, self.url)
        choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
        if len(choices) != count:
            raise ServerError(
                f"{self.url} sent {len(choices)} replies; expected {count}. Compare "
                "its version with the one in docs/vllm.md."
            )
        return choices

    async def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        for attempt in range(TRIES):
            try:
                answer: dict[str, Any] = (await self._connection.ask("POST", PATH, request)).json()
                return answer
            except ServerUnavailableError:
                if attempt + 1 == TRIES:
                    raise
            await asyncio.sleep(self._pause_s * 2**attempt)
        raise AssertionError  # the last try returns or raises


class VllmServer(VllmReplies):
    """Replies of a vLLM server to windows.

    Parameters
    ----------
    url, pause_s
        As those of `VllmReplies`, and its errors.
    checkpoint : LoadedCheckpoint
        Gives prompt and grammar.
    """

    def __init__(self, url: str, checkpoint: LoadedCheckpoint, *, pause_s: float = 2.0) -> None:
        super().__init__(url, pause_s=pause_s)
        self._description = checkpoint.description
        self._windows = checkpoint.windows

    def replies(
        self,
        windows: Sequence[NDArray[np.uint8]],
        sampling: Sampling,
        *,
        max_points: int,
        asked: Sequence[Sequence[str]] = (),
    ) -> tuple[tuple[int, ...], ...]:
        """Sampled replies; the k-th of window i at ``i * rollouts + k``.

        A reply that was cut off after `max_points` has no end token. Of each window everything is
        asked, or the categories of `asked`.

        Raises
        ------
        TrainingError
            If the server fails, or answers to another prompt than training learns from.
        """
        works = [
            self._replies_to(
                *(window, replace(sampling, seeds=(seed,))),
                *(max_points, each),
            )
            for window, seed, each in zip(
                windows, sampling.seeds, asked or [()] * len(windows), strict=True
            )
        ]
        return tuple(self.gathered(works))

    async def _replies_to(
        self,
        window: NDArray[np.uint8],
        sampling: Sampling,
        max_points: int,
        asked: Sequence[str],
    ) -> list[tuple[int, ...]]:
        codec = self._description.codec
        request = points_request(
            window,
            self._description,
            model=self.model,
            max_tokens=last_position(codec, max_points) + 1,
            sampling=sampling,
            instruction=self._windows.instruction(asked),
        )
        expected = self._windows.prompt_ids_of(asked)
        choices = await self.choices(request, expected, sampling.rollouts)
        replies = [Choice.read(choice).reply(codec) for choice in choices]
        for reply in replies:
            check_reply(reply, codec, self.url)
        return replies


def check_vllm() -> None:
    """Raise `InputError` unless weights can be sent: TRL's client needs vllm beside training."""
    if not is_vllm_available():
        raise InputError(
            "Rollouts from a vLLM server need vllm beside training, to send it the weights. "
            "Install it in this environment (docs/scale-out.md), or leave out --vllm."
        )


def weight_sender(model: Any, accelerator: Any, processor: Any, url: str) -> Any:
    """TRL's sender; its ``sync_weights()`` is to be called by every process at the same time."""
    from trl.generation.vllm_generation import VLLMGeneration

    return VLLMGeneration(
        model=model,
        accelerator=accelerator,
        processing_class=processor,
        mode="server",
        server_base_url=url,
    )
