"""Ratings in the review: how long until a star is on the disk, and until Counts has answered.

A real project on a disk, the writer's own thread, 2,000 nuclei; no window. A rating counts from the
call that a key makes until the status line may say "Saved".
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from benchmarks._harness import Claim, report
from napari_nunext.core.answers.prompts import Question
from napari_nunext.review.controller import ReviewController
from napari_nunext.store import Project, events
from tests.review.fakes import FakeServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.finding.servers import ModelServer

N_NUCLEI = 2_000
SIDE_PX = 1_000
N_RATINGS = 100
QUESTIONS = ("How many nuclei are there?", "Which category dominates?", "Where are clusters?")
TIMEOUT_S = 60.0


class Review:
    """A review on one drawn image, whose main thread is the caller's."""

    def __init__(self, folder: Path) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        rng = np.random.default_rng(7)
        image = folder / "field.png"
        Image.fromarray(rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)).save(image)
        self.controller = ReviewController(
            lambda path: Project.open(path, annotator="reader"),
            lambda _: folder / "review.nunext",
            cast("ModelServer", FakeServer()),
            ThreadPoolExecutor(4),
            self._calls.put,
            models_dir=folder,
        )
        self.ask, self.model = self.controller.ask, self.controller.model
        self.controller.open.paths([image])
        self.until(lambda: self.controller.images.model.open_field is not None)
        field = self.controller.images.model.open_field
        assert field is not None
        placed = rng.uniform(0, SIDE_PX, (N_NUCLEI, 2)).tolist()
        names = ("Lymphocyte", "Stromal")
        sha256 = field.entry.sha256
        self.controller.session.commit(
            sha256,
            events.grouped(
                events.add(sha256, x, y, names[i % 2]) for i, (x, y) in enumerate(placed)
            ),
        )
        self.until(self.is_saved)

    def is_saved(self) -> bool:
        """Whether all that was done is durable."""
        return self.model.save.phase == "saved" and not self.controller.session.writer.pending

    def is_answered(self) -> bool:
        """Whether nobody is being asked any more."""
        return not self.ask.model.status.busy

    def until(self, condition: Callable[[], bool]) -> None:
        """Turn until something is so."""
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("The review did not come to that.")
            self._calls.get(timeout=TIMEOUT_S)()


def seconds(act: Callable[[], None], review: Review, over: Callable[[], bool]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    act()
    review.until(over)
    return time.perf_counter() - began


def main() -> None:
    """Measure."""
    with TemporaryDirectory() as name:
        review = Review(Path(name))
        ask = review.ask
        asked = [
            seconds(partial(ask.ask, Question("question", text)), review, review.is_answered)
            for text in QUESTIONS * 5
        ]
        review.until(review.is_saved)
        rated = [
            seconds(partial(ask.judge.rate, i % 5 + 1), review, review.is_saved)
            for i in range(N_RATINGS)
        ]
        review.controller.close()
    rated_ms, asked_ms = (1e3 * np.array(each) for each in (rated, asked))
    report(
        "ratings",
        [
            Claim(
                "ask.rating_durable_ms", float(np.percentile(rated_ms, 95)), 50.0, better="lower"
            ),
            Claim("ask.counts_shown_ms", float(np.median(asked_ms)), 100.0, better="lower"),
        ],
        details={
            "rating_ms": {"median": float(np.median(rated_ms)), "worst": float(rated_ms.max())},
            "counts_ms": {"median": float(np.median(asked_ms)), "worst": float(asked_ms.max())},
        },
    )


if __name__ == "__main__":
    main()
