from __future__ import annotations

import pytest

from napari_nunext.review.model import RunStatus
from napari_nunext.ui.panels.find_panel import run_words


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (RunStatus("starting", waiting="Sending the image…"), "Sending the image…"),
        (RunStatus("running", 12, 1, 4, 75.0), "12 nuclei, 75 s left"),
        (RunStatus("running", 12, 4, 4), "12 nuclei"),
        (RunStatus("running", 12, 4, 4, outlines=12), "12 nuclei, outlines 0 of 12"),
        (
            RunStatus("running", 12, 4, 4, 8.0, outlines_done=3, outlines=12),
            "12 nuclei, outlines 3 of 12, 8 s left",
        ),
        (RunStatus("stopping", 12), "12 nuclei, stopping…"),
    ],
)
def test_progress_is_said_in_words(run: RunStatus, words: str) -> None:
    assert run_words(run) == words
