"""Who hears what, made and cut in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Emitter(Protocol):
    """A signal of the review, of napari or of Qt."""

    def connect(self, slot: Any, /) -> Any:
        """Call `slot` whenever it is emitted."""
        ...

    def disconnect(self, slot: Any, /) -> Any:
        """Call it no longer."""
        ...


class Connections:
    """Connections that end together.

    The review outlives what draws it: a panel that is gone must hear of nothing any more.
    """

    def __init__(self) -> None:
        self._made: list[tuple[Emitter, Callable[..., Any]]] = []
        self._stops: list[Callable[[], None]] = []

    def call(self, slot: Callable[..., Any], *signals: Emitter) -> None:
        """Call `slot` whenever one of the signals is emitted."""
        for signal in signals:
            signal.connect(slot)
            self._made.append((signal, slot))

    def stop(self, function: Callable[[], None]) -> None:
        """Call `function` when they end: it stops what a slot has set going."""
        self._stops.append(function)

    def cut(self) -> None:
        """End all of them. May be called twice."""
        made, self._made = self._made, []
        for signal, slot in made:
            signal.disconnect(slot)
        stops, self._stops = self._stops, []
        for stop in stops:
            stop()
