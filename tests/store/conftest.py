"""Projects with a clock that ticks, and short words for what happens in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.store import ImageEntry, Project, RunInfo

IMAGE = "ab" * 32
WHOLE = Box(0, 0, 100, 80)


def ticking(start: datetime = datetime(2024, 1, 1, tzinfo=UTC)):
    now = start

    def clock() -> datetime:
        nonlocal now
        now += timedelta(seconds=1)
        return now

    return clock


def entry(sha256: str = IMAGE, **more) -> ImageEntry:
    fields = {
        "path": "/slides/a.png",
        "name": "a.png",
        "width_px": 100,
        "height_px": 80,
        "mpp": 0.5,
        "mpp_source": "file",
    }
    return ImageEntry(sha256, **(fields | more))


def run_info(region: Box = WHOLE, **more) -> RunInfo:
    model = ModelDescription(
        "Classical", "classical", kind="detector", id="classical", window_px=256
    )
    about = {name: more.pop(name) for name in ("id", "prompt") if name in more}
    fields = {
        "model": replace(model, **about),
        "decoding": {"threshold": 0.1},
        "mpp": 0.5,
        "codec_version": 1,
        "region": region,
    }
    return RunInfo(**(fields | more))


def predicted(x: float, y: float, category: str = "Nucleus", confidence: float = 0.5) -> Nucleus:
    return Nucleus(uuid4(), x, y, category, confidence)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "my project.nunext"


@pytest.fixture
def project(path):
    with Project.open(path, annotator="jd", clock=ticking()) as project:
        project.add_image(entry())
        yield project
