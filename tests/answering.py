"""Answerers for tests: a server in a thread, which says what it is told, and a small folder."""

from __future__ import annotations

import base64
import io
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.sizes import SMALL as SIZE

if TYPE_CHECKING:
    from pathlib import Path

EXACT = "<think>many small dark nuclei</think><answer>lymphocyte</answer>"
MODEL = "vlm"


def deltas(*texts: str) -> list[dict[str, Any]]:
    return [{"content": text} for text in texts]


@dataclass
class FakeChat:
    """What it says next, and what it was asked."""

    deltas: list[dict[str, Any]] = field(default_factory=lambda: deltas(EXACT[:9], EXACT[9:]))
    finish: str | None = "stop"
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 300, "completion_tokens": 12}
    )
    status: int = 200
    body: bytes | None = None
    """Sent in place of a stream."""
    kind: str = "text/event-stream"
    raw_end: bytes = b"data: [DONE]\n\n"
    breaks: bool = False
    """Whether the connection ends after the deltas, in the middle."""
    mute: bool = False
    """Whether it does not even say that it is there, while it waits."""
    forever: bool = False
    """Whether the last delta is said again and again."""
    go_on: threading.Event = field(default_factory=threading.Event)
    """Until it is set, nothing comes after the first delta."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def __post_init__(self) -> None:
        self.go_on.set()

    def picture(self) -> np.ndarray:
        """The pixels that were sent last."""
        content = self.asked[-1]["messages"][1]["content"]
        url = content[0]["image_url"]["url"]
        head, _, data = url.partition(",")
        assert head == "data:image/png;base64"
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@contextmanager
def chat_server():
    """Run one for as long as the block lasts."""
    fake = FakeChat()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            fake.keys.append(self.headers.get("authorization"))
            self._whole(json.dumps({"object": "list", "data": [{"id": MODEL}]}).encode())

        def do_POST(self) -> None:
            fake.keys.append(self.headers.get("authorization"))
            fake.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            if fake.body is not None or fake.status != 200:
                self._whole(fake.body or b"{}")
                return
            self._head(fake.kind, ("connection", "close"))
            self.close_connection = True
            try:
                self._stream()
            except OSError:
                fake.hung_up.set()

        def _stream(self) -> None:
            for i, delta in enumerate(fake.deltas):
                self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                if i == 0:
                    # Speaks now and then, as servers do, so that it notices who hangs up.
                    while not fake.go_on.wait(0.02):
                        if not fake.mute:
                            self.wfile.write(b": still here\n\n")
            while fake.forever:
                self._event({"choices": [{"index": 0, "delta": fake.deltas[-1]}]})
            if fake.breaks:
                return
            if fake.finish is not None:
                self._event({"choices": [{"delta": {}, "finish_reason": fake.finish}]})
            if fake.usage is not None:
                self._event({"choices": [], "usage": fake.usage})
            self.wfile.write(fake.raw_end)

        def _event(self, event: dict[str, Any]) -> None:
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.flush()

        def _whole(self, body: bytes) -> None:
            kind = fake.kind if fake.body is not None else "application/json"
            self._head(kind, ("content-length", str(len(body))))
            self.wfile.write(body)

        def _head(self, kind: str, *further: tuple[str, str]) -> None:
            self.send_response(fake.status)
            self.send_header("content-type", kind)
            for name, value in further:
                self.send_header(name, value)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield fake
    finally:
        fake.go_on.set()
        fake.forever = False
        server.shutdown()
        thread.join()
        server.server_close()


SMALL = replace(SIZE, patch_px=14, vision_layers=2)


def small_answerer(folder: Path, family: str = "qwen2_5_vl") -> Path:
    """A vision-language model in a folder: random, but not indifferent to its picture."""
    import torch

    from napari_nunext.models.checkpoints.build import build_checkpoint
    from napari_nunext.models.checkpoints.loading import load_checkpoint, save_checkpoint

    build_checkpoint(folder.with_name("raw"), family=family, size=SMALL, window_px=56)
    built = load_checkpoint(folder.with_name("raw"), device="cpu", dtype=torch.float32)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in built.model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
    save_checkpoint(folder, built.model, built.windows.processor, built.description)
    return folder


def small_allocator(folder: Path, answerer: Path, menu: tuple[int, ...] = (1, 4, 9)) -> Path:
    """Random additions to an answerer that choose image tokens; they look at four at most."""
    import torch
    from peft import LoraConfig, get_peft_model

    from napari_nunext.core.answers.answerer import AnswererFolder
    from napari_nunext.models.answerers.about import ABOUT_FILE
    from napari_nunext.models.answerers.loaded import load_answerer
    from napari_nunext.models.checkpoints.loading import without_renaming_warnings

    model = load_answerer(AnswererFolder("of", answerer), "float32").model
    with without_renaming_warnings():
        taught = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in taught.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator))
    taught.save_pretrained(str(folder))
    (folder / ABOUT_FILE).write_text(json.dumps({"menu": list(menu), "look_tokens": 4}), "utf-8")
    return folder
