"""Windows that travel by themselves: of an image that is too large to be sent.

The image of the request is the windows below each other, each as the detector wants it. `POST
/v1/windows` answers with one JSON object a line: `WindowPointsOut` as points are decoded, in pixels
of their window, one `WindowEndOut` a window, then `Done` or `Failed`. Where windows lie, and what
stands at their seams, only the caller knows.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from napari_nunext.serving.fields import Number
from napari_nunext.serving.protocol import Done, Event, Failed, JobRequest


class WindowsRequest(JobRequest):
    """Find the nuclei of some windows."""

    model: str | None = None
    """Id of a detector; the server's default when None."""
    priority: Literal["interactive", "batch"] = "interactive"
    among: Annotated[list[str], Field(max_length=1000)] | None = None
    """Categories that the detector chooses from for each nucleus, where it can; all when None."""
    position_error: bool | None = None
    """As `napari_nunext.serving.protocol.DetectRequest` has it."""


class WindowPointsOut(Event):
    """Points of one window."""

    event: Literal["window_points"] = "window_points"
    window: int
    """From the top, the first is 0."""
    points: list[tuple[Number, Number]]
    """x, y, pixels of the window, corner origin."""
    categories: list[str]
    confidence: list[Annotated[float, Field(ge=0, le=1)]]
    position_error_um: Annotated[
        list[Annotated[Number, Field(ge=0)]] | None, Field(exclude_if=lambda um: um is None)
    ] = None
    """As `napari_nunext.serving.protocol.PointOut` has it, of each."""


class WindowEndOut(Event):
    """A window is finished."""

    event: Literal["window_end"] = "window_end"
    window: int
    finish: Literal["end", "limit"]
    tokens: int = 0


WindowsEvent: TypeAlias = Annotated[
    WindowPointsOut | WindowEndOut | Done | Failed, Field(discriminator="event")
]
windows_event: TypeAdapter[WindowsEvent] = TypeAdapter(WindowsEvent)
"""Parses a line of the stream."""
