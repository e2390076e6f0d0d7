"""A vLLM that says what a test tells it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.codec import Codec
from napari_nunext.models.checkpoints.description import CheckpointDescription

URL = "http://vllm.test"
PROMPT = (3, 1, 4, 1, 5)


@dataclass
class FakeVllm:
    """Answers as vLLM does. A window's first pixel says which reply it gets."""

    replies: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    """Tokens, each with the logarithm of how sure it is."""
    chunk: int = 3
    prompt: tuple[int, ...] = PROMPT
    end_is_told: bool = True
    most_tokens: int = 10**6
    statuses: list[int] = field(default_factory=list)
    """What the next requests are refused with."""
    breaks: list[int] = field(default_factory=list)
    """After how many chunks the next streams break off."""
    hold: threading.Event = field(default_factory=threading.Event)
    """Until it is set, a stream stops after its first chunk."""
    requests: list[dict] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    hung_up: int = 0

    def __post_init__(self):
        self.hold.set()

    def transport(self):
        return httpx.MockTransport(self.answer)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers.get("authorization"))
        if self.statuses:
            return httpx.Response(self.statuses.pop(0), json={"error": {"message": "not now"}})
        if request.url.path == "/health":
            return httpx.Response(200)
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "nuclei"}, {"id": "sharper"}]})
        body = json.loads(request.content)
        self.requests.append(body)
        url = body["messages"][0]["content"][0]["image_url"]["url"]
        file = io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))
        reply = self.replies[int(np.asarray(Image.open(file))[0, 0, 0])]
        return httpx.Response(200, stream=_Stream(self, reply, body))


class _Stream(httpx.AsyncByteStream):
    def __init__(self, vllm: FakeVllm, reply, body) -> None:
        self._vllm = vllm
        self._reply = reply[: min(vllm.most_tokens, body["max_tokens"])]
        self._cut = len(self._reply) < len(reply) or reply[-1][0] != END
        self._breaks_after = vllm.breaks.pop(0) if vllm.breaks else None
        self._whole = False
        vllm.open += 1
        vllm.most_open = max(vllm.most_open, vllm.open)

    async def __aiter__(self):
        vllm = self._vllm
        await asyncio.sleep(0.01)  # as if it had something to compute
        yield _line({"prompt_token_ids": list(vllm.prompt), "choices": [{"index": 0}]})
        for number, start in enumerate(range(0, len(self._reply), vllm.chunk)):
            if number == self._breaks_after:
                raise httpx.ReadError("connection reset")
            part = self._reply[start : start + vllm.chunk]
            last = start + vllm.chunk >= len(self._reply)
            if not vllm.end_is_told:
                part = [each for each in part if each[0] != END]
            yield _line(
                {
                    "choices": [
                        {
                            "index": 0,
                            "token_ids": [token for token, _ in part],
                            "logprobs": {"content": [{"logprob": sure} for _, sure in part]},
                            "finish_reason": ("length" if self._cut else "stop") if last else None,
                        }
                    ]
                }
            )
            while not vllm.hold.is_set():
                await asyncio.sleep(0.005)
        self._whole = True
        yield b"data: [DONE]\n\n"

    async def aclose(self) -> None:
        self._vllm.open -= 1
        self._vllm.hung_up += not self._whole


def _line(data) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


END = 50


@pytest.fixture
def vllm() -> FakeVllm:
    return FakeVllm()


def make_description(categories: tuple[str, ...] = (), latents: int = 0) -> CheckpointDescription:
    from napari_nunext.core.nuclei import default_categories

    codec = Codec(
        bins=16,
        window_px=32,
        coordinate_start_id=20,
        separator_id=11,
        end_id=END,
        latent_ids=tuple(range(60, 60 + latents)),
        category_ids=tuple(range(40, 40 + len(categories))),
        category_names=categories,
    )
    return CheckpointDescription(
        name="Nuclei",
        family="qwen2_5_vl",
        codec=codec,
        mpp=0.5,
        halo_um=2.0,
        image_tokens=16,
        max_points=4,
        prompt="Point to nucleus.",
        categories=default_categories(categories),
    )


@pytest.fixture
def describe_checkpoint():
    """``describe_checkpoint(categories, latents)``: a description without a checkpoint."""
    return make_description
