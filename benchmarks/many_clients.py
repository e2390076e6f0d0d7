"""A server among many people: does anybody starve, and do clicks wait for slides.

32 people with a key each ask for a field at once, and again as soon as they are answered, while one
has a batch of large images under way and clicks for masks. The model is classical: what counts is
how turns are shared, the ratio of the slowest answers to the typical one.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._harness import Claim, report
from benchmarks.serving import MPP, tile
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.http.keys import add_key
from napari_nunext.serving.protocol import (
    DetectRequest,
    Done,
    MaskPrompt,
    PromptPoint,
    SegmentRequest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PEOPLE = 32
REQUESTS_EACH = 4
CLICKS = 20
FIELD_PX = 256


@contextmanager
def shared_server(keys: Path, *options: str) -> Iterator[str]:
    """A server as several people share it, at the address that is yielded."""
    command = [sys.executable, "-m", "napari_nunext.cli", "serve", "--port", "0"]
    command += ["--keys", str(keys), "--waiting", "200", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[2]
        finally:
            process.terminate()


def ask(client: Client, request: DetectRequest) -> float:
    """Seconds until a detection is done."""
    began = time.perf_counter()
    *_, last = client.detect(request)
    if not isinstance(last, Done):
        raise RuntimeError(f"The server answered {last}.")
    return time.perf_counter() - began


def many_fields(
    url: str, keys: list[str], rgb: NDArray[np.uint8]
) -> tuple[list[float], list[float]]:
    """Seconds of every person's answers, and of the clicks of one, with a batch under way."""
    image = tile_of_rgb(rgb, "field")
    fields: list[float] = []
    clicks: list[float] = []
    over = threading.Event()

    def person(key: str) -> None:
        with Client(url, key) as client:
            request = DetectRequest(image=client.put_image(image), mpp=MPP, model="classical")
            together.wait()
            for _ in range(REQUESTS_EACH):
                fields.append(ask(client, request))

    def batch() -> None:
        with Client(url, keys[0]) as client:
            sha256 = client.put_image(tile_of_rgb(np.tile(tile(), (2, 2, 1)), "batch"))
            request = DetectRequest(image=sha256, mpp=MPP, model="classical", priority="batch")
            together.wait()
            while not over.is_set():
                ask(client, request)

    def clicker() -> None:
        with Client(url, keys[0]) as client:
            prompt = MaskPrompt(points=[PromptPoint(x=100, y=100)])
            request = SegmentRequest(image=client.put_image(image), mpp=MPP, prompts=[prompt])
            together.wait()
            for _ in range(CLICKS):
                began = time.perf_counter()
                client.segment(request)
                clicks.append(time.perf_counter() - began)

    together = threading.Barrier(PEOPLE + 2)
    people = [threading.Thread(target=person, args=(key,)) for key in keys]
    others = [threading.Thread(target=batch), threading.Thread(target=clicker)]
    for thread in (*people, *others):
        thread.start()
    for thread in (*people, others[1]):
        thread.join()
    over.set()
    others[0].join()
    return fields, clicks


def main() -> None:
    """Measure."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "keys.txt")
        keys = [add_key(path, f"person-{number}")[0] for number in range(PEOPLE)]
        rgb = np.ascontiguousarray(tile()[:FIELD_PX, :FIELD_PX])
        with shared_server(path) as url:
            fields, clicks = many_fields(url, keys, rgb)
    p50, p99 = np.percentile(fields, [50, 99])
    click = float(np.median(clicks))
    report(
        "many_clients",
        [
            Claim("fairness.p99_over_p50", float(p99 / p50), goal=4.0, better="lower"),
            Claim("fairness.answered", len(fields), PEOPLE * REQUESTS_EACH, better="higher"),
            Claim("fairness.click_over_p50", click / float(p50), goal=0.5, better="lower"),
        ],
        details={
            "people": PEOPLE,
            "field_p50_s": float(p50),
            "field_p99_s": float(p99),
            "field_max_s": max(fields),
            "click_p50_s": click,
            "click_max_s": max(clicks),
        },
    )


if __name__ == "__main__":
    main()
