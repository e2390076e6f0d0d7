"""The kinds of jobs that a server does. The next one is a module beside this, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.serving.jobs.ask import Ask
from napari_nunext.serving.jobs.detect import Detect
from napari_nunext.serving.jobs.segment import Segment
from napari_nunext.serving.jobs.windows import Windows

if TYPE_CHECKING:
    from napari_nunext.serving.jobs.kind import Kind

KINDS: list[type[Kind[Any]]] = [Detect, Segment, Ask, Windows]
