"""Rollouts from a vLLM server, which decodes many replies at once on GPUs of its own.

A server is started on the checkpoint that training begins from (docs/scale-out.md). Before each set
of rollouts it is sent the weights of now, as TRL sends them: over NCCL, by TRL's own client, which
needs vllm installed beside training. Replies come over HTTP, one request for a window with all its
rollouts, under the codec's grammar: a regular expression for the order, and the ids of the codec's
tokens, without which coordinates could be spelled out.

What the server drew from and what is learned from are the same distribution but for the precision
of its arithmetic: log-probabilities are computed anew by the model in training.
"""

from __future__ import annotations

import base64
import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
from PIL import Image
from trl.import_utils import is_vllm_available

from napari_nunext.core.codec import SEPARATOR_TEXT, latent_token
from napari_nunext.core.errors import InputError
from napari_nunext.models.generate import last_position
from nunext_training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.codec import Codec
    from napari_nunext.models.generate import Sampling
    from napari_nunext.models.loading import LoadedCheckpoint

TIMEOUT_S = 300.0
AT_ONCE = 32
"""Requests that wait for the server together."""
TRIES = 4
"""A server that is overloaded or starts again is asked so often, with growing pauses."""


class VllmServer:
    """Replies of a vLLM server to windows.

    Parameters
    ----------
    url : str
        Of the server, without ``/v1``.
    checkpoint : LoadedCheckpoint
        Gives prompt and grammar.
    pause_s : float
        Before the second try; doubles from try to try.

    Raises
    ------
    InputError
        If no server answers at `url`.
    """

    def __init__(self, url: str, checkpoint: LoadedCheckpoint, *, pause_s: float = 2.0) -> None:
        self.url = url.rstrip("/")
        self._codec = checkpoint.description.codec
        self._instruction = checkpoint.description.instruction
        self._prompt_ids = list(checkpoint.windows.prompt_ids)
        self._pause_s = pause_s
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)
        try:
            response = self._client.get(f"{self.url}/v1/models")
            response.raise_for_status()
            self._model = str(response.json()["data"][0]["id"])
        except (httpx.HTTPError, ValueError, KeyError, IndexError) as error:
            raise InputError(
                f"No vLLM server answers at {self.url} ({error}). Start one on the checkpoint "
                "(docs/scale-out.md), or correct --vllm."
            ) from error

    def replies(
        self, windows: Sequence[NDArray[np.uint8]], sampling: Sampling, *, max_points: int
    ) -> tuple[tuple[int, ...], ...]:
        """Sampled replies; the k-th of window i at ``i * rollouts + k``.

        A reply that was cut off after `max_points` has no end token.

        Raises
        ------
        TrainingError
            If the server fails, or answers to another prompt than training learns from.
        """
        with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(windows))) as pool:
            answers = pool.map(
                lambda one: self._replies_to(one[0], one[1], sampling, max_points),
                zip(windows, sampling.seeds, strict=True),
            )
            return tuple(reply for answer in answers for reply in answer)

    def _replies_to(
        self, window: NDArray[np.uint8], seed: int, sampling: Sampling, max_points: int
    ) -> list[tuple[int, ...]]:
        answer = self._asked(self._request(window, seed, sampling, max_points))
        got = answer.get("prompt_token_ids")
        if got != self._prompt_ids:
            count = "no" if got is None else str(len(got))
            raise TrainingError(
                f"{self.url} answered to a prompt of {count} tokens; expected the checkpoint's "
                f"own {len(self._prompt_ids)}. Start the server on the checkpoint that is trained."
            )
        choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
        if len(choices) != sampling.rollouts:
            raise TrainingError(
                f"{self.url} sent {len(choices)} replies; expected {sampling.rollouts}."
            )
        return [self._reply_of(choice) for choice in choices]

    def _request(
        self, window: NDArray[np.uint8], seed: int, sampling: Sampling, max_points: int
    ) -> dict[str, Any]:
        file = io.BytesIO()
        Image.fromarray(window).save(file, format="PNG")
        url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        content = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": self._instruction},
        ]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        forced: dict[str, Any] = {}
        if self._codec.latent_ids:
            latents = "".join(latent_token(i) for i in range(len(self._codec.latent_ids)))
            messages.append({"role": "assistant", "content": latents})
            forced = {"add_generation_prompt": False, "continue_final_message": True}
        return {
            "model": self._model,
            "messages": messages,
            **forced,
            "n": sampling.rollouts,
            "temperature": sampling.temperature,
            "seed": seed,
            "max_tokens": last_position(self._codec, max_points) + 1,
            "skip_special_tokens": False,
            "return_token_ids": True,
            "allowed_token_ids": sorted(codec_ids(self._codec)),
            "structured_outputs": {"regex": reply_pattern(self._codec)},
        }

    def _reply_of(self, choice: dict[str, Any]) -> tuple[int, ...]:
        reply = tuple(int(token) for token in choice["token_ids"])
        end = self._codec.end_id
        # Whether the token that stops a reply is told with it differs between versions.
        return (*reply, end) if choice["finish_reason"] == "stop" and end not in reply else reply

    def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        problem = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(self._pause_s * 2 ** (attempt - 1))
            try:
                response = self._client.post(f"{self.url}/v1/chat/completions", json=request)
            except httpx.TransportError as error:
                problem = str(error)
                continue
            if response.status_code < 500:
                break
            problem = f"status {response.status_code}"
        else:
            raise TrainingError(
                f"The vLLM server at {self.url} does not answer ({problem}). Start it again, then "
                "go on with --resume."
            )
        if response.status_code != 200:
            raise TrainingError(
                f"The vLLM server at {self.url} refused ({response.status_code}: "
                f"{response.text[:200]}). Compare its version with the one in docs/scale-out.md."
            )
        answer: dict[str, Any] = response.json()
        return answer


def codec_ids(codec: Codec) -> set[int]:
    """Every token that may stand in a reply."""
    return {int(token) for position in range(4) for token in codec.allowed_at(position)}


def reply_pattern(codec: Codec) -> str:
    """The codec's grammar as a regular expression over the texts of tokens, without the end."""
    point = r"(<\|coord_[0-9]+\|>){2}"
    if codec.has_categories:
        return rf"({point}<\|category_[0-9]+\|>)*"
    return rf"({point}({SEPARATOR_TEXT}{point})*)?"


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
