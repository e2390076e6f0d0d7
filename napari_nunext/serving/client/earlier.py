"""Servers of an earlier version refuse fields that they do not know, and are asked without."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.serving.protocol import DetectRequest
from napari_nunext.serving.windows_protocol import WindowsRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_nunext.serving.protocol import SegmentRequest

_Search = TypeVar("_Search", DetectRequest, WindowsRequest)
_Event = TypeVar("_Event")

POSITION_ERROR = "position_error"
"""The field of a search that asks how far off points may be."""


def without_outlines(request: SegmentRequest) -> SegmentRequest:
    """Clicks alone."""
    prompts = [prompt.model_copy(update={"outline": None}) for prompt in request.prompts]
    return request.model_copy(update={"prompts": prompts})


class PositionErrors:
    """Asks one server how far off points may be, until it has said that it does not know that."""

    def __init__(self) -> None:
        self._asked = True

    def search(
        self, request: _Search, ask: Callable[[_Search], Generator[_Event]]
    ) -> Generator[_Event]:
        """What a search streams.

        Parameters
        ----------
        request : DetectRequest or WindowsRequest
        ask : callable
            Sends a request; it is refused before anything is yielded, or not at all.
        """
        if self._asked:
            try:
                yield from ask(request.model_copy(update={POSITION_ERROR: True}))
            except RequestRejectedError as error:
                if POSITION_ERROR not in str(error):
                    raise
                self._asked = False
            else:
                return
        yield from ask(request)
